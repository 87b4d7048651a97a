/**
 * Rings the other end's doorbell for a channel's link, without blocking and without exceptions.
 * @module
 */
import type { Doorbell } from "../../ffi/doorbell.ts";
import { OsError } from "../../ffi/os_error.ts";

/**
 * Rings the doorbell.
 *
 * @returns false when the doorbell's counter is full. A ring that fails for lack of memory counts as rung:
 *   the other end checks periodically while it sleeps (SLICE_NS), and the next ring may succeed
 */
export function ring(bell: Doorbell): boolean {
  try {
    return bell.ring();
  } catch (error) {
    if (error instanceof OsError) return true;
    throw error;
  }
}
