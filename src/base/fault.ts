/**
 * Faults: what goes wrong and is not an expected outcome. An expected outcome is a discriminated union in
 * the function's result; a fault is thrown, carries a stable code, and says "Cannot …: …" with the remedy.
 * @module
 */
import type { CodeName } from "./codes.ts";

/**
 * A fault's stable code: one of the protocol's names, or one of the four that only a command knows:
 * `usage` (exit 2), `missing` on this machine (exit 3), `unreachable` daemon (exit 4), `interrupted` (130).
 */
export type FaultCode = Exclude<CodeName, "ok"> | "usage" | "missing" | "unreachable" | "interrupted";

/** A thrown error with a stable code; the commands print it as "vmsig: CODE: MESSAGE". */
export class Fault extends Error {
  /** The error's name, as it is printed. */
  override name = "Fault";
  /** The stable code. */
  readonly code: FaultCode;
  /** The number of the command that ended so, for `Client.outcome`; 0: it was none. */
  readonly corr: number;

  /**
   * Makes a fault; it is thrown by the caller.
   *
   * @param code the stable code
   * @param message what cannot be done, why, and what to do about it, in one line
   * @param options `cause`: the error underneath; `corr`: see {@linkcode Fault.corr}
   */
  constructor(code: FaultCode, message: string, options?: { cause?: unknown; corr?: number }) {
    super(message, options);
    this.code = code;
    this.corr = options?.corr ?? 0;
  }
}

/** The exit code of a command that ends with this error (README, "The commands"). */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof Fault)) return 1;
  switch (error.code) {
    case "usage":
      return 2;
    case "missing":
      return 3;
    case "unreachable":
      return 4;
    case "interrupted":
      return 130;
    default:
      return 1;
  }
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
