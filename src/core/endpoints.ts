/**
 * The endpoints of the core: attaches them with their adapters, and detaches them completely. Leases end,
 * every open command is answered, adapters close one after the other, and the endpoint's last announcements
 * (a seam up, a memory context) are withdrawn.
 *
 * The roster decides which endpoints there are.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { LeaseTable } from "../access/lease_table.ts";
import { MEMCTX_INVALIDATED } from "../event/body_layout.ts";
import { INVALIDATED, LEASE_CLASS, SEAM_REASON } from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE, type Source } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter, CloseReason, LoopPort } from "./adapter_port.ts";
import { AdapterSeat, type SeamListener } from "./adapter_seat.ts";
import type { FaultBoundary } from "./fault_boundary.ts";
import type { Bus } from "./bus.ts";
import { EndpointSlot, type EndpointSpec } from "./endpoint_slot.ts";
import type { LeaseService } from "./lease_service.ts";

/** The parts of the core that the endpoints use. */
export interface EndpointsOptions {
  /** Carries events up and answers commands. */
  readonly bus: Bus;
  /** The loop on which the adapters run. */
  readonly loop: LoopPort;
  /** The lease machine, which adapters may query. */
  readonly leases: LeaseTable;
  /** Ends the leases of an endpoint that is detached. */
  readonly leaseService: LeaseService;
  /** Parent of each adapter's log. */
  readonly log: Log;
  /** Contains what an adapter throws. */
  readonly faults: FaultBoundary;
  /** Sources in the order in which adapters close. Omitted: the adapter that was opened last closes first. */
  readonly closingOrder?: readonly Source[];
  /** Called when a seam comes up or goes down. */
  readonly onSeam: SeamListener;
}

/** Attached endpoints by number. */
export class Endpoints {
  readonly #slots: (EndpointSlot | null)[] = new Array(MAX_ENDPOINTS).fill(null);
  readonly #seats = new Map<Adapter, AdapterSeat>();
  readonly #options: EndpointsOptions;

  /** Starts with none. */
  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** An attached endpoint, or null; accepts any number. */
  get(id: number): EndpointSlot | null {
    return id < MAX_ENDPOINTS ? this.#slots[id] ?? null : null;
  }

  /** All attached endpoints, by number. */
  list(): EndpointSlot[] {
    return this.#slots.filter((slot) => slot !== null);
  }

  /**
   * Attaches an endpoint and opens its adapters. Each adapter reports by itself that it is up, or why not;
   * none delays the others.
   */
  attach(spec: EndpointSpec): EndpointSlot {
    assert(this.#slots[spec.id] === null, "an endpoint's number is free");
    const { bus, loop, leases, log, closingOrder, onSeam } = this.#options;
    for (const { name, source } of spec.adapters) {
      assert(closingOrder?.includes(source) !== false, `${name} has a place in the closing order`);
    }
    const slot = new EndpointSlot(spec);
    this.#slots[spec.id] = slot;
    for (const adapter of spec.adapters) {
      const seat = new AdapterSeat(
        slot,
        adapter.source,
        {
          isOwn: adapter.isOwn === true,
          bus,
          loop,
          leases,
          log: log.for(`${adapter.name}[${spec.name}]`),
          onSeam,
        },
      );
      this.#seats.set(adapter, seat);
      try {
        adapter.open(seat);
      } catch (error) {
        this.faulted(slot, adapter, error);
      }
    }
    return slot;
  }

  /**
   * Hands a command to an adapter. An exception is contained, and the command is answered unless the adapter
   * has done so. Borrowed.
   */
  command(slot: EndpointSlot, adapter: Adapter, command: TransferEvent): void {
    const { ticket } = command;
    try {
      adapter.command(command);
    } catch (error) {
      this.faulted(slot, adapter, error);
      const { bus } = this.#options;
      if (bus.ledger.find(ticket) >= 0) bus.ack(ticket, adapter.source, CODE["seam-down"]);
    }
  }

  /**
   * Tells adapters to drop the requests of a control.
   *
   * @param isMeant selects the seams of an endpoint
   */
  controlGone(control: ControlId, isMeant: (endpoint: EndpointId, source: Source) => boolean): void {
    assert(control > 0, "who is gone was a control");
    for (const slot of this.#slots) {
      if (slot === null) continue;
      for (const adapter of slot.inOrder) {
        // A closed adapter keeps nothing.
        if (adapter.controlGone === undefined || !this.#seats.has(adapter)) continue;
        if (!isMeant(slot.id, adapter.source)) continue;
        try {
          adapter.controlGone(control);
        } catch (error) {
          this.faulted(slot, adapter, error);
        }
      }
    }
  }

  /** Whether a command of a control is queued behind one that stops the VM, or is that one. */
  holds(control: ControlId): boolean {
    const isMeant = (event: TransferEvent): boolean => event.origin === control;
    return this.#slots.some((slot) =>
      slot !== null && ((slot.stopping !== null && isMeant(slot.stopping)) || slot.waiting.some(isMeant))
    );
  }

  /** Takes out the commands queued behind one that stops the VM; each with its reference. */
  extractHeld(pick: (event: TransferEvent) => boolean, take: (event: TransferEvent) => void): void {
    for (const slot of this.#slots) slot?.waiting.extract(pick, take);
  }

  /**
   * A call into an adapter threw: the adapter abandons what it was doing, and its seam is down unless it
   * brought it up again itself.
   */
  faulted(slot: EndpointSlot, adapter: Adapter, error: unknown): void {
    const wasHandled = this.#options.faults.contain("adapter", error, {
      faultAccount: () => ({ name: `${adapter.name}[${slot.name}]`, endpoint: slot.id }),
      ...adapter.onFault === undefined ? {} : { onFault: (thrown: unknown) => adapter.onFault?.(thrown) },
    });
    const seat = this.#seats.get(adapter);
    if (wasHandled || seat === undefined) return;
    seat.emitError(CODE["seam-down"], SEAM_REASON.PROTOCOL_ERROR, `${adapter.name} failed`);
    if (seat.isUp) seat.down(SEAM_REASON.PROTOCOL_ERROR, slot.pid);
  }

  /**
   * Detaches an endpoint.
   *
   * @param reason why, for the adapters
   * @param done called once, when the number can be used again
   */
  detach(id: EndpointId, reason: CloseReason, done: () => void): void {
    const slot = this.get(id);
    assert(slot !== null && !slot.leaving, "only an attached endpoint is detached");
    slot.leaving = true;
    const refuse = (event: TransferEvent): void => this.#refuse(event);
    this.#options.bus.context.extract(DIR.DOWN, (event) => event.endpoint === id, refuse);
    if (slot.stopping !== null) this.#refuse(slot.stopping);
    slot.stopping = null;
    slot.waiting.extract(() => true, refuse);
    for (const cls of Object.values(LEASE_CLASS)) this.#options.leaseService.endpointGone(id, cls);
    this.#closeNext(slot, this.#toClose(slot), reason, done);
  }

  #refuse(event: TransferEvent): void {
    this.#options.bus.refuseQueued(event, CODE["no-endpoint"]);
    event.release();
  }

  /** An endpoint's adapters in the order of closing. */
  #toClose(slot: EndpointSlot): Adapter[] {
    const { closingOrder } = this.#options;
    const adapters = [...slot.inOrder];
    if (closingOrder === undefined) return adapters;
    return adapters.sort((a, b) => closingOrder.indexOf(b.source) - closingOrder.indexOf(a.source));
  }

  /** Closes the adapters one after the other, each when the previous one has reported that it is closed. */
  #closeNext(slot: EndpointSlot, left: Adapter[], reason: CloseReason, done: () => void): void {
    const adapter = left.pop();
    if (adapter === undefined) return this.#allClosed(slot, done);
    assert(this.#seats.has(adapter), "an adapter is closed once");
    let isClosed = false;
    let isForced = false;
    const closed = (): void => {
      if (isForced) return;
      assert(!isClosed, "an adapter says once that it is closed");
      isClosed = true;
      this.#seamClosed(slot, adapter);
      this.#closeNext(slot, left, reason, done);
    };
    try {
      adapter.close(reason, closed);
    } catch (error) {
      this.faulted(slot, adapter, error);
      // The other adapters close all the same.
      if (!isClosed) closed();
      isForced = true;
    }
  }

  #allClosed(slot: EndpointSlot, done: () => void): void {
    const { bus, leaseService } = this.#options;
    assert(slot.inOrder.every((adapter) => !this.#seats.has(adapter)), "every adapter was closed");
    leaseService.endpointClosed(slot.id);
    for (const ticket of bus.ledger.ticketsOf(slot.id)) {
      bus.ack(ticket, SOURCE.CORE, CODE["seam-down"]);
    }
    this.#slots[slot.id] = null;
    done();
  }

  /** Withdraws, for a closed adapter, the announcements that it did not withdraw itself. */
  #seamClosed(slot: EndpointSlot, adapter: Adapter): void {
    const seat = this.#seats.get(adapter);
    assert(seat !== undefined, "an adapter that closes has a seat");
    if (adapter.source === SOURCE.MEMCTX && slot.memctxEpoch >= 0) {
      const event = seat.event(KIND.MEMCTX_INVALIDATED);
      event.words[MEMCTX_INVALIDATED.at.epoch / 4] = slot.memctxEpoch;
      event.words[MEMCTX_INVALIDATED.at.reason / 4] = INVALIDATED.ENDPOINT_GONE;
      seat.emit(event);
    }
    if (seat.isUp) seat.down(SEAM_REASON.ASKED, slot.pid);
    assert(!seat.isUp, "a seam is down before its seat is closed");
    seat.close();
    this.#seats.delete(adapter);
  }
}
