/**
 * The policy of one lane, a (source, direction): default priority and protocol timing. Transport only: what a
 * control decides to do, and when, is never paced here.
 * @module
 */
import { PRIO_DEFAULT, type PrioChoice } from "../event/priority.ts";

/** What happens to an event that finds its lane full. */
export const DROP = { OLDEST: 0, NEWEST: 1, BLOCK: 2 } as const;
/** A drop policy's number. */
export type Drop = (typeof DROP)[keyof typeof DROP];

/**
 * One lane's policy. All zeros pass everything through as it comes, but for frame news that still waits: see
 * `lane.ts`.
 */
export interface LanePolicy {
  /** Default priority; PRIO_DEFAULT = the kind's own (see `event/defaults.ts`). */
  readonly prio: PrioChoice;
  /** Least time between two deliveries of the lane, ns. */
  readonly minGapNs: number;
  /** How long an event waits for a newer one of its kind to take its place, ns. */
  readonly coalesceNs: number;
  /**
   * How many may wait before `drop` applies; 0 = as many as the context holds at all. URGENT events are never
   * counted out.
   */
  readonly maxInflight: number;
  /**
   * What gives way. OLDEST: the oldest of the lane's lowest class. NEWEST: the one that arrives. BLOCK: none,
   * submit says so.
   */
  readonly drop: Drop;
}

/** No pacing, no coalescing window, the kind's own priority. */
export const PASS_THROUGH: LanePolicy = {
  prio: PRIO_DEFAULT,
  minGapNs: 0,
  coalesceNs: 0,
  maxInflight: 0,
  drop: DROP.OLDEST,
};
