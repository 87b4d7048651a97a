/**
 * Event kinds: each is one transfer meaning. Numbers as in the seed header 001 and section 1 of the contract. Retired numbers
 * are listed, so that a test keeps them from coming back: an old peer's kind must never alias a new one.
 * @module
 */

/** Kind by name, as numbers travel. */
export const KIND = {
  NONE: 0,
  SEAM_UP: 1,
  SEAM_DOWN: 2,
  ERROR: 3,
  CURSOR_STATE: 37,
  ACT_ACK: 48,
  VM_LIFECYCLE: 49,
  LEASE_GRANTED: 50,
  LEASE_DENIED: 51,
  LEASE_RELEASED: 52,
  LEASE_REVOKED: 53,
  LEASE_STATUS: 54,
  INPUT_HELD: 55,
  CMD_INPUT: 64,
  CMD_LIFECYCLE: 65,
  CMD_VM: 70,
  CMD_ACQUIRE: 73,
  CMD_RELEASE: 74,
  CMD_LEASE_STATUS: 75,
  CMD_QUERY_INPUT: 76,
  MEMCTX: 77,
  MEMCTX_INVALIDATED: 78,
  CMD_MEMWRITE: 79,
  ROSTER: 80,
  FRAME_INFO: 81,
  VGPU_STATUS: 82,
  FRAME_RING: 83,
  AUDIT: 84,
  HELLO: 96,
  WELCOME: 97,
  REFUSED: 98,
  OVERRUN: 99,
} as const;

/** A kind's name. */
export type KindName = keyof typeof KIND;
/** A kind's number. */
export type Kind = (typeof KIND)[KindName];

/** One past the largest kind. */
export const KIND_MAX = 100;

/** Numbers that once were kinds (inclusive ranges): never to be used again. */
export const RETIRED_KINDS: readonly (readonly [from: number, to: number])[] = [
  [16, 19],
  [32, 36],
  [66, 69],
  [71, 72],
];

/** What a kind's number means for a table indexed by kind. */
export const CLASS = { UNKNOWN: 0, UP: 1, DOWN: 2, HANDSHAKE: 3 } as const;

const NAME_OF: (KindName | undefined)[] = new Array(KIND_MAX).fill(undefined);
for (const name of Object.keys(KIND) as KindName[]) NAME_OF[KIND[name]] = name;

/** Kind number to one of {@linkcode CLASS}: which way it may travel. NONE and numbers without a kind are UNKNOWN. */
export const KIND_CLASS: Uint8Array = new Uint8Array(KIND_MAX);
for (const name of Object.keys(KIND) as KindName[]) {
  const kind = KIND[name];
  if (kind === KIND.NONE) continue;
  KIND_CLASS[kind] = name.startsWith("CMD_")
    ? CLASS.DOWN
    : kind === KIND.HELLO || kind === KIND.WELCOME || kind === KIND.REFUSED
    ? CLASS.HANDSHAKE
    : CLASS.UP;
}

/** Which way a kind may travel; UNKNOWN for any number that is no kind. */
export function kindClass(kind: number): number {
  return kind < KIND_MAX ? KIND_CLASS[kind] ?? CLASS.UNKNOWN : CLASS.UNKNOWN;
}

/** The name of a kind number, `kind-N` for one that has none. */
export function kindName(kind: number): string {
  return NAME_OF[kind] ?? `kind-${kind}`;
}

/** The number of a kind by its name, in any case; undefined for an unknown one. */
export function kindByName(name: string): Kind | undefined {
  return KIND[name.toUpperCase().replaceAll("-", "_") as KindName];
}
