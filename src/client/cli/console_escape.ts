/**
 * The escape sequence of a console on a terminal, as in ssh and cu: at the beginning of a line, `~.` leaves
 * and `~~` is one tilde; anything else goes to the guest as it was typed.
 * @module
 */

const TILDE = 0x7e;
const DOT = 0x2e;
const CR = 0x0d;
const LF = 0x0a;

/** The result for one piece of input. */
export interface Taken {
  /** Bytes for the guest. */
  readonly bytes: Uint8Array;
  /** Whether the person leaves. */
  readonly isLeaving: boolean;
}

/** Looks for the sequence in the input, across pieces. */
export class ConsoleEscape {
  #atLineStart = true;
  #afterTilde = false;

  /** Takes a piece. */
  take(typed: Uint8Array): Taken {
    const out: number[] = [];
    for (const byte of typed) {
      if (this.#afterTilde) {
        this.#afterTilde = false;
        if (byte === DOT) return { bytes: Uint8Array.from(out), isLeaving: true };
        out.push(TILDE);
        if (byte === TILDE) {
          this.#atLineStart = false;
          continue;
        }
      } else if (byte === TILDE && this.#atLineStart) {
        this.#afterTilde = true;
        continue;
      }
      this.#atLineStart = byte === CR || byte === LF;
      out.push(byte);
    }
    return { bytes: Uint8Array.from(out), isLeaving: false };
  }
}
