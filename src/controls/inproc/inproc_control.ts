/**
 * A control in the process of the core: an algorithm embedded as two callbacks. It has a grant and a
 * subscription like any other; events are borrowed for the call.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { EndpointId } from "../../base/ids.ts";
import type { Kind } from "../../event/kind.ts";
import { messageOf } from "../../base/fault.ts";
import { MAX_LANE_EVENTS } from "../../base/limits.ts";
import type { Subscription } from "../../access/subscription.ts";
import type { Control, ControlHandle, HandIn } from "../../core/control_port.ts";
import { EventRing } from "../../event/event_ring.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";

/** What an embedded control does. */
export interface InprocCallbacks {
  /** One event; borrowed: `retain()` to keep it. Commands may be sent from within. */
  onEvent(event: TransferEvent): void;
  /** It is off the bus. */
  onClose?(reason: string): void;
}

/** An in-process control. */
export class InprocControl implements Control {
  /** For audit and logs. */
  readonly name: string;
  /** What it wants to receive. */
  readonly subscription: Subscription;
  readonly #callbacks: InprocCallbacks;
  /** Commands that their lane had no room for: sent, in order, when it has. */
  readonly #waiting = new EventRing();
  #handle: ControlHandle | null = null;
  #corr = 0;

  /**
   * Makes a control; the core puts it on the bus.
   *
   * @param name for audit and logs
   * @param subscription what it wants
   * @param callbacks what it does
   */
  constructor(name: string, subscription: Subscription, callbacks: InprocCallbacks) {
    this.name = name;
    this.subscription = subscription;
    this.#callbacks = callbacks;
  }

  /** Its handle, while it is on the bus. */
  get handle(): ControlHandle | null {
    return this.#handle;
  }

  /** Called by the core: it is on the bus. */
  open(handle: ControlHandle): void {
    assert(this.#handle === null, "a control joins once");
    this.#handle = handle;
  }

  /** Called by the core with each event; what the callback throws takes the control off the bus. */
  deliver(event: TransferEvent): void {
    try {
      this.#callbacks.onEvent(event);
    } catch (error) {
      // It is told by onClose; the bus and everybody else on it go on.
      this.#handle?.leave(`failed: ${messageOf(error)}`);
    }
  }

  /**
   * Sends a command.
   *
   * @param kind a CMD_ kind
   * @param endpoint which VM
   * @param fill writes the inline zone and the body
   * @returns its corr, by which the answer is known; 0 when it is not on the bus, or too many commands wait
   *   for room already
   */
  send(kind: Kind, endpoint: EndpointId, fill?: (event: TransferEvent) => void): number {
    if (this.#handle === null || this.#waiting.length >= MAX_LANE_EVENTS) return 0;
    const event = this.#handle.event(kind);
    event.endpoint = endpoint as EndpointId;
    this.#corr = (this.#corr % 0xffffffff) + 1;
    const corr = this.#corr;
    event.corr = corr;
    fill?.(event);
    if (this.#waiting.length > 0) this.#waiting.push(event);
    else if (this.#offer(event) === "blocked") this.#waiting.unshift(event);
    return corr;
  }

  /** Leaves the bus. */
  leave(): void {
    this.#handle?.leave("left");
  }

  /** Called by the core: commands that found no room are sent now. */
  onRoom(): void {
    while (this.#waiting.length > 0) {
      const event = this.#waiting.shift();
      if (this.#offer(event) === "blocked") {
        this.#waiting.unshift(event);
        return;
      }
    }
  }

  /** Called by the core: it is off the bus. */
  close(reason: string): void {
    assert(this.#handle !== null, "a control that is closed was on the bus");
    this.#handle = null;
    while (this.#waiting.length > 0) this.#waiting.shift().release();
    this.#callbacks.onClose?.(reason);
  }

  #offer(event: TransferEvent): HandIn {
    return (this.#handle as ControlHandle).send(event);
  }
}
