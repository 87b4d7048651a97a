/**
 * A control's handle: the only calls with which it reaches the core. Once the control leaves, all of them are
 * ignored.
 * @module
 */
import type { Kind } from "../event/kind.ts";
import type { Code } from "../base/codes.ts";
import type { ControlId } from "../base/ids.ts";
import type { Grant } from "../access/grant.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ControlHandle, HandIn } from "./control_port.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { MemoryAccount } from "./memory_account.ts";

/** The core's side of a handle. */
export interface ControlService {
  /** A blank event, stamped with the current time. */
  event(kind: Kind): TransferEvent;
  /** Submits a command of a control. */
  send(slot: ControlSlot, command: TransferEvent): HandIn;
  /** Submits an UP event of a control. */
  publish(slot: ControlSlot, event: TransferEvent): void;
  /** Answers a command that the control itself refused. */
  refuse(slot: ControlSlot, event: TransferEvent, code: Code): void;
  /** A control violated the protocol. */
  breach(slot: ControlSlot, what: string): void;
  /** Removes a control at the end of this turn. */
  leave(slot: ControlSlot, reason: string): void;
}

/** The handle of one control. */
export class SlotHandle implements ControlHandle {
  readonly #core: ControlService;
  readonly #slot: ControlSlot;

  /**
   * Makes the handle of a control.
   *
   * @param slot the control's slot
   */
  constructor(core: ControlService, slot: ControlSlot) {
    this.#core = core;
    this.#slot = slot;
  }

  /** The control's number. */
  get id(): ControlId {
    return this.#slot.id;
  }

  /** Its current grant. */
  get grant(): Grant {
    return this.#slot.grant;
  }

  /** Number of its commands that are open or whose answer has not reached it yet. */
  get outstanding(): number {
    return this.#slot.outstanding;
  }

  /** The memory account of its principal. */
  get account(): MemoryAccount {
    return this.#slot.account;
  }

  /** A blank event, stamped with the current time. */
  event(kind: Kind): TransferEvent {
    return this.#core.event(kind);
  }

  /** Submits a command; dropped if the control is leaving. */
  send(event: TransferEvent): HandIn {
    if (!this.#slot.leaving) return this.#core.send(this.#slot, event);
    event.release();
    return "taken";
  }

  /** Submits an event to publish; dropped if the control is leaving. */
  publish(event: TransferEvent): void {
    if (this.#slot.leaving) event.release();
    else this.#core.publish(this.#slot, event);
  }

  /** Answers a command that the control itself refused; does nothing if the control is leaving. */
  refuse(event: TransferEvent, code: Code): void {
    if (this.#slot.leaving) event.release();
    else this.#core.refuse(this.#slot, event, code);
  }

  /** Leaves the bus because of a protocol violation, with an audit entry. */
  breach(what: string): void {
    if (!this.#slot.leaving) this.#core.breach(this.#slot, what);
  }

  /** Leaves the bus. */
  leave(reason: string): void {
    this.#core.leave(this.#slot, reason);
  }
}
