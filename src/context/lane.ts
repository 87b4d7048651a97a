/**
 * One lane of the transfer context: the queued events of one (source, direction), with a FIFO per priority
 * class and the lane's pacing and coalescing state. The choice between lanes is made by
 * `transfer_context.ts`.
 *
 * Kinds of which only the newest event matters (FRAME_INFO, see `event/defaults.ts`) are folded even without
 * a policy, with no window: a queued event takes the newer one's content, and nothing is delayed for it.
 *
 * Coalescing may replace an event by a newer one of the same kind only if no event of another kind came to
 * this lane in between. A run is a sequence of events of one kind, and only events of the current run can be
 * replaced; this keeps the order between kinds. The end of a run also ends its windows: nothing more can be
 * folded in, so there is nothing to wait for.
 * @module
 */
import type { Kind } from "../event/kind.ts";
import { MAX_ENDPOINTS, MAX_LANE_EVENTS } from "../base/limits.ts";
import { isNewestOnly, isOfSameHead } from "../event/defaults.ts";
import { EventQueue } from "../event/event_queue.ts";
import { PRIO, type Prio, PRIO_COUNT } from "../event/priority.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { type LanePolicy, PASS_THROUGH } from "./policy.ts";

/** The queued events of one source and direction. */
export class Lane {
  /** The lane's pacing, coalescing and dropping. */
  policy: LanePolicy = PASS_THROUGH;
  /** The queues, by priority class. */
  readonly queues: readonly EventQueue[] = Array.from({ length: PRIO_COUNT }, () => new EventQueue());
  /** Number of queued events, all classes together. */
  count = 0;
  /** The earliest time of the next delivery, ns. */
  nextNs = 0;
  /** A submit was answered "blocked" since there last was room. */
  refused = false;
  #runKind = -1;
  /** Sequence number of the first event of the current run. */
  #runSeq = 0;
  /** Endpoint to the queued event that a newer one may replace, if it belongs to the current run. */
  readonly #open: (TransferEvent | null)[] = new Array(MAX_ENDPOINTS).fill(null);

  /** Maximum number of queued events. */
  get capacity(): number {
    return this.policy.maxInflight === 0 ? MAX_LANE_EVENTS : this.policy.maxInflight;
  }

  /** The queued event that `event` may replace, or null. */
  openFor(event: TransferEvent): TransferEvent | null {
    if (event.kind !== this.#runKind || !this.#folds(event.kind)) return null;
    const older = this.#open[event.endpoint];
    if (older === null || older === undefined || older.seq < this.#runSeq) return null;
    // A command that needs an answer must be delivered; an urgent one is never delayed.
    if (older.ticket !== 0 || event.origin !== 0 || older.prio !== event.prio) return null;
    return isOfSameHead(older, event) ? older : null;
  }

  /** Appends an event and takes over the reference. `event.seq` and `event.prio` are set. */
  push(event: TransferEvent, nowNs: number): void {
    if (event.kind !== this.#runKind) {
      this.#runKind = event.kind;
      this.#runSeq = event.seq;
    }
    // An event with an origin is a command or an answer, none of which may be replaced, so none is delayed
    // for it.
    const mayFold = event.prio !== PRIO.URGENT && event.ticket === 0 && event.origin === 0;
    if (mayFold && this.#folds(event.kind)) {
      const { coalesceNs } = this.policy;
      // Without a window it is due at once, even if the loop's time is not up to date.
      if (coalesceNs > 0) event.dueNs = nowNs + coalesceNs;
      if (event.endpoint < MAX_ENDPOINTS) this.#open[event.endpoint] = event;
    }
    (this.queues[event.prio] as EventQueue).push(event);
    this.count++;
  }

  /** Takes the oldest of a class; its reference passes to the caller. */
  shift(prio: Prio): TransferEvent {
    const event = (this.queues[prio] as EventQueue).shift() as TransferEvent;
    this.count--;
    this.forget(event);
    return event;
  }

  /** Takes the oldest of a class that is not an answer to a control; null when all of them are. */
  takeBroadcast(prio: Prio): TransferEvent | null {
    const event = (this.queues[prio] as EventQueue).takeBroadcast();
    if (event === null) return null;
    this.count--;
    this.forget(event);
    return event;
  }

  /** An event left the lane other than by {@linkcode shift}. */
  forget(event: TransferEvent): void {
    if (event.endpoint < MAX_ENDPOINTS && this.#open[event.endpoint] === event) {
      this.#open[event.endpoint] = null;
    }
  }

  /** When the oldest event of a class is due, ns. */
  readyNs(head: TransferEvent): number {
    const due = head.seq >= this.#runSeq ? head.dueNs : 0;
    return due > this.nextNs ? due : this.nextNs;
  }

  #folds(kind: Kind): boolean {
    return this.policy.coalesceNs > 0 || isNewestOnly(kind);
  }
}
