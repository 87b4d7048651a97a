/**
 * What a seam tells beyond its budget: the newest of each is kept, and told ten times per second, in order.
 * The first time in a flood that is said, in the log and by an ERROR to who watches; the flood is over when
 * the whole budget is there again.
 *
 * Held back are VM_LIFECYCLE and ERROR (by the rule of event/folding.ts) and MEMCTX. A seam's coming and
 * going and the end of a memory context are not: what is kept is told before the former, and a context that
 * was never told needs no end.
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

/** Who uses a throttle. */
export interface ThrottleHost {
  /** Sends an event up; takes it over. */
  pass(event: TransferEvent): void;
  /** A flood begins. */
  onFlood(code: Code, text: string): void;
}

/** Keeps one seam within its budget. */
export class SeamThrottle implements TimerHandler {
  readonly #loop: LoopPort;
  readonly #host: ThrottleHost;
  readonly #budget: SeamBudget;
  /** The newest of each that was not told yet, oldest first. */
  readonly #kept: TransferEvent[] = [];
  #isFlood = false;
  #folded = 0;

  /**
   * Starts with the whole budget.
   *
   * @param house the budget that it shares with all other seams
   */
  constructor(loop: LoopPort, house: HouseBudget, host: ThrottleHost) {
    this.#budget = new SeamBudget(house);
    this.#loop = loop;
    this.#host = host;
  }

  /** How many events were replaced by newer ones since the start. */
  get folded(): number {
    return this.#folded;
  }

  /** A command of this seam was answered. */
  earn(): void {
    this.#budget.earn();
  }

  /** Takes an event over: it passes, now or in a while, or a newer one does in its place. */
  take(event: TransferEvent): void {
    const { kind } = event;
    if (kind === KIND.SEAM_UP || kind === KIND.SEAM_DOWN) this.#tellKept();
    else if (kind === KIND.MEMCTX_INVALIDATED) {
      // Of a context that was never told nobody needs to hear the end.
      if (this.#replace((kept) => kept.kind === KIND.MEMCTX)) return event.release();
    } else if (kind === KIND.VM_LIFECYCLE || kind === KIND.ERROR || kind === KIND.MEMCTX) {
      if (this.#isFlood && this.#budget.isFull(event.tsNs)) this.#isFlood = false;
      if (this.#kept.length > 0 || !this.#budget.take(event.tsNs)) return this.#keep(event);
      event.isExcess = this.#isFlood;
    }
    this.#host.pass(event);
  }

  /** Called by the loop: what was kept is told. */
  onTimer(): void {
    this.#tellKept();
  }

  /** Ends; what was kept is forgotten. */
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

  /** Lets go of the kept event that is meant, if there is one. */
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
