/**
 * What a read of frames can come to, and why it gave no snapshot: shared by everything that frames are read
 * from.
 * @module
 */

/** The three outcomes of a read. */
export const READ = { FRESH: 1, NOTHING: 0, GONE: -1 } as const;
/** An outcome of a read. */
export type ReadResult = (typeof READ)[keyof typeof READ];

/**
 * Why a read gave no snapshot. NOTHING: `none-yet` (no frame was published), `same` (as last time), `busy`
 * (the writer was at it all the time), `too-large` (does not fit the caller's buffer), `malformed` (latest or
 * the descriptor breaks REGION.md). GONE: `not-mapped`, `replaced` (the header differs from the one that was
 * checked), `closed`.
 */
export type ReadWhy =
  | ""
  | "none-yet"
  | "same"
  | "busy"
  | "too-large"
  | "malformed"
  | "not-mapped"
  | "replaced"
  | "closed";
