/**
 * Examines a line's bytes before it is parsed as JSON: its nesting depth and number of values. A JSON
 * parser's recursion and allocation depend on these two, so a peer that sends half a million open brackets,
 * or as many small values, would block the loop; a long string costs almost nothing, and is not counted.
 *
 * It does not check that the line is JSON. A string ends in the line in which it begins, because JSON strings
 * contain no line ends.
 * @module
 */
import { MAX_QMP_DEPTH, MAX_QMP_PARTS } from "../../base/limits.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The shape of one message, in one line or several. */
export class LineShape {
  #depth = 0;
  #parts = 0;

  /** What is open after the last line. */
  get depth(): number {
    return this.#depth;
  }

  /** A new message begins. */
  reset(): void {
    this.#depth = this.#parts = 0;
  }

  /**
   * Processes a line, `bytes[from..to)`, and returns what is wrong with the message so far; empty if nothing
   * is.
   */
  take(bytes: Uint8Array, from: number, to: number): string {
    let depth = this.#depth;
    let parts = this.#parts;
    for (let at = from; at < to; at++) {
      switch (bytes[at]) {
        case QUOTE: {
          // Long lines consist mostly of strings, which are skipped from quote to quote.
          do {
            at = bytes.indexOf(QUOTE, at + 1);
            if (at < 0 || at >= to) return "a text that does not end";
            parts++;
          } while (isEscaped(bytes, at) && parts <= MAX_QMP_PARTS);
          break;
        }
        case OPEN_LIST:
        case OPEN_OBJECT:
          if (++depth > MAX_QMP_DEPTH) return `nested deeper than ${MAX_QMP_DEPTH}`;
          parts++;
          break;
        case CLOSE_LIST:
        case CLOSE_OBJECT:
          depth--;
          break;
        case COMMA:
          parts++;
      }
      if (parts > MAX_QMP_PARTS) return `more than ${MAX_QMP_PARTS} values`;
    }
    this.#depth = depth;
    this.#parts = parts;
    return "";
  }
}

const whole = new LineShape();

/** What is wrong with `bytes[from..to)` as a whole message; empty when nothing is. */
export function shapeDefect(bytes: Uint8Array, from: number, to: number): string {
  whole.reset();
  return whole.take(bytes, from, to);
}

/**
 * Whether an odd number of backslashes precedes a quote. Each backslash is examined once, because the search
 * for the next quote's stops at this one.
 */
function isEscaped(bytes: Uint8Array, quote: number): boolean {
  let at = quote - 1;
  while (bytes[at] === BACKSLASH) at--;
  return (quote - at) % 2 === 0;
}
