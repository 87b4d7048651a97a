/**
 * How fast the steps of frames follow each other, for every driver: what a reader in the guest keeps up with,
 * whose buffer in its kernel holds 64 events, 32 keys with their SYN_REPORT. At this pace it fills in 24 ms
 * without being read once, and 667 characters per second can be typed (600 when one in ten needs shift).
 * @module
 */
import { MS } from "../../base/clock.ts";

/** Time between the steps of a frame, or of frames that follow each other without a wait. */
export const STEP_GAP_NS: number = 0.75 * MS;
/** Steps that may go at once after a rest: a chord of four keys. */
export const STEP_BURST = 8;
