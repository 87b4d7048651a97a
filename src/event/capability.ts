/**
 * Capabilities: the bits of a grant. The freed bits
 * 0x4 and 0x10 are never given out again, so that a stale grant cannot alias a privileged one.
 * @module
 */

/** Capability by name, as bits travel. */
export const CAP = {
  OBSERVE: 0x1,
  INPUT: 0x2,
  LIFECYCLE: 0x8,
  POWER: 0x20,
  VM: 0x40,
  MEMCTX: 0x80,
  MEMWRITE: 0x100,
  ROSTER: 0x200,
  AUDIT: 0x400,
  PUBLISH: 0x800,
  FRAME: 0x1000,
} as const;

/** A capability's name. */
export type CapName = keyof typeof CAP;

/** Bits that once meant something and stay unused. */
export const RETIRED_CAPS: readonly number[] = [0x4, 0x10];

/** Every capability there is. */
export const ALL_CAPS: number = Object.values(CAP).reduce((mask, bit) => mask | bit, 0);

/** The bit of a capability by its name, in any case; undefined for an unknown one. */
export function capByName(name: string): number | undefined {
  return CAP[name.toUpperCase() as CapName];
}

/** The names in a mask, in order of their bits. */
export function capNames(mask: number): CapName[] {
  return (Object.keys(CAP) as CapName[]).filter((name) => (mask & CAP[name]) !== 0);
}
