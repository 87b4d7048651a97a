/**
 * Ringing the other end, as the port of a channel's link wants it: without waiting and without throwing.
 * @module
 */
import type { Doorbell } from "../../ffi/doorbell.ts";
import { OsError } from "../../ffi/os_error.ts";

/**
 * Rings.
 *
 * @returns false when the bell is full. One that cannot be rung for want of memory counts as rung: the other
 *   end looks up from its sleep now and then (SLICE_NS), and the next ring may succeed
 */
export function ring(bell: Doorbell): boolean {
  try {
    return bell.ring();
  } catch (error) {
    if (error instanceof OsError) return true;
    throw error;
  }
}
