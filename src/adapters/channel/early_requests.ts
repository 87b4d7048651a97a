/**
 * Requests that came before QEMU had reported a VM's channels. A VM that has just appeared has a monitor that
 * answers in a moment, so its requests wait for that, in order and for a limited time, rather than being
 * refused. Each one is a retained event, released when it is taken out.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";

/** How long a request waits. */
const WAIT_NS = 5 * SECOND;
/** How many requests wait at once. */
export const MAX_EARLY_REQUESTS = 256;

interface EarlyRequest {
  readonly event: TransferEvent;
  readonly untilNs: number;
}

/** Whether a monitor is being connected to for the first time: it is up, or known to be down, in a moment. */
export function isFirstConnecting({ generation, state }: QmpLink): boolean {
  return generation === 0 && (state === "connecting" || state === "opening");
}

/** The requests of one adapter that wait. */
export class EarlyRequests {
  #waiting: EarlyRequest[] = [];

  /** When the oldest one has waited long enough; NEVER when none waits. */
  get deadlineNs(): number {
    return this.#waiting[0]?.untilNs ?? NEVER;
  }

  /** Keeps a request; false when too many wait already, and it is to be answered now. */
  keep(event: TransferEvent, nowNs: number): boolean {
    assert(event.ticket !== 0, "a request that waits is to be answered");
    if (this.#waiting.length >= MAX_EARLY_REQUESTS) return false;
    this.#waiting.push({ event: event.retain(), untilNs: nowNs + WAIT_NS });
    return true;
  }

  /** Takes out all, in their order. @param run called with each; what it needs beyond the call it retains */
  takeAll(run: (event: TransferEvent) => void): void {
    this.#take(() => true, run);
  }

  /** Takes out those that have waited long enough. */
  takeDue(nowNs: number, run: (event: TransferEvent) => void): void {
    this.#take(({ untilNs }) => untilNs <= nowNs, run);
  }

  /** Takes out all, in their order. @param run what it needs of an event beyond the call it retains */
  drop(isMeant: (event: TransferEvent) => boolean): void {
    this.#take(({ event }) => isMeant(event), () => {});
  }

  #take(isMeant: (early: EarlyRequest) => boolean, run: (event: TransferEvent) => void): void {
    if (this.#waiting.length === 0) return;
    const taken = this.#waiting.filter(isMeant);
    this.#waiting = this.#waiting.filter((early) => !isMeant(early));
    for (const { event } of taken) {
      run(event);
      event.release();
    }
  }
}
