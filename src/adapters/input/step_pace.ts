/**
 * The pace of steps for all drivers: a rate at which a reader in the guest keeps up, whose buffer in its
 * kernel holds 64 events, 32 keys with their SYN_REPORT. At this pace it fills in 24 ms if it is not read at
 * all, and 667 characters per second can be typed (600 if one in ten needs Shift).
 * @module
 */
import { MS } from "../../base/clock.ts";

/** Time between the steps of a frame, or of frames that follow each other without a pause, ns. */
export const STEP_GAP_NS: number = 0.75 * MS;
/** Steps that may be sent at once after a pause: a chord of four keys. */
export const STEP_BURST = 8;
