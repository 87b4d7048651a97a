/**
 * Who wants which pictures of one head: watchers with their rates, and single requests that wait to be
 * served. It is told of commands and of controls that go, and says what to tell whoever makes the pictures.
 *
 * Single requests are numbered. A picture that was begun for request N serves all requests up to N, and none
 * that came later: what a control asked for is at least as new as its question.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER } from "../../base/clock.ts";
import type { ControlId } from "../../base/ids.ts";
import { MAX_FRAMES_PER_SECOND } from "../../base/limits.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import { FRAME_DEMAND } from "../../event/body_layout.ts";
import {
  DEMAND_DEVICE_MASK,
  DEMAND_DEVICE_SHIFT,
  DEMAND_PICTURE,
  DEMAND_STOPPED,
  DEMAND_TEXT,
} from "../../event/body_number.ts";

/** Pictures per second of who says no other number. */
export const DEFAULT_RATE = 10;
/** Pictures per second at most. */
export const MAX_RATE: number = MAX_FRAMES_PER_SECOND;

/** A request that waits. */
interface Waiting {
  readonly ticket: number;
  readonly serial: number;
  readonly sinceNs: number;
}

/** What is asked for once. */
export type OnceKind = "picture" | "text";

/** The demand for one head. */
export class FrameDemand {
  /** The head. */
  readonly head: number;
  readonly #rates = new Map<ControlId, number>();
  readonly #waiting: { readonly [K in OnceKind]: Waiting[] } = { picture: [], text: [] };
  readonly #serial: { [K in OnceKind]: number } = { picture: 0, text: 0 };
  /** How often the head's device became another one, or none. */
  #replaced = 0;

  /** Nobody wants anything yet. */
  constructor(head: number) {
    this.head = head;
  }

  /** Whether anybody waits for a picture or a text. */
  get hasWaiting(): boolean {
    return this.#waiting.picture.length > 0 || this.#waiting.text.length > 0;
  }

  /** When the request that has waited longest was made; undefined when none waits. */
  get oldestNs(): number | undefined {
    const first = [this.#waiting.picture[0]?.sinceNs, this.#waiting.text[0]?.sinceNs];
    const times = first.filter((ns) => ns !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Pictures per second that the most eager watcher wants; 0 without any. */
  get perSecond(): number {
    let most = 0;
    for (const rate of this.#rates.values()) most = Math.max(most, rate);
    return most;
  }

  /**
   * A control watches from now on, or at another rate.
   *
   * @param perSecond 1 to {@linkcode MAX_RATE}; 0 = {@linkcode DEFAULT_RATE}
   */
  watch(control: ControlId, perSecond: number): void {
    assert(perSecond >= 0 && perSecond <= MAX_RATE, "a rate was checked");
    this.#rates.set(control, perSecond === 0 ? DEFAULT_RATE : perSecond);
  }

  /** A control does not watch any more; whether it did. */
  unwatch(control: ControlId): boolean {
    return this.#rates.delete(control);
  }

  /** A control waits for one picture or text as of now. */
  ask(kind: OnceKind, ticket: number, nowNs: number): void {
    const serial = this.#serial[kind] = (this.#serial[kind] + 1) >>> 0;
    this.#waiting[kind].push({ ticket, serial, sinceNs: nowNs });
  }

  /**
   * Takes out the tickets that are served.
   *
   * @param serial the newest request that was known when the picture was made
   */
  served(kind: OnceKind, serial: number): number[] {
    // Serials wrap: what counts is which side of `serial` they are on.
    return this.#take(kind, (each) => ((serial - each.serial) | 0) >= 0);
  }

  /** Takes out the tickets that have waited since before a time. */
  late(beforeNs: number): number[] {
    const isLate = (each: Waiting) => each.sinceNs <= beforeNs;
    return [...this.#take("picture", isLate), ...this.#take("text", isLate)];
  }

  /** Whether anybody watches. */
  get isWatched(): boolean {
    return this.#rates.size > 0;
  }

  /**
   * The head's device was removed: nobody wants anything of the one that has its number next.
   *
   * @returns the tickets that wait
   */
  replaced(): number[] {
    this.#replaced = (this.#replaced + 1) & DEMAND_DEVICE_MASK;
    this.#rates.clear();
    return this.late(NEVER);
  }

  /** Writes itself as a FRAME_DEMAND. */
  write(event: TransferEvent, isStopped: boolean): void {
    const flags = (isStopped ? DEMAND_STOPPED : 0) |
      (this.#waiting.picture.length > 0 ? DEMAND_PICTURE : 0) |
      (this.#waiting.text.length > 0 ? DEMAND_TEXT : 0) |
      this.#replaced << DEMAND_DEVICE_SHIFT;
    const { at } = FRAME_DEMAND;
    const { words } = event;
    words[at.head / 4] = this.head;
    words[at.perSecond / 4] = this.perSecond;
    words[at.onceSerial / 4] = this.#serial.picture;
    words[at.textSerial / 4] = this.#serial.text;
    words[at.watchers / 4] = this.#rates.size;
    words[at.flags / 4] = flags;
  }

  #take(kind: OnceKind, isMeant: (each: Waiting) => boolean): number[] {
    const tickets: number[] = [];
    const left = this.#waiting[kind].filter((each) => {
      if (!isMeant(each)) return true;
      tickets.push(each.ticket);
      return false;
    });
    this.#waiting[kind].splice(0, Infinity, ...left);
    return tickets;
  }
}
