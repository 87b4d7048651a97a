/**
 * Finding a guest's living vgpu region for a command: looks until there is one, a second look through
 * everything included, and then says that there is none.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { MS, SECOND } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import type { RegionCandidate } from "../../vgpu/discovery.ts";
import { RegionSearch } from "../../vgpu/region_search.ts";
import type { OpenGuest } from "./open_guest.ts";

/** How long a command looks for a region. */
const SEARCH_NS = 3 * SECOND;

/**
 * Finds the region.
 *
 * @returns undefined when no process has a living one
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
    // Once empty is enough: a command asks how it is now.
    if (search.cameUpEmpty || nowNs >= endNs) return undefined;
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(1, Math.min(50, (search.nextNs - nowNs) / MS)))
    );
  }
}

/** The same, when there must be one. */
export async function requireRegion(view: OpenGuest, signal: AbortSignal): Promise<RegionCandidate> {
  const found = await findRegion(view, signal);
  if (found !== undefined) return found;
  throw new Fault(
    "no-endpoint",
    `Cannot find a vgpu producer in ${view.name}: no process of the guest has a living region; start the producer, or see the screen without one: vmsig screen ${view.name}`,
  );
}
