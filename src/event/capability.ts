/**
 * Capabilities: the bits of a grant, by name. Which there are, the catalogue says.
 * @module
 */
import { CAPABILITIES } from "./catalogue.ts";

export { RETIRED_CAPS } from "./catalogue_check.ts";

/** Capability by name, as bits travel. */
export const CAP: typeof CAPABILITIES = CAPABILITIES;

/** A capability's name. */
export type CapName = keyof typeof CAP;

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
