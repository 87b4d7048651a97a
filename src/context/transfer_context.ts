/**
 * The transfer context: priority, sequence and timing of delivery. It orders and paces events without
 * interpreting them, and owns neither a timer nor a clock: callers pass the time, and it returns the next
 * deadline.
 *
 * Order: strict priority between classes; within a class, first in, first out over all lanes. A lane that is
 * paced, or whose first event is in its coalescing window, is skipped without delaying the others; within a
 * lane, events of a class never overtake each other.
 *
 * Full lanes: see `policy.ts`. URGENT events are never dropped or blocked, nor are answers on their way up
 * (each command gets exactly one, whatever the policy); the number of answers is bounded by that of admitted
 * commands. `submit` never waits: with the policy BLOCK it returns BLOCKED and leaves the event with its
 * submitter. On the loop's thread, a socket control then keeps the command and is not read from until there
 * is room, and the core parks an adapter's event, in order, before all later ones of that lane. A submitter
 * on another thread finds its ring full, and waits there.
 *
 * No allocation per event in the steady state (figures: tests/bench/context_bench.ts).
 * @module
 */
import { assert } from "../base/assert.ts";
import { NEVER } from "../base/clock.ts";
import { defaultPrio, DIR, type Dir } from "../event/defaults.ts";
import type { EventQueue } from "../event/event_queue.ts";
import { PRIO, type Prio, PRIO_COUNT, PRIO_DEFAULT } from "../event/priority.ts";
import { type Source, SOURCE_MAX } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { Lane } from "./lane.ts";
import { DROP, type LanePolicy } from "./policy.ts";

/** Result of submitting an event. Only BLOCKED leaves the event with its submitter. */
export const SUBMIT = { QUEUED: 0, COALESCED: 1, DROPPED: 2, BLOCKED: 3 } as const;
/** A result of {@linkcode TransferContext.submit}. */
export type Submit = (typeof SUBMIT)[keyof typeof SUBMIT];

/** Called about events that have been accepted. */
export interface ContextListener {
  /** An event is dropped by policy. Borrowed; released right after the call. */
  onDrop(event: TransferEvent): void;
  /** A lane that answered BLOCKED has room again. */
  onRoom(dir: Dir, source: Source): void;
}

/** Counters since start. */
export interface ContextCounters {
  /** Accepted events, including folded ones. */
  readonly submitted: number;
  /** Events returned by `next`. */
  readonly delivered: number;
  /** Events folded into an older one. */
  readonly coalesced: number;
  /** Events that a full lane dropped. */
  readonly dropped: number;
  /** Submits answered with BLOCKED. */
  readonly blocked: number;
}

/** Orders and paces transfer events in both directions. For use on one thread. */
export class TransferContext {
  readonly #lanes: readonly Lane[] = Array.from({ length: 2 * SOURCE_MAX }, () => new Lane());
  /** [dir * PRIO_COUNT + prio]: bit of each source whose lane has queued events of the class. */
  readonly #occupied = new Int32Array(2 * PRIO_COUNT);
  readonly #waiting = [0, 0];
  readonly #listener: ContextListener;
  #seq = 0;
  #submitted = 0;
  #delivered = 0;
  #coalesced = 0;
  #dropped = 0;
  #blocked = 0;

  /**
   * Starts empty, with lanes that neither pace nor coalesce.
   *
   * @param listener called about drops and room
   */
  constructor(listener: ContextListener) {
    this.#listener = listener;
  }

  /** Sets the policy of a lane. Queued events keep their place. */
  setPolicy(source: Source, dir: Dir, policy: LanePolicy): void {
    this.#lane(dir, source).policy = policy;
  }

  /** The policy of a lane. */
  policyOf(source: Source, dir: Dir): LanePolicy {
    return this.#lane(dir, source).policy;
  }

  /** Number of queued events of a direction. */
  waiting(dir: Dir): number {
    return this.#waiting[dir] as number;
  }

  /** Number of queued events of one lane. */
  depth(source: Source, dir: Dir): number {
    return this.#lane(dir, source).count;
  }

  /** Counters since start. */
  get counters(): ContextCounters {
    return {
      submitted: this.#submitted,
      delivered: this.#delivered,
      coalesced: this.#coalesced,
      dropped: this.#dropped,
      blocked: this.#blocked,
    };
  }

  /**
   * Submits an event.
   *
   * @param dir 0 up, 1 down
   * @param event its `source` chooses the lane; `seq` is set here, `prio` too when it is PRIO_DEFAULT
   * @param nowNs the time
   * @returns one of {@linkcode SUBMIT}; except for BLOCKED, the reference passes to the context
   */
  submit(dir: Dir, event: TransferEvent, nowNs: number): Submit {
    const lane = this.#lane(dir, event.source);
    if (event.prio === PRIO_DEFAULT) {
      event.prio = lane.policy.prio >= 0 ? lane.policy.prio : defaultPrio(event.kind, event.origin !== 0);
    }
    const older = lane.openFor(event);
    if (older !== null) {
      older.exchangeContent(event);
      older.corr = event.corr;
      older.token = event.token;
      older.ticket = event.ticket;
      older.coalesced += event.coalesced + 1;
      // A command that needs an answer ends the window: it must be delivered, not replaced.
      if (older.ticket !== 0) lane.forget(older);
      event.ticket = 0;
      event.release();
      this.#submitted++;
      this.#coalesced++;
      return SUBMIT.COALESCED;
    }
    if (lane.count >= lane.capacity && event.prio !== PRIO.URGENT && !isAnswer(dir, event)) {
      if (lane.policy.drop === DROP.BLOCK) {
        lane.refused = true;
        this.#blocked++;
        return SUBMIT.BLOCKED;
      }
      if (!this.#makeRoom(lane, dir, event)) return SUBMIT.DROPPED;
    }
    this.#submitted++;
    event.seq = ++this.#seq;
    lane.push(event, nowNs);
    this.#occupied[dir * PRIO_COUNT + event.prio]! |= 1 << event.source;
    this.#waiting[dir]!++;
    return SUBMIT.QUEUED;
  }

  /**
   * Takes the next event that is due.
   *
   * @returns the event with its reference, or null if nothing is due before {@linkcode deadline}
   */
  next(dir: Dir, nowNs: number): TransferEvent | null {
    if (this.#waiting[dir] === 0) return null;
    for (let number = PRIO_COUNT - 1; number >= 0; number--) {
      const prio = number as Prio;
      let sources = this.#occupied[dir * PRIO_COUNT + prio] as number;
      let best: Lane | null = null;
      let bestSeq = Infinity;
      while (sources !== 0) {
        const source = (31 - Math.clz32(sources)) as Source;
        sources &= ~(1 << source);
        const lane = this.#lane(dir, source);
        const head = (lane.queues[prio] as EventQueue).peek() as TransferEvent;
        if (head.seq < bestSeq && lane.readyNs(head) <= nowNs) {
          best = lane;
          bestSeq = head.seq;
        }
      }
      if (best !== null) return this.#deliver(best, dir, prio, nowNs);
    }
    return null;
  }

  /**
   * When {@linkcode next} will return an event, ns; NEVER when nothing is queued. A time in the past means
   * now.
   */
  deadline(dir: Dir): number {
    if (this.#waiting[dir] === 0) return NEVER;
    let earliest = NEVER;
    for (let source = 0; source < SOURCE_MAX; source++) {
      const lane = this.#lane(dir, source as Source);
      if (lane.count === 0) continue;
      for (let prio = 0; prio < PRIO_COUNT; prio++) {
        const head = (lane.queues[prio] as EventQueue).peek();
        if (head === null) continue;
        const readyNs = lane.readyNs(head);
        if (readyNs < earliest) earliest = readyNs;
      }
    }
    return earliest;
  }

  /**
   * Removes every queued event for which `pick` is true (of a detached endpoint, of a control that is gone)
   * and passes each with its reference to `take`, oldest first within a class.
   */
  extract(dir: Dir, pick: (event: TransferEvent) => boolean, take: (event: TransferEvent) => void): void {
    for (let number = 0; number < SOURCE_MAX; number++) {
      const source = number as Source;
      const lane = this.#lane(dir, source);
      for (let level = 0; level < PRIO_COUNT; level++) {
        const prio = level as Prio;
        const queue = lane.queues[prio] as EventQueue;
        if (queue.length === 0) continue;
        const taken = queue.extract(pick, (event) => {
          lane.forget(event);
          take(event);
        });
        lane.count -= taken;
        this.#waiting[dir]! -= taken;
        assert(lane.count >= 0 && this.#waiting[dir]! >= 0, "no more events are taken than are queued");
        this.#noteEmptied(queue, dir, prio, source);
      }
      this.#noteRoom(lane, dir, source);
    }
  }

  /** Whether `pick` is true for a queued event. */
  some(dir: Dir, pick: (event: TransferEvent) => boolean): boolean {
    if (this.#waiting[dir] === 0) return false;
    for (let source = 0; source < SOURCE_MAX; source++) {
      if (this.#lane(dir, source as Source).queues.some((queue) => queue.some(pick))) return true;
    }
    return false;
  }

  /** Releases all queued events without calling the listener, at the end. */
  clear(): void {
    for (const dir of [DIR.UP, DIR.DOWN]) this.extract(dir, () => true, (event) => event.release());
    assert(this.#waiting[0] === 0 && this.#waiting[1] === 0, "a cleared context is empty");
  }

  #lane(dir: Dir, source: Source): Lane {
    return this.#lanes[dir * SOURCE_MAX + source] as Lane;
  }

  #deliver(lane: Lane, dir: Dir, prio: Prio, nowNs: number): TransferEvent {
    const event = lane.shift(prio);
    this.#waiting[dir]!--;
    this.#delivered++;
    if (lane.policy.minGapNs > 0) lane.nextNs = nowNs + lane.policy.minGapNs;
    this.#noteEmptied(lane.queues[prio] as EventQueue, dir, prio, event.source);
    this.#noteRoom(lane, dir, event.source);
    return event;
  }

  /** Applies OLDEST or NEWEST to a full lane. False: the arriving event was dropped. */
  #makeRoom(lane: Lane, dir: Dir, event: TransferEvent): boolean {
    this.#dropped++;
    if (lane.policy.drop === DROP.OLDEST) {
      for (let number = 0; number <= event.prio && number < PRIO.URGENT; number++) {
        const prio = number as Prio;
        const queue = lane.queues[prio] as EventQueue;
        if (queue.length === 0) continue;
        const victim = dir === DIR.UP ? lane.takeBroadcast(prio) : lane.shift(prio);
        if (victim === null) continue;
        this.#waiting[dir]!--;
        this.#noteEmptied(queue, dir, prio, victim.source);
        this.#listener.onDrop(victim);
        victim.release();
        return true;
      }
    }
    this.#listener.onDrop(event);
    event.release();
    return false;
  }

  #noteEmptied(queue: EventQueue, dir: Dir, prio: Prio, source: Source): void {
    if (queue.length === 0) this.#occupied[dir * PRIO_COUNT + prio]! &= ~(1 << source);
  }

  #noteRoom(lane: Lane, dir: Dir, source: Source): void {
    if (!lane.refused || lane.count >= lane.capacity) return;
    lane.refused = false;
    this.#listener.onRoom(dir, source);
  }
}

/** Whether an event goes up to one control alone. */
function isAnswer(dir: Dir, event: TransferEvent): boolean {
  return dir === DIR.UP && event.origin !== 0;
}
