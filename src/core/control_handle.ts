/**
 * A control's handle: the only calls by which it reaches the core. Once the control leaves, nothing passes
 * any more.
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

/** What the core does for the holder of a handle. */
export interface ControlService {
  /** A blank event, stamped now. */
  event(kind: Kind): TransferEvent;
  /** Takes a command of a control. */
  send(slot: ControlSlot, command: TransferEvent): HandIn;
  /** Takes an UP event of a control. */
  publish(slot: ControlSlot, event: TransferEvent): void;
  /** Answers what a control found wanting itself. */
  refuse(slot: ControlSlot, event: TransferEvent, code: Code): void;
  /** A control broke the protocol. */
  breach(slot: ControlSlot, what: string): void;
  /** Takes a control off at the end of this turn. */
  leave(slot: ControlSlot, reason: string): void;
}

/** The handle of one control. */
export class SlotHandle implements ControlHandle {
  readonly #core: ControlService;
  readonly #slot: ControlSlot;

  /**
   * Makes the handle of a control.
   *
   * @param slot whose handle it is
   */
  constructor(core: ControlService, slot: ControlSlot) {
    this.#core = core;
    this.#slot = slot;
  }

  /** The control's number. */
  get id(): ControlId {
    return this.#slot.id;
  }

  /** Its live grant. */
  get grant(): Grant {
    return this.#slot.grant;
  }

  /** How many of its commands are not answered yet, or the answer has not reached it. */
  get outstanding(): number {
    return this.#slot.outstanding;
  }

  /** What its principal's events take. */
  get account(): MemoryAccount {
    return this.#slot.account;
  }

  /** A blank event, stamped now. */
  event(kind: Kind): TransferEvent {
    return this.#core.event(kind);
  }

  /** Hands in a command; one of a control that leaves is dropped. */
  send(event: TransferEvent): HandIn {
    if (!this.#slot.leaving) return this.#core.send(this.#slot, event);
    event.release();
    return "taken";
  }

  /** Hands in an event to publish; one of a control that leaves is dropped. */
  publish(event: TransferEvent): void {
    if (this.#slot.leaving) event.release();
    else this.#core.publish(this.#slot, event);
  }

  /** Answers what the control found wanting itself; nothing is answered to one that leaves. */
  refuse(event: TransferEvent, code: Code): void {
    if (this.#slot.leaving) event.release();
    else this.#core.refuse(this.#slot, event, code);
  }

  /** Leaves the bus, audited, because it broke the protocol. */
  breach(what: string): void {
    if (!this.#slot.leaving) this.#core.breach(this.#slot, what);
  }

  /** Leaves the bus. */
  leave(reason: string): void {
    this.#core.leave(this.#slot, reason);
  }
}
