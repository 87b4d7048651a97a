/**
 * One lane of the transfer context: the events of one (source, direction) that wait, in a FIFO a priority
 * class, with the lane's pacing and coalescing state. It does not choose between lanes; `transfer_context.ts`
 * does.
 *
 * A kind that only says what is newest (FRAME_INFO, see `event/defaults.ts`) is folded without any policy as
 * well, with no window: what still waits takes the newer one's content, and nothing is held back for it.
 *
 * Coalescing may only replace an event by a newer one of the same kind when nothing of another kind came to
 * this lane in between: a run is a stretch of events of one kind, and only events of the current run are
 * open. That is what keeps order between kinds. When the run ends, its windows end too: nothing more can be
 * folded in, so waiting would be for nothing.
 * @module
 */
import type { Kind } from "../event/kind.ts";
import { MAX_ENDPOINTS, MAX_LANE_EVENTS } from "../base/limits.ts";
import { isNewestOnly, isOfSameHead } from "../event/defaults.ts";
import { EventQueue } from "../event/event_queue.ts";
import { PRIO, type Prio, PRIO_COUNT } from "../event/priority.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { type LanePolicy, PASS_THROUGH } from "./policy.ts";

/** Waiting events of one source and direction. */
export class Lane {
  /** How it paces, folds and drops. */
  policy: LanePolicy = PASS_THROUGH;
  /** What waits, by priority class. */
  readonly queues: readonly EventQueue[] = Array.from({ length: PRIO_COUNT }, () => new EventQueue());
  /** How many wait, all classes together. */
  count = 0;
  /** When the next delivery is allowed, ns. */
  nextNs = 0;
  /** A submit was answered "blocked" since the last time there was room. */
  refused = false;
  #runKind = -1;
  /** Sequence number of the first event of the current run. */
  #runSeq = 0;
  /** Endpoint to the waiting event that a newer one may replace, if it is of the current run. */
  readonly #open: (TransferEvent | null)[] = new Array(MAX_ENDPOINTS).fill(null);

  /** How many may wait. */
  get capacity(): number {
    return this.policy.maxInflight === 0 ? MAX_LANE_EVENTS : this.policy.maxInflight;
  }

  /** The waiting event that `event` may take the place of, or null. */
  openFor(event: TransferEvent): TransferEvent | null {
    if (event.kind !== this.#runKind || !this.#folds(event.kind)) return null;
    const older = this.#open[event.endpoint];
    if (older === null || older === undefined || older.seq < this.#runSeq) return null;
    // A command that is owed an answer must be delivered; an urgent one is never held back.
    if (older.ticket !== 0 || event.origin !== 0 || older.prio !== event.prio) return null;
    return isOfSameHead(older, event) ? older : null;
  }

  /** Appends; takes over the reference. `event.seq` and `event.prio` are set. */
  push(event: TransferEvent, nowNs: number): void {
    if (event.kind !== this.#runKind) {
      this.#runKind = event.kind;
      this.#runSeq = event.seq;
    }
    // What has an origin is a command or an answer: each one counts, so none is held back for another to
    // replace it.
    const mayFold = event.prio !== PRIO.URGENT && event.ticket === 0 && event.origin === 0;
    if (mayFold && this.#folds(event.kind)) {
      const { coalesceNs } = this.policy;
      // Without a window it is due at once, however old the loop's idea of the time.
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

  /** An event left the lane by another way than {@linkcode shift}. */
  forget(event: TransferEvent): void {
    if (event.endpoint < MAX_ENDPOINTS && this.#open[event.endpoint] === event) {
      this.#open[event.endpoint] = null;
    }
  }

  /** When the oldest event of a class may be delivered, ns. */
  readyNs(head: TransferEvent): number {
    const due = head.seq >= this.#runSeq ? head.dueNs : 0;
    return due > this.nextNs ? due : this.nextNs;
  }

  #folds(kind: Kind): boolean {
    return this.policy.coalesceNs > 0 || isNewestOnly(kind);
  }
}
