/**
 * The code that finds each system of systems.ts. A system without a finder does not compile.
 * @module
 */
import type { GuestFinder } from "./find_guest.ts";
import { findLinux } from "./linux/find_linux.ts";
import { type SystemName, SYSTEMS, type WantedSystem } from "./systems.ts";
import { findWindows } from "./win32/find_windows.ts";

/** The finder of each system. */
export const FINDERS: Readonly<Record<SystemName, GuestFinder>> = {
  linux: findLinux,
  // A shadow root, under which user mode runs, does not map the kernel, and so is no evidence.
  windows: (memory, evidence) =>
    findWindows(memory, { liveRoot: evidence.inUserMode === true ? undefined : evidence.liveRoot }),
};

/** The finders to try, in order: all, or the one of a system that is known to run. */
export function findersFor(wanted: WantedSystem): readonly GuestFinder[] {
  return wanted === "auto" ? SYSTEMS.map(({ name }) => FINDERS[name]) : [FINDERS[wanted]];
}
