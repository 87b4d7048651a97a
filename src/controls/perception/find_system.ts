/**
 * Which guest systems are looked for, in one place.
 * @module
 */
import { findGuest } from "../../guest/find_guest.ts";
import type { FindResult } from "../../guest/guest_os.ts";
import { findLinux, type ProfileCache } from "../../guest/linux/find_linux.ts";
import { findWindows } from "../../guest/win32/find_windows.ts";
import type { PhysicalMemory } from "../../guest/physical_memory.ts";

/**
 * Finds the system that runs in RAM.
 *
 * @param memory the guest's RAM, refreshed
 * @param liveRoot the running kernel's page-table root, when somebody knows it
 * @param cache profiles of kernels met before
 */
export function findSystem(memory: PhysicalMemory, liveRoot?: number, cache?: ProfileCache): FindResult {
  return findGuest(memory, [
    (ram) => findLinux(ram, { cache, liveRoot }),
    (ram) => findWindows(ram, { liveRoot }),
  ]);
}
