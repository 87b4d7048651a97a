/**
 * Lines to messages. A message of QMP is one line; of a pretty-printing monitor (`-qmp-pretty`, `-mon
 * pretty=on`) it is several: the first is a bare `{`, and the message ends with the line that closes it.
 * Which of the two a monitor is, each message says by itself.
 *
 * A line that is neither whole nor a bare `{` cannot begin a message: it is handed on at once, and found not
 * to be JSON. A message in several lines is bounded like one in one line: in bytes, depth and values. What it
 * is of is not looked at here.
 * @module
 */
import { LineShape, shapeDefect } from "./line_shape.ts";
import type { LineSink } from "./line_splitter.ts";

const OPEN_OBJECT = 0x7b;
const SPACE = 0x20;
const FIRST_STORE_BYTES = 4096;
const KEEP_STORE_BYTES = 65_536;

/** Puts the lines of one stream together. */
export class MessageAssembler {
  readonly #sink: LineSink;
  readonly #shape = new LineShape();
  #store = new Uint8Array(0);
  #stored = 0;
  /** What is wrong with the stream; empty while nothing is. */
  #defect = "";

  /**
   * Starts between two messages.
   *
   * @param sink who takes the messages, each as {@linkcode LineSink} says
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
   * Takes one line, `bytes[from..to)`.
   *
   * @param maxBytes how long a message may be now
   * @returns false to be given no more
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
    // What one long message needed is not kept for ever.
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
