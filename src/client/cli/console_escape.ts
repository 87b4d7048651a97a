/**
 * The escape sequences of a console on a terminal, as in ssh and cu: at the beginning of a line, `~.` leaves,
 * `~?` shows help and `~~` is one tilde; anything else goes to the guest as it was typed.
 * @module
 */

const TILDE = 0x7e;
const DOT = 0x2e;
const QUESTION = 0x3f;
const CR = 0x0d;
const LF = 0x0a;

/** The result for one piece of input. */
export interface Taken {
  /** Bytes for the guest. */
  readonly bytes: Uint8Array;
  /** Whether the person asks what escapes there are. */
  readonly asksHelp: boolean;
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
    let asksHelp = false;
    for (const byte of typed) {
      if (this.#afterTilde) {
        this.#afterTilde = false;
        if (byte === DOT) return { bytes: Uint8Array.from(out), asksHelp, isLeaving: true };
        if (byte === QUESTION) {
          asksHelp = true;
          continue;
        }
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
    return { bytes: Uint8Array.from(out), asksHelp, isLeaving: false };
  }
}

/**
 * What `~?` tells. (Deno leaves a raw terminal its line ends: LF is CR and LF there.)
 *
 * @param size the terminal's: a serial port has none, so the guest's programs take it for 80x24
 */
export function escapeHelp({ columns, rows }: { readonly columns: number; readonly rows: number }): string {
  const lines = [
    "",
    "At the beginning of a line (after Enter):",
    "  ~.  leaves the console",
    "  ~?  shows this help",
    "  ~~  sends one tilde",
    ...rows > 0 && columns > 0
      ? [
        `A serial port has no window size; for this terminal, run in the guest: stty rows ${rows} cols ${columns}`,
      ]
      : [],
    "",
  ];
  return lines.join("\n");
}
