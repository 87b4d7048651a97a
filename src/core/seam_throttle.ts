/**
 * Handles a seam's events beyond its budget: keeps the newest of each kind and sends it ten times per second,
 * in order. The start of a flood is reported in the log and by an ERROR to the observers; the flood is over
 * when the whole budget is available again.
 *
 * VM_LIFECYCLE and ERROR (by the rule of event/folding.ts) and MEMCTX are held back. SEAM_UP, SEAM_DOWN and
 * the end of a memory context are not: kept events are sent before the former, and a context that was never
 * sent needs no end.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MS } from "../base/clock.ts";
import { CODE, type Code } from "../base/codes.ts";
import { folds, mayFold } from "../event/folding.ts";
import { KIND } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { LoopPort, TimerHandler } from "./adapter_port.ts";
import { type HouseBudget, SeamBudget } from "./seam_budget.ts";

const TELL_EVERY_NS = 100 * MS;

/** The user of a throttle. */
export interface ThrottleHost {
  /** Sends an event up; takes ownership of it. */
  pass(event: TransferEvent): void;
  /** A flood begins. */
  onFlood(code: Code, text: string): void;
}

/** Keeps one seam within its budget. */
export class SeamThrottle implements TimerHandler {
  readonly #loop: LoopPort;
  readonly #host: ThrottleHost;
  readonly #budget: SeamBudget;
  /** The newest of each kind that has not been sent, oldest first. */
  readonly #kept: TransferEvent[] = [];
  #isFlood = false;
  #folded = 0;

  /**
   * Starts with the whole budget.
   *
   * @param house the budget shared with all other seams
   */
  constructor(loop: LoopPort, house: HouseBudget, host: ThrottleHost) {
    this.#budget = new SeamBudget(house);
    this.#loop = loop;
    this.#host = host;
  }

  /** Number of events that newer ones replaced since the start. */
  get folded(): number {
    return this.#folded;
  }

  /** A command of this seam was answered. */
  earn(): void {
    this.#budget.earn();
  }

  /** Takes ownership of an event, which is sent now or later, or replaced by a newer one. */
  take(event: TransferEvent): void {
    const { kind } = event;
    if (kind === KIND.SEAM_UP || kind === KIND.SEAM_DOWN) this.#tellKept();
    else if (kind === KIND.MEMCTX_INVALIDATED) {
      // If the context was never sent, nobody needs to hear of its end.
      if (this.#replace((kept) => kept.kind === KIND.MEMCTX)) return event.release();
    } else if (kind === KIND.VM_LIFECYCLE || kind === KIND.ERROR || kind === KIND.MEMCTX) {
      if (this.#isFlood && this.#budget.isFull(event.tsNs)) this.#isFlood = false;
      if (this.#kept.length > 0 || !this.#budget.take(event.tsNs)) return this.#keep(event);
      event.isExcess = this.#isFlood;
    }
    this.#host.pass(event);
  }

  /** Called by the loop: sends the kept events. */
  onTimer(): void {
    this.#tellKept();
  }

  /** Ends the throttle; kept events are dropped. */
  close(): void {
    this.#loop.disarm(this);
    for (const event of this.#kept) event.release();
    this.#kept.length = 0;
  }

  #keep(event: TransferEvent): void {
    assert(!this.#kept.includes(event), "an event is kept once");
    const isSame = event.kind === KIND.MEMCTX
      ? (kept: TransferEvent) => kept.kind === KIND.MEMCTX
      : (kept: TransferEvent) => mayFold(event) && folds(event, kept);
    this.#replace(isSame);
    if (this.#kept.length === 0) this.#loop.arm(this, this.#loop.clock.nowNs() + TELL_EVERY_NS);
    this.#kept.push(event);
    if (this.#isFlood) return;
    this.#isFlood = true;
    this.#host.onFlood(CODE.dropped, "event flood: only the newest are sent");
  }

  /** Releases the matching kept event, if there is one. */
  #replace(isMeant: (kept: TransferEvent) => boolean): boolean {
    const at = this.#kept.findIndex(isMeant);
    if (at < 0) return false;
    this.#kept.splice(at, 1)[0]?.release();
    this.#folded++;
    return true;
  }

  #tellKept(): void {
    this.#loop.disarm(this);
    for (const event of this.#kept.splice(0)) {
      event.isExcess = true;
      this.#host.pass(event);
    }
  }
}
