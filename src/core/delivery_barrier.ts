/**
 * CMD_BARRIER: a control asks to be told when everything that the core had for it before has been delivered.
 * Retained state was delivered when it joined; later events are in the context. So the answer bypasses the
 * context: once a turn has delivered every event that is due, it is handed to the control with the lowest
 * priority, and thus stands behind everything in the control's priority queue.
 *
 * The barrier does not wait for events that pacing or coalescing holds back, which may take as long as the
 * policy says; the answer names the sources that have such events. Nor does it wait for commands that
 * adapters have not answered.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE, type Code } from "../base/codes.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { writeU64 } from "../base/layout.ts";
import { NO_LEASE_CLASS } from "../access/requirement.ts";
import { ACT_ACK } from "../event/body_layout.ts";
import { judgeBody } from "../event/body_rule.ts";
import { EventQueue } from "../event/event_queue.ts";
import { KIND } from "../event/kind.ts";
import { PRIO } from "../event/priority.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { FanOut } from "./fan_out.ts";

/** Barriers received in this turn. */
export class DeliveryBarriers {
  readonly #bus: Bus;
  readonly #fanOut: FanOut;
  readonly #waiting = new EventQueue();

  /** Answers through the fan-out, bypassing the context of the bus. */
  constructor(bus: Bus, fanOut: FanOut) {
    this.#bus = bus;
    this.#fanOut = fanOut;
  }

  /** Whether barriers are to be answered at the end of the next turn. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Accepts a control's barrier.
   *
   * @param command its origin and source are set; owned by the barrier if the code is ok
   * @returns ok, or the code of the refusal
   */
  take(slot: ControlSlot, command: TransferEvent): Code {
    assert(command.origin === slot.id, "a barrier is taken for the control that sent it");
    if (command.endpoint !== NO_ENDPOINT) return CODE["bad-argument"];
    if (command.bodyBytes > 0) {
      const code = judgeBody(command.kind, command.bodyFormat, command.bodyBytes);
      if (code !== CODE.ok) return code as Code;
    }
    const { ledger } = this.#bus;
    command.ticket = ledger.open(command, NO_LEASE_CLASS, slot.grant, slot.account);
    if (command.ticket === 0) return CODE.busy;
    slot.outstanding++;
    this.#waiting.push(command);
    return CODE.ok;
  }

  /** Answers the barriers; the context has just delivered every event that is due. */
  settle(): void {
    // A barrier sent from within a delivery below waits for the next turn.
    for (let left = this.#waiting.length; left > 0; left--) {
      const command = this.#waiting.shift() as TransferEvent;
      const slot = this.#fanOut.controls.get(command.origin);
      if (slot === undefined || slot.leaving || command.corr === 0) this.#bus.cancel(command.ticket);
      else this.#answer(command, slot);
      command.release();
    }
  }

  #answer(command: TransferEvent, slot: ControlSlot): void {
    const bus = this.#bus;
    const { ledger } = bus;
    const index = ledger.find(command.ticket);
    assert(index >= 0, "a barrier is answered once");
    ledger.close(index);
    const event = bus.event(KIND.ACT_ACK, SOURCE.CORE, NO_ENDPOINT);
    event.origin = command.origin;
    event.ticket = command.ticket;
    event.corr = command.corr;
    event.prio = PRIO.BULK;
    const { words } = event;
    words[ACT_ACK.at.ok / 4] = 1;
    words[ACT_ACK.at.code / 4] = CODE.ok;
    words[ACT_ACK.at.cmdKind / 4] = command.kind;
    words[ACT_ACK.at.detail / 4] = bus.sourcesWaiting() & slot.grant.sources;
    writeU64(event.view, ACT_ACK.at.doneNs, event.tsNs);
    this.#fanOut.deliver(event);
    event.release();
  }
}
