/**
 * The control port: the seam between the core and whoever watches and steers, in the process or on a socket.
 * The core treats both alike.
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
 * What became of a command that a control handed in. `taken`: it is the core's now and will be answered.
 * `blocked`: the lane is full by policy "block"; the event stays the control's, which stops reading and
 * offers it again when {@linkcode Control.onRoom} is called.
 */
export type HandIn = "taken" | "blocked";

/** What the core gives a control. Valid until `close`. */
export interface ControlHandle {
  /** Its number, from 1. */
  readonly id: ControlId;
  /** The live grant; it may shrink while the control lives. */
  readonly grant: Grant;
  /** How many of its commands are not answered yet. */
  readonly outstanding: number;
  /** What its principal's events take. */
  readonly account: MemoryAccount;
  /** A blank event, stamped now. */
  event(kind: Kind): TransferEvent;
  /** Hands in a DOWN command. */
  send(event: TransferEvent): HandIn;
  /** Hands in an UP event to publish (needs PUBLISH). Takes it over. */
  publish(event: TransferEvent): void;
  /**
   * Answers a command, or an event to publish, that the control itself found wanting; audited. Takes it over.
   */
  refuse(event: TransferEvent, code: Code): void;
  /** It broke its transport's protocol, and is told so by the control: audited, and it leaves the bus. */
  breach(what: string): void;
  /** Leaves the bus. The core calls `close` once no callback of this control is on the stack. */
  leave(reason: string): void;
}

/**
 * One control. What it throws is contained (fault_boundary.ts): it leaves by its `onFault`, or is taken off
 * by the core.
 */
export interface Control extends FaultHandler {
  /** For audit and logs. */
  readonly name: string;
  /** What it wants; the core narrows it by the grant. Asked at attach. */
  readonly subscription: Subscription;
  /** Called once, when it is on the bus; retained state follows by `deliver`, then live events. */
  open(handle: ControlHandle): void;
  /** One event for it. Borrowed: `retain()` to keep it. Must not block and must not throw. */
  deliver(event: TransferEvent): void;
  /** End of the core's turn: what was delivered may be flushed now, in one batch. */
  flush?(): void;
  /** The lane that answered `blocked` has room again. */
  onRoom?(): void;
  /** It is off the bus: nothing is delivered after this. */
  close(reason: string): void;
}
