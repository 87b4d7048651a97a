/**
 * The transfer context: priority, sequence and protocol timing of delivery. It orders and paces what was
 * already decided; it interprets nothing, owns no timer and no clock: it is told the time and tells the next
 * deadline.
 *
 * Order: strict priority between classes; within a class first in, first out over all lanes. A lane that is
 * paced or whose head still waits in its coalescing window stands aside without holding the others back;
 * within a lane nothing overtakes in its class.
 *
 * Full lanes: see `policy.ts`. An URGENT event is never dropped or blocked, nor is an answer on its way up to
 * its control (each command gets exactly one, whatever the policy); how many answers there can be is bounded
 * by the commands that are taken. `submit` never waits: with the policy BLOCK it answers BLOCKED and leaves
 * the event with its submitter. When the submitter is the loop itself that means: a socket control keeps the
 * command and is not read until there is room; an adapter's event is parked by the core, in order, in front
 * of all later ones of that lane. A submitter on another thread sees its ring stay full, and waits there.
 *
 * Steady state: no allocation per event (see tests/bench/context_bench.ts for the figure).
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

/** What became of a submitted event. Only BLOCKED leaves it with the submitter. */
export const SUBMIT = { QUEUED: 0, COALESCED: 1, DROPPED: 2, BLOCKED: 3 } as const;
/** An outcome of {@linkcode TransferContext.submit}. */
export type Submit = (typeof SUBMIT)[keyof typeof SUBMIT];

/** Told what the context decides about events that are no longer the submitter's. */
export interface ContextListener {
  /** An event is dropped by policy. Borrowed; released right after. */
  onDrop(event: TransferEvent): void;
  /** A lane that answered BLOCKED has room again. */
  onRoom(dir: Dir, source: Source): void;
}

/** Counters since start. */
export interface ContextCounters {
  /** Events that were taken in, folded ones included. */
  readonly submitted: number;
  /** Events that came out by `next`. */
  readonly delivered: number;
  /** Events that took the place of an older one. */
  readonly coalesced: number;
  /** Events that a full lane dropped. */
  readonly dropped: number;
  /** Submits that were answered BLOCKED. */
  readonly blocked: number;
}

/** Orders and paces transfer events in both directions. Lives on one thread. */
export class TransferContext {
  readonly #lanes: readonly Lane[] = Array.from({ length: 2 * SOURCE_MAX }, () => new Lane());
  /** [dir * PRIO_COUNT + prio]: bit of each source whose lane has such events. */
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
   * Starts empty, with lanes that pass everything through.
   *
   * @param listener told of drops and of room
   */
  constructor(listener: ContextListener) {
    this.#listener = listener;
  }

  /** Sets the policy of a lane. What already waits keeps its place. */
  setPolicy(source: Source, dir: Dir, policy: LanePolicy): void {
    this.#lane(dir, source).policy = policy;
  }

  /** The policy of a lane. */
  policyOf(source: Source, dir: Dir): LanePolicy {
    return this.#lane(dir, source).policy;
  }

  /** How many events wait in a direction. */
  waiting(dir: Dir): number {
    return this.#waiting[dir] as number;
  }

  /** How many events wait in one lane. */
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
   * Takes an event in.
   *
   * @param dir 0 up, 1 down
   * @param event its `source` chooses the lane; `seq` is set here, `prio` too when it is PRIO_DEFAULT
   * @param nowNs the time
   * @returns one of {@linkcode SUBMIT}; the caller's reference is the context's, but for BLOCKED
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
      // One that owes an answer closes the window: it will be delivered, not replaced.
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
   * Takes the next event that may be delivered now.
   *
   * @returns the event with its reference, or null: nothing waits, or all of it waits for {@linkcode
   *   deadline}
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
   * When {@linkcode next} will have something, ns; NEVER when nothing waits. May lie in the past: then it has
   * it now.
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
   * Takes out every waiting event for which `pick` is true (a detached endpoint's, a dead control's) and
   * hands each with its reference to `take`, oldest first within a class.
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
        this.#noteEmptied(queue, dir, prio, source);
      }
      this.#noteRoom(lane, dir, source);
    }
  }

  /** Whether `pick` is true of an event that waits. */
  some(dir: Dir, pick: (event: TransferEvent) => boolean): boolean {
    if (this.#waiting[dir] === 0) return false;
    for (let source = 0; source < SOURCE_MAX; source++) {
      if (this.#lane(dir, source as Source).queues.some((queue) => queue.some(pick))) return true;
    }
    return false;
  }

  /** Releases everything that waits, without telling the listener: the end. */
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

  /** Applies OLDEST or NEWEST to a full lane. False: the arriving event itself was dropped. */
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

/** What goes up to one control alone. */
function isAnswer(dir: Dir, event: TransferEvent): boolean {
  return dir === DIR.UP && event.origin !== 0;
}
