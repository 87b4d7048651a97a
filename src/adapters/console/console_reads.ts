/**
 * Who waits for bytes of one console, and for whom the guest is to wait. Pure: it is told the time.
 * @module
 */
import type { ControlId } from "../../base/ids.ts";
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";

/** Reads of one console that wait. */
export const MAX_WAITING_READS = 256;
/** How long a read may wait for its first byte, ms. */
export const MAX_CONSOLE_WAIT_MS = 60_000;
/** How long after its last read a reader that must lose nothing is still waited for. */
export const PATIENCE_NS = 10 * SECOND;

/** A read that waits. */
export interface WaitingRead {
  /** Whose. */
  readonly control: ControlId;
  /** The command's ticket. */
  readonly ticket: number;
  /** The first byte that it wants. */
  readonly offset: number;
  /** Bytes that it takes at most. */
  readonly maxBytes: number;
  /** When it is answered without any. */
  readonly deadlineNs: number;
  /** Whether the guest is to wait for it. */
  readonly isLossless: boolean;
}

interface Reader {
  readonly offset: number;
  readonly untilNs: number;
}

/** The reads of one console. */
export class ConsoleReads {
  #waiting: WaitingRead[] = [];
  readonly #lossless = new Map<number, Reader>();

  /** How many wait. */
  get count(): number {
    return this.#waiting.length;
  }

  /** When the next one is due, or the next reader is waited for no longer; NEVER when there is none. */
  get deadlineNs(): number {
    let next = NEVER;
    for (const { deadlineNs } of this.#waiting) next = Math.min(next, deadlineNs);
    for (const { untilNs } of this.#lossless.values()) next = Math.min(next, untilNs);
    return next;
  }

  /** The first byte that somebody must not lose; NEVER when nobody minds. */
  get lowestKept(): number {
    let lowest = NEVER;
    for (const { offset } of this.#lossless.values()) lowest = Math.min(lowest, offset);
    return lowest;
  }

  /** Notes how far a control has read, when it must lose nothing. */
  note(control: ControlId, offset: number, nowNs: number): void {
    this.#lossless.set(control, { offset, untilNs: nowNs + PATIENCE_NS });
  }

  /** Lets one wait; false when too many do. */
  add(read: WaitingRead): boolean {
    if (this.#waiting.length >= MAX_WAITING_READS) return false;
    this.#waiting.push(read);
    return true;
  }

  /** Takes out those that can be answered now: all that wait for a byte before `end`. */
  takeReady(end: number): WaitingRead[] {
    return this.#take(({ offset }) => offset < end);
  }

  /** Takes out those that are due, and forgets readers that have not been heard for too long. */
  takeDue(nowNs: number): WaitingRead[] {
    for (const [control, { untilNs }] of this.#lossless) {
      if (untilNs <= nowNs) this.#lossless.delete(control);
    }
    return this.#take(({ deadlineNs }) => deadlineNs <= nowNs);
  }

  /** Takes out all. */
  takeAll(): WaitingRead[] {
    return this.#take(() => true);
  }

  /** Forgets a control; its reads, which nobody awaits any more. */
  takeOf(control: ControlId): WaitingRead[] {
    this.#lossless.delete(control);
    return this.#take((read) => read.control === control);
  }

  #take(isMeant: (read: WaitingRead) => boolean): WaitingRead[] {
    if (this.#waiting.length === 0) return [];
    const taken = this.#waiting.filter(isMeant);
    if (taken.length > 0) this.#waiting = this.#waiting.filter((read) => !isMeant(read));
    assert(taken.every(({ ticket }) => ticket !== 0), "who waits is to be answered");
    return taken;
  }
}
