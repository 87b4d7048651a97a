/**
 * The control port: the interface between the core and a control, in the same process or on a socket. The
 * core treats both alike.
 * @module
 */
import type { Kind } from "../event/kind.ts";
import type { Code } from "../base/codes.ts";
import type { ControlId } from "../base/ids.ts";
import type { Grant } from "../access/grant.ts";
import type { Subscription } from "../access/subscription.ts";
import type { MemoryAccount } from "./memory_account.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { FaultHandler } from "./fault_boundary.ts";

/**
 * Result of submitting a command. `taken`: the core owns it and will answer it. `blocked`: the lane is full
 * and its policy is "block"; the control keeps the event, stops reading, and submits it again when {@linkcode
 * Control.onRoom} is called.
 */
export type HandIn = "taken" | "blocked";

/** A control's access to the core. Valid until `close`. */
export interface ControlHandle {
  /** Its number, from 1. */
  readonly id: ControlId;
  /** The current grant; it may shrink while the control is on the bus. */
  readonly grant: Grant;
  /** Number of its commands that have not been answered yet. */
  readonly outstanding: number;
  /** The memory account of its principal. */
  readonly account: MemoryAccount;
  /** A blank event, stamped with the current time. */
  event(kind: Kind): TransferEvent;
  /** Submits a DOWN command. */
  send(event: TransferEvent): HandIn;
  /** Submits an UP event to publish (needs PUBLISH). Takes ownership of it. */
  publish(event: TransferEvent): void;
  /**
   * Answers a command, or an event to publish, that the control itself refused; audited. Takes ownership of
   * it.
   */
  refuse(event: TransferEvent, code: Code): void;
  /**
   * Its transport's protocol was violated (the control tells the peer): audited, and the control leaves the
   * bus.
   */
  breach(what: string): void;
  /** Leaves the bus. The core calls `close` once no callback of this control is on the stack. */
  leave(reason: string): void;
}

/**
 * One control. An exception in a callback is contained (fault_boundary.ts): the control leaves through its
 * `onFault`, or the core removes it.
 */
export interface Control extends FaultHandler {
  /** Name in audit entries and logs. */
  readonly name: string;
  /** Its subscription, which the core narrows to the grant. Read at attach. */
  readonly subscription: Subscription;
  /** Called once when it is on the bus; `deliver` then passes the retained state, then live events. */
  open(handle: ControlHandle): void;
  /** Delivers one event. Borrowed: `retain()` keeps it. Must not block and must not throw. */
  deliver(event: TransferEvent): void;
  /** End of the core's turn: delivered events may be sent now, in one batch. */
  flush?(): void;
  /** The lane that answered `blocked` has room again. */
  onRoom?(): void;
  /** It is no longer on the bus: nothing is delivered after this. */
  close(reason: string): void;
}
