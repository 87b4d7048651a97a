/**
 * Which way an event travels, seen from the VM: UP from a seam to the controls, DOWN to a seam.
 * @module
 */

/** Direction of travel, as numbers travel. */
export const DIR = { UP: 0, DOWN: 1 } as const;
/** A direction's number. */
export type Dir = (typeof DIR)[keyof typeof DIR];
