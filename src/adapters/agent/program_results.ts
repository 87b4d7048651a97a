/**
 * What programs in a guest have said: the agent tells it once, and a reply has room for a piece.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MAX_AGENT_PIECE } from "../../event/agent_op.ts";
import type { ProgramResult } from "./agent_request.ts";

/** Results that are kept; the oldest goes for a newer one. */
export const MAX_RESULTS = 16;
/** Bytes of one stream in one piece. */
const PIECE_BYTES = MAX_AGENT_PIECE / 2;

/** A piece of a result, as a body has it: its bytes from the asked offsets on. */
export interface ResultPiece extends ProgramResult {
  /** Bytes of its standard output in all. */
  readonly outTotal: number;
  /** Bytes of its standard error in all. */
  readonly errTotal: number;
}

/** Results by pid. */
export class ProgramResults {
  readonly #results = new Map<number, ProgramResult>();

  /** Keeps a result. */
  keep(pid: number, result: ProgramResult): void {
    this.#results.delete(pid);
    this.#results.set(pid, result);
    const [oldest] = this.#results.keys();
    if (this.#results.size > MAX_RESULTS && oldest !== undefined) this.#results.delete(oldest);
    assert(this.#results.size <= MAX_RESULTS, "the oldest result makes room for a new one");
  }

  /** A piece of one that is kept; with the last piece it is forgotten. */
  piece(pid: number, outOffset: number, errOffset: number): ResultPiece | undefined {
    const result = this.#results.get(pid);
    if (result === undefined) return undefined;
    const piece = pieceOf(result, outOffset, errOffset);
    const isLast = outOffset + piece.out.length >= piece.outTotal &&
      errOffset + piece.err.length >= piece.errTotal;
    if (isLast) this.#results.delete(pid);
    return piece;
  }

  /** Forgets all: another guest runs. */
  clear(): void {
    this.#results.clear();
  }
}

/** A piece of a result from some offsets on. */
export function pieceOf(result: ProgramResult, outOffset: number, errOffset: number): ResultPiece {
  const { exited, code, signal, truncated, out, err } = result;
  return {
    exited,
    code,
    signal,
    truncated,
    out: out.subarray(outOffset, outOffset + PIECE_BYTES),
    err: err.subarray(errOffset, errOffset + PIECE_BYTES),
    outTotal: out.length,
    errTotal: err.length,
  };
}
