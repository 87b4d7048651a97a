/**
 * The codes of the protocol: what an ACT_ACK, an ERROR or a REFUSED carries, and
 * what the commands print. Numbers are fixed and never reused.
 * @module
 */

/** Code name to number, as they travel. */
export const CODE = {
  ok: 0,
  "no-capability": 1,
  "outside-grant": 2,
  "no-lease": 3,
  "stale-lease": 4,
  "no-endpoint": 5,
  "seam-down": 6,
  "bad-argument": 7,
  "not-mapped": 8,
  "outside-extent": 9,
  refused: 10,
  "timed-out": 11,
  dropped: 12,
  "protocol-error": 13,
  "too-large": 14,
  "not-supported": 15,
  "shutting-down": 16,
  "not-admitted": 17,
  busy: 18,
} as const;

/** A code by its name. */
export type CodeName = keyof typeof CODE;
/** A code by its number. */
export type Code = (typeof CODE)[CodeName];

const NAMES: readonly CodeName[] = Object.keys(CODE) as CodeName[];

/** Whether a number from outside is a code. */
export function isCode(code: number): code is Code {
  return Number.isInteger(code) && code >= 0 && code < NAMES.length;
}

/** The name of a code that came from a peer; an unknown number is told as `code-N`. */
export function codeName(code: number): string {
  return NAMES[code] ?? `code-${code}`;
}
