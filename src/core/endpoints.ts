/**
 * The endpoints of the core: attaching them with their adapters, and taking them off without leaving anything
 * behind. Leases end, every open command is answered, each adapter closes before the next one does, and what
 * the endpoint last said (a seam up, a memory context) is taken back.
 *
 * Which endpoints there are is the roster's business.
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

/** What the endpoints need of the core. */
export interface EndpointsOptions {
  /** Where events go up and answers are given. */
  readonly bus: Bus;
  /** The loop on which the adapters live. */
  readonly loop: LoopPort;
  /** The lease machine, which adapters may ask. */
  readonly leases: LeaseTable;
  /** Ends the leases of an endpoint that goes. */
  readonly leaseService: LeaseService;
  /** Each adapter's log is made of it. */
  readonly log: Log;
  /** Contains what an adapter throws. */
  readonly faults: FaultBoundary;
  /**
   * Sources in the order in which adapters close. Left out: the adapter that was opened last closes first.
   */
  readonly closingOrder?: readonly Source[];
  /** Told when a seam comes or goes. */
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

  /** An attached endpoint, or null; any number may be asked for. */
  get(id: number): EndpointSlot | null {
    return id < MAX_ENDPOINTS ? this.#slots[id] ?? null : null;
  }

  /** All that are attached, by number. */
  list(): EndpointSlot[] {
    return this.#slots.filter((slot) => slot !== null);
  }

  /**
   * Attaches an endpoint and opens its adapters. Each comes up by itself, or says why not; none holds the
   * others back.
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
   * Hands a command to an adapter. What it throws is contained, and the command answered if it was not.
   * Borrowed.
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
   * Tells adapters that a control can ask for nothing of their seam any more.
   *
   * @param isMeant which seams of which endpoints
   */
  controlGone(control: ControlId, isMeant: (endpoint: EndpointId, source: Source) => boolean): void {
    assert(control > 0, "who is gone was a control");
    for (const slot of this.#slots) {
      if (slot === null) continue;
      for (const adapter of slot.inOrder) {
        // One that is closed keeps nothing.
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

  /** Whether a command of a control waits behind one that stops the VM, or is that one. */
  holds(control: ControlId): boolean {
    const isMeant = (event: TransferEvent): boolean => event.origin === control;
    return this.#slots.some((slot) =>
      slot !== null && ((slot.stopping !== null && isMeant(slot.stopping)) || slot.waiting.some(isMeant))
    );
  }

  /** Takes out the commands that wait behind one that stops the VM; each with its reference. */
  extractHeld(pick: (event: TransferEvent) => boolean, take: (event: TransferEvent) => void): void {
    for (const slot of this.#slots) slot?.waiting.extract(pick, take);
  }

  /**
   * An adapter threw where it was called: it ends what it does, and its seam is down unless it has brought it
   * up anew itself.
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
   * Takes an endpoint off.
   *
   * @param reason why, for the adapters
   * @param done called once, when the number is free again
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

  /** An endpoint's adapters, whoever closes first at the end. */
  #toClose(slot: EndpointSlot): Adapter[] {
    const { closingOrder } = this.#options;
    const adapters = [...slot.inOrder];
    if (closingOrder === undefined) return adapters;
    return adapters.sort((a, b) => closingOrder.indexOf(b.source) - closingOrder.indexOf(a.source));
  }

  /** Closes one adapter after the other: the next one when the one before says that it is closed. */
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
      // The others close all the same.
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

  /** Takes back, in a closed adapter's name, what it had said and did not take back itself. */
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
