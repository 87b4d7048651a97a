/**
 * The policy of one lane (source, direction): default priority and timing of delivery. It affects transport
 * only: when a control acts is never paced here.
 * @module
 */
import { PRIO_DEFAULT, type PrioChoice } from "../event/priority.ts";

/** What happens to an event that finds its lane full. */
export const DROP = { OLDEST: 0, NEWEST: 1, BLOCK: 2 } as const;
/** The number of a drop policy. */
export type Drop = (typeof DROP)[keyof typeof DROP];

/**
 * One lane's policy. All zeros deliver everything as it comes, except that queued frame notifications are
 * folded: see `lane.ts`.
 */
export interface LanePolicy {
  /** Default priority; PRIO_DEFAULT = the kind's own (see `event/defaults.ts`). */
  readonly prio: PrioChoice;
  /** Least time between two deliveries from the lane, ns. */
  readonly minGapNs: number;
  /** How long an event waits for a newer one of its kind that may replace it, ns. */
  readonly coalesceNs: number;
  /**
   * Number of queued events at which `drop` applies; 0 = the context's own limit. URGENT events are never
   * dropped.
   */
  readonly maxInflight: number;
  /**
   * What to drop. OLDEST: the oldest of the lane's lowest class. NEWEST: the arriving event. BLOCK: nothing,
   * submit answers BLOCKED.
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
