/**
 * Finds a guest's active vgpu region for a command: searches until there is one, at most twice through
 * everything, and otherwise reports that there is none.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { MS, SECOND } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import type { RegionCandidate } from "../../vgpu/discovery.ts";
import { RegionSearch } from "../../vgpu/region_search.ts";
import type { OpenGuest } from "./open_guest.ts";

/** Time limit for finding a region. */
const SEARCH_NS = 3 * SECOND;

/**
 * Finds the region.
 *
 * @returns undefined when no process has an active one
 */
export async function findRegion(view: OpenGuest, signal: AbortSignal): Promise<RegionCandidate | undefined> {
  const search = new RegionSearch(view.os);
  const endNs = monotonicClock.nowNs() + SEARCH_NS;
  for (;;) {
    const nowNs = monotonicClock.nowNs();
    if (signal.aborted) throw new Fault("interrupted", "Cannot find the region: interrupted");
    const state = search.step(nowNs);
    if (state === "found") return search.found;
    if (state === "looking") continue;
    // One search without a result suffices, because a command asks about the present.
    if (search.cameUpEmpty || nowNs >= endNs) return undefined;
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(1, Math.min(50, (search.nextNs - nowNs) / MS)))
    );
  }
}

/** The same, but fails if there is none. */
export async function requireRegion(view: OpenGuest, signal: AbortSignal): Promise<RegionCandidate> {
  const found = await findRegion(view, signal);
  if (found !== undefined) return found;
  throw new Fault(
    "no-endpoint",
    `Cannot find a vgpu producer in ${view.name}: no process of the guest has a living region; start the producer, or see the screen without one: vmsig screen ${view.name}`,
  );
}
