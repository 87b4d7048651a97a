/**
 * The FRAME seam of a stub endpoint: a cursor that moves along a line at a steady rate, as traffic for a
 * control that is being developed, and for benchmarks of the bus.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE } from "../../base/codes.ts";
import { SECOND } from "../../base/clock.ts";
import type { Adapter, CloseReason, Seat, TimerHandler } from "../../core/adapter_port.ts";
import { CURSOR } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";

/** Emits CURSOR_STATE at a rate. */
export class StubCursor implements Adapter, TimerHandler {
  readonly source: Source = SOURCE.FRAME;
  readonly name: string = "frame/stub";
  readonly #periodNs: number;
  #seat: Seat | null = null;
  #seq = 0;
  #nextNs = 0;

  /**
   * Makes a cursor that stands still until it is opened.
   *
   * @param rateHz events per second
   */
  constructor(rateHz: number) {
    this.#periodNs = SECOND / rateHz;
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    seat.up();
    this.#nextNs = seat.loop.clock.nowNs() + this.#periodNs;
    seat.loop.arm(this, this.#nextNs);
  }

  command(event: TransferEvent): void {
    this.#seat?.ack(event.ticket, CODE["not-supported"]);
  }

  /** Called by the loop: the next positions are due. */
  onTimer(nowNs: number): void {
    const seat = this.#seat;
    if (seat === null) return;
    // As many as are due: a rate above what the timer's turns allow is kept all the same.
    for (let burst = 0; this.#nextNs <= nowNs && burst < 64; burst++) {
      const event = seat.event(KIND.CURSOR_STATE);
      event.words[CURSOR.at.x / 4] = this.#seq % 1920;
      event.words[CURSOR.at.y / 4] = 540;
      event.words[CURSOR.at.visible / 4] = 1;
      event.words[CURSOR.at.seq / 4] = ++this.#seq;
      seat.emit(event);
      this.#nextNs += this.#periodNs;
    }
    if (this.#nextNs <= nowNs) this.#nextNs = nowNs + this.#periodNs;
    seat.loop.arm(this, this.#nextNs);
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#seat?.loop.disarm(this);
    this.#seat = null;
    closed();
  }
}
