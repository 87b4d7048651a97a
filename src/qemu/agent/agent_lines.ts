/**
 * Splits bytes from a guest agent into lines of bounded length. A longer line is skipped to its end and
 * reported as too long: the answer is lost, but the conversation continues.
 * @module
 */

/**
 * Size limit of a line, bytes: a read of 48 KiB is answered with 64, and a program's output arrives in one
 * line.
 */
export const MAX_AGENT_LINE_BYTES: number = 1 << 20;
const FIRST_BYTES = 4096;
const KEEP_BYTES = 1 << 17;
const NEWLINE = 0x0a;

/** The receiver of lines. */
export interface AgentLineSink {
  /**
   * A complete line without its end, borrowed for the call.
   *
   * @param isLast nothing came behind it so far
   */
  onLine(bytes: Uint8Array, isLast: boolean): void;
  /** A line that was too long has ended. */
  onLongLine(): void;
}

/** Splits the agent's output into lines. */
export class AgentLines {
  readonly #sink: AgentLineSink;
  #store: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES);
  #stored = 0;
  #isTooLong = false;

  /** Starts at the beginning of a line. */
  constructor(sink: AgentLineSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes. */
  push(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length;) {
      const found = bytes.indexOf(NEWLINE, from);
      const end = found < 0 ? bytes.length : found;
      this.#keep(bytes.subarray(from, end));
      if (found < 0) return;
      from = found + 1;
      this.#finish(from === bytes.length);
    }
  }

  /** Drops an incomplete line. */
  reset(): void {
    this.#stored = 0;
    this.#isTooLong = false;
  }

  #keep(part: Uint8Array): void {
    const needed = this.#stored + part.length;
    if (this.#isTooLong || needed > MAX_AGENT_LINE_BYTES) {
      this.#isTooLong = true;
      this.#stored = 0;
      return;
    }
    if (needed > this.#store.length) {
      const grown = new Uint8Array(Math.min(MAX_AGENT_LINE_BYTES, Math.max(2 * this.#store.length, needed)));
      grown.set(this.#store.subarray(0, this.#stored));
      this.#store = grown;
    }
    this.#store.set(part, this.#stored);
    this.#stored = needed;
  }

  #finish(isLast: boolean): void {
    const { length } = this.#store;
    const wasTooLong = this.#isTooLong;
    const line = this.#store.subarray(0, this.#stored);
    this.reset();
    // The buffer of a long line is not kept.
    if (length > KEEP_BYTES) this.#store = new Uint8Array(FIRST_BYTES);
    if (wasTooLong) this.#sink.onLongLine();
    else if (line.length > 0) this.#sink.onLine(line, isLast);
  }
}
