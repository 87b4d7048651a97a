/**
 * A control in the process of the core: an algorithm embedded as two callbacks. It has a grant and a subscription like any other; events are borrowed for the call.
 * @module
 */
import type { Subscription } from "../../access/subscription.ts";
import type { Control, ControlSeat, HandIn } from "../../core/control_port.ts";
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
  readonly name: string;
  readonly subscription: Subscription;
  readonly #callbacks: InprocCallbacks;
  /** Commands that their lane had no room for: sent, in order, when it has. */
  readonly #waiting = new EventRing();
  #seat: ControlSeat | null = null;
  #corr = 0;

  /**
   * @param name for audit and logs
   * @param subscription what it wants
   * @param callbacks what it does
   */
  constructor(name: string, subscription: Subscription, callbacks: InprocCallbacks) {
    this.name = name;
    this.subscription = subscription;
    this.#callbacks = callbacks;
  }

  /** Its seat, while it is on the bus. */
  get seat(): ControlSeat | null {
    return this.#seat;
  }

  open(seat: ControlSeat): void {
    this.#seat = seat;
  }

  deliver(event: TransferEvent): void {
    this.#callbacks.onEvent(event);
  }

  /**
   * Sends a command.
   *
   * @param kind a CMD_ kind
   * @param endpoint which VM
   * @param fill writes the inline zone and the body
   * @returns its corr, by which the answer is known; 0 when it is not on the bus
   */
  send(kind: number, endpoint: number, fill?: (event: TransferEvent) => void): number {
    if (this.#seat === null) return 0;
    const event = this.#seat.event(kind);
    event.endpoint = endpoint;
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
    this.#seat?.leave("left");
  }

  onRoom(): void {
    while (this.#waiting.length > 0) {
      const event = this.#waiting.shift();
      if (this.#offer(event) === "blocked") {
        this.#waiting.unshift(event);
        return;
      }
    }
  }

  close(reason: string): void {
    this.#seat = null;
    while (this.#waiting.length > 0) this.#waiting.shift().release();
    this.#callbacks.onClose?.(reason);
  }

  #offer(event: TransferEvent): HandIn {
    return (this.#seat as ControlSeat).send(event);
  }
}
