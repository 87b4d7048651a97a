/**
 * Assembles lines into messages. A QMP message is one line; with a pretty-printing monitor (`-qmp-pretty`,
 * `-mon pretty=on`) it is several: the first is a bare `{`, and the message ends with the line that closes
 * it. This is recognised for each message separately.
 *
 * A line that is neither complete nor a bare `{` cannot begin a message: it is passed on at once, and found
 * not to be JSON. A message in several lines has the same limits as one in one line: bytes, depth and values.
 * Its contents are not examined here.
 * @module
 */
import { LineShape, shapeDefect } from "./line_shape.ts";
import type { LineSink } from "./line_splitter.ts";

const OPEN_OBJECT = 0x7b;
const SPACE = 0x20;
const FIRST_STORE_BYTES = 4096;
const KEEP_STORE_BYTES = 65_536;

/** Assembles the messages of one stream. */
export class MessageAssembler {
  readonly #sink: LineSink;
  readonly #shape = new LineShape();
  #store = new Uint8Array(0);
  #stored = 0;
  /** What is wrong with the stream; empty if nothing is. */
  #defect = "";

  /**
   * Starts between two messages.
   *
   * @param sink receives the messages as described for {@linkcode LineSink}
   */
  constructor(sink: LineSink) {
    this.#sink = sink;
  }

  /** Whether the next line begins a message. */
  get isBetween(): boolean {
    return this.#stored === 0;
  }

  /** Why {@linkcode take} wants no more; empty when the sink did not want any. */
  get defect(): string {
    return this.#defect;
  }

  /**
   * Processes one line, `bytes[from..to)`.
   *
   * @param maxBytes length limit of a message at this time
   * @returns false to stop
   */
  take(bytes: Uint8Array, from: number, to: number, maxBytes: number): boolean {
    if (this.#stored === 0) {
      if (to - from !== 1 || bytes[from] !== OPEN_OBJECT) {
        this.#defect = shapeDefect(bytes, from, to);
        return this.#defect === "" && this.#sink(bytes, from, to);
      }
      this.#shape.reset();
    }
    this.#defect = this.#shape.take(bytes, from, to);
    if (this.#defect !== "") return false;
    if (this.#stored + 1 + to - from > maxBytes) {
      this.#defect = `longer than ${maxBytes} bytes`;
      return false;
    }
    this.#keep(bytes, from, to);
    if (this.#shape.depth > 0) return true;
    const stored = this.#stored;
    const store = this.#store;
    this.#stored = 0;
    // The buffer of a long message is not kept.
    if (store.length > KEEP_STORE_BYTES) this.#store = new Uint8Array(0);
    return this.#sink(store, 0, stored);
  }

  // A space stands for the line end.
  #keep(bytes: Uint8Array, from: number, to: number): void {
    const needed = this.#stored + 1 + to - from;
    if (needed > this.#store.length) {
      const grown = new Uint8Array(Math.max(FIRST_STORE_BYTES, 2 * needed));
      grown.set(this.#store.subarray(0, this.#stored));
      this.#store = grown;
    }
    this.#store.set(bytes.subarray(from, to), this.#stored);
    this.#store[needed - 1] = SPACE;
    this.#stored = needed;
  }
}
