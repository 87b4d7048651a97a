/**
 * Looks for a guest's system in its RAM: Linux first (its note is sure and cheap to test), then Windows.
 *
 * A finder that is not linked in is not tried; each finder says why it declined, and the most telling reason
 * is kept.
 * @module
 */
import type { FindResult, NoGuest } from "./guest_os.ts";
import type { PhysicalMemory } from "./physical_memory.ts";

/** Looks for one kind of system. */
export type GuestFinder = (memory: PhysicalMemory) => FindResult;

/** How telling a reason is: what was seen and not understood beats what was not seen. */
const TELLING: Readonly<Record<NoGuest["reason"], number>> = {
  "no-kernel": 0,
  "unknown-os": 1,
  unsupported: 2,
};

/**
 * Tries the finders in order.
 *
 * @param memory the guest's RAM; refreshed first
 * @param finders which systems to look for, the likeliest first
 * @throws {Fault} `refused` when the RAM's file has shrunk
 */
export function findGuest(memory: PhysicalMemory, finders: readonly GuestFinder[]): FindResult {
  const { residentBytes } = memory.refresh();
  if (residentBytes === 0) {
    return { found: false, reason: "no-kernel", detail: "the guest has not touched its memory yet" };
  }
  let best: NoGuest | undefined;
  for (const finder of finders) {
    const result = finder(memory);
    if (result.found) return result;
    if (best === undefined || TELLING[result.reason] > TELLING[best.reason]) best = result;
  }
  return best ?? { found: false, reason: "unknown-os", detail: "no finder was given" };
}
