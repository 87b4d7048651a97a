/**
 * Looks for a guest's system as perception needs it: kept for long, and for many guests.
 * @module
 */
import { findersFor } from "../../guest/finders.ts";
import { findGuest } from "../../guest/find_guest.ts";
import type { FindResult } from "../../guest/guest_os.ts";
import type { PhysicalMemory } from "../../guest/physical_memory.ts";

/**
 * Finds the system that runs in RAM. Kept for as long as the guest runs, for each of many guests: what it
 * does not need to list processes, it does not keep. A profile is made of each guest's own kernel, because
 * one that another guest had made could blind us.
 *
 * @param memory the guest's RAM, refreshed
 * @param liveRoot the running kernel's page-table root, when somebody knows it
 */
export function findSystem(memory: PhysicalMemory, liveRoot?: number): FindResult {
  return findGuest(memory, findersFor("auto"), { liveRoot, keepTable: false });
}
