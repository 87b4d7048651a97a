/**
 * The core: joins endpoints and controls. Up: adapter -> context -> fan-out -> control. Down: control ->
 * command rule -> context -> route (the lease is checked again) -> adapter. The loop drives it on its own
 * thread; it knows nothing of transports, drivers or authorisation policy.
 *
 * Controls and adapters may call it from within their own callbacks. A control that leaves is removed at the
 * end of the turn (of a later one when hundreds leave at once), when none of its frames is on the stack. Its
 * commands of that turn are routed before: what was sent before an orderly goodbye is carried out.
 * @module
 */
import type { LeaseClass } from "../event/body_number.ts";
import { assert } from "../base/assert.ts";
import { CODE, type Code } from "../base/codes.ts";
import { type ControlId, type EndpointId, NO_CONTROL, NO_ENDPOINT } from "../base/ids.ts";
import type { Grant } from "../access/grant.ts";
import { LeaseTable } from "../access/lease_table.ts";
import { leaseClassFor } from "../access/requirement.ts";
import type { LanePolicy } from "../context/policy.ts";
import { SUBMIT } from "../context/transfer_context.ts";
import { DIR, type Dir, sourceOfKind } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { PRIO_DEFAULT } from "../event/priority.ts";
import { SOURCE, type Source } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter, CloseReason, LoopPort, TurnHook } from "./adapter_port.ts";
import { judgeCommand } from "./command_rule.ts";
import type { AuditTrail } from "./audit_trail.ts";
import { Bus } from "./bus.ts";
import { type ContainedFault, FaultBoundary } from "./fault_boundary.ts";
import { CommandRoute } from "./command_route.ts";
import type { Control, ControlHandle, HandIn } from "./control_port.ts";
import { ControlSlot } from "./control_slot.ts";
import type { CoreOptions } from "./core_options.ts";
import { DeliveryBarriers } from "./delivery_barrier.ts";
import { SlotHandle } from "./control_handle.ts";
import { ControlReaper } from "./control_reaper.ts";
import { hasLost } from "./departures.ts";
import type { EndpointSlot, EndpointSpec } from "./endpoint_slot.ts";
import { Endpoints } from "./endpoints.ts";
import { EventPump } from "./event_pump.ts";
import { FanOut } from "./fan_out.ts";
import { LeaseService } from "./lease_service.ts";
import { MemoryAccounts } from "./memory_account.ts";
import { judgePublish } from "./publish_rule.ts";
import { Refusals } from "./refusals.ts";
import { Retained } from "./retained.ts";
import { rosterEvent, type RosterFields } from "./roster_event.ts";
import { refuseUngranted } from "./ungranted.ts";

export type { CoreOptions } from "./core_options.ts";

/** Time limit of a turn's flush before the rest is left to the next turn, ns: about 500 sends. */
const FLUSH_NS = 1_500_000;
/**
 * Deliveries to controls' queues that the callbacks of one turn may leave to the core, at about 60 ns each.
 */
const DELIVERIES_PER_TURN = 20_000;

/** The core of the bus. */
export class Core implements TurnHook {
  /** The event path: context, ledger, pool. */
  readonly bus: Bus;
  /** The lease machine. */
  readonly leases: LeaseTable;
  /** The controls, and who receives what. */
  readonly fanOut: FanOut;
  /** The audit trail. */
  readonly audit: AuditTrail;
  /** Contains what a control or an adapter throws when called. */
  readonly faults: FaultBoundary;
  /** Each principal's memory account. */
  readonly accounts: MemoryAccounts = new MemoryAccounts();
  readonly #loop: LoopPort;
  readonly #retained = new Retained();
  readonly #refusals: Refusals;
  readonly #endpoints: Endpoints;
  readonly #leaseService: LeaseService;
  readonly #deliveryBarriers: DeliveryBarriers;
  readonly #pump: EventPump;
  readonly #reaper: ControlReaper;
  #lastControl = 0;
  /** Sources of DOWN lanes that have room again; blocked controls are told at the end of the turn. */
  #roomDown = 0;

  /** Makes a core without endpoints and controls, and registers it as the loop's hook. */
  constructor(options: CoreOptions) {
    const { loop } = options;
    const log = options.log.for("core");
    this.#loop = loop;
    this.bus = new Bus(loop, log, options.log.for("audit"), {
      principalOf: (id) => this.fanOut.controls.get(id)?.grant,
      nameOf: (id) => this.fanOut.controls.get(id)?.control.name ?? "",
      onSilent: (id) => this.fanOut.settleSilently(id),
      hasAuditors: () => this.fanOut.auditors > 0,
      onRoomDown: (source) => (this.#roomDown |= 1 << source),
    });
    const { bus } = this;
    this.#refusals = new Refusals(bus);
    this.audit = bus.audit;
    this.faults = options.faults ?? new FaultBoundary(log, loop.clock, (fault) => this.auditFault(fault));
    this.leases = new LeaseTable(options.arbitration);
    this.fanOut = new FanOut(this.#retained, loop.clock, (slot, error) => this.#onControlFault(slot, error));
    const leaseService = new LeaseService({
      bus,
      loop,
      table: this.leases,
      endpointOf: (id) => this.#endpoints.get(id),
      onFault: this.#onSeamFault,
    });
    this.#leaseService = leaseService;
    this.#endpoints = new Endpoints({
      bus,
      loop,
      leases: this.leases,
      leaseService,
      log,
      faults: this.faults,
      onSeam: options.onSeam ?? (() => {}),
      ...options.closingOrder === undefined ? {} : { closingOrder: options.closingOrder },
    });
    this.#deliveryBarriers = new DeliveryBarriers(bus, this.fanOut);
    const { controls } = this.fanOut;
    const route = new CommandRoute(bus, this.#endpoints, this.leases, leaseService, controls);
    this.#pump = new EventPump(bus, route, this.fanOut);
    this.#reaper = new ControlReaper({
      bus,
      loop,
      pump: this.#pump,
      fanOut: this.fanOut,
      retained: this.#retained,
      endpoints: this.#endpoints,
      leaseService,
      faults: this.faults,
    });
    loop.everyTurn(this);
  }

  /** Sets the policy of a lane. */
  setPolicy(source: Source, dir: Dir, policy: LanePolicy): void {
    this.bus.context.setPolicy(source, dir, policy);
  }

  /** An attached endpoint, or null. */
  endpoint(id: number): EndpointSlot | null {
    return this.#endpoints.get(id);
  }

  /** Attached endpoints by number. */
  endpoints(): EndpointSlot[] {
    return this.#endpoints.list();
  }

  /**
   * Attaches an endpoint and opens its adapters. Each adapter reports by itself that it is up, or why not;
   * none delays the others.
   */
  attach(spec: EndpointSpec): EndpointSlot {
    return this.#endpoints.attach(spec);
  }

  /**
   * Detaches an endpoint: its leases end, held keys are released, every open command is answered, its
   * adapters close, then `done` is called.
   *
   * @param reason why, for the adapters
   * @param done called once, when the number can be used again
   */
  detach(id: EndpointId, reason: CloseReason, done: () => void): void {
    this.#endpoints.detach(id, reason, done);
  }

  /** Publishes an endpoint's roster entry, which is retained until {@linkcode forget}. */
  publishRoster(endpoint: EndpointId, entry: RosterFields): void {
    this.bus.up(rosterEvent(this.bus, endpoint, entry));
  }

  /** Drops the retained state of an endpoint that is gone. Queued events are delivered first. */
  forget(endpoint: EndpointId): void {
    this.#pump.up();
    this.#retained.forget(endpoint);
  }

  /** The number of the next control. */
  get nextControlId(): ControlId {
    return (this.#lastControl + 1) as ControlId;
  }

  /** Puts a control on the bus with a grant: opens it, then delivers the retained state, then live events. */
  addControl(control: Control, grant: Grant): ControlHandle {
    const id = ++this.#lastControl as ControlId;
    const slot = new ControlSlot(id, control, grant, this.accounts.join(grant.principal));
    const handle = new SlotHandle(this, slot);
    // Queued events are delivered before the control is added; what they leave as retained state is replayed
    // to it, in order.
    this.#pump.up();
    this.fanOut.add(slot);
    try {
      control.open(handle);
    } catch (error) {
      this.#onControlFault(slot, error);
    }
    this.fanOut.replay(slot);
    return handle;
  }

  /**
   * Changes a control's grant: a smaller grant takes effect at once, also on leases and on queued commands.
   */
  regrant(id: ControlId, grant: Grant): void {
    const slot = this.fanOut.controls.get(id);
    if (slot === undefined) return;
    const before = slot.grant;
    this.fanOut.regrant(slot, grant);
    this.#leaseService.regranted(slot);
    refuseUngranted(slot, this.bus, this.#endpoints);
    // Queued commands that it may no longer send have just been answered, so none of them is still pending.
    this.#endpoints.controlGone(id, (endpoint, source) => hasLost(before, grant, endpoint, source));
  }

  /** A blank event, stamped with the current time. */
  event(kind: Kind): TransferEvent {
    const event = this.bus.pool.acquire();
    event.kind = kind;
    event.tsNs = this.bus.clock.nowNs();
    return event;
  }

  /**
   * Removes a control at the end of this turn, or of a later one when many leave at once. It receives nothing
   * from now on.
   */
  leave(slot: ControlSlot, reason: string): void {
    this.#reaper.leave(slot, reason);
  }

  /** Handles a command of a control. */
  send(slot: ControlSlot, command: TransferEvent): HandIn {
    command.dir = DIR.DOWN;
    command.origin = slot.id;
    command.source = sourceOfKind(command.kind);
    const nowNs = this.bus.clock.nowNs();
    this.leases.touch(slot.id, nowNs);
    if (command.kind === KIND.CMD_BARRIER) return this.#sendBarrier(slot, command);
    const endpoint = this.#endpoints.get(command.endpoint);
    const attached = endpoint !== null && !endpoint.leaving;
    const code = judgeCommand(command, slot.id, slot.grant, attached, this.leases);
    if (code !== CODE.ok) return this.#refuse(slot, command, code);
    const isLease = command.source === SOURCE.CORE;
    if (isLease) {
      // A lease command keeps its place behind its control's earlier commands, which are routed first.
      this.#pump.down(nowNs);
      command.prio = PRIO_DEFAULT;
    }
    const cls = isLease ? (command.words[0] as LeaseClass) : leaseClassFor(command);
    command.ticket = this.bus.ledger.open(command, cls, slot.grant, slot.account);
    if (command.ticket === 0) return this.#refuse(slot, command, CODE.busy);
    const { source, ticket } = command;
    slot.outstanding++;
    if (this.bus.context.submit(DIR.DOWN, command, nowNs) === SUBMIT.BLOCKED) {
      slot.outstanding--;
      this.bus.ledger.close(this.bus.ledger.find(ticket));
      command.ticket = 0;
      slot.blockedOn |= 1 << source;
      return "blocked";
    }
    if (isLease) this.#pump.down(nowNs);
    return "taken";
  }

  /**
   * The control's earlier commands are routed first; the barrier is answered when this turn has delivered.
   */
  #sendBarrier(slot: ControlSlot, command: TransferEvent): HandIn {
    this.#pump.down();
    const code = this.#deliveryBarriers.take(slot, command);
    return code === CODE.ok ? "taken" : this.#refuse(slot, command, code);
  }

  /**
   * Handles an UP event of a control. A kind that no control may publish is a protocol error, and the control
   * is removed.
   */
  publish(slot: ControlSlot, event: TransferEvent): void {
    this.leases.touch(slot.id, this.bus.clock.nowNs());
    const code = judgePublish(event, slot.grant, this.#endpoints.get(event.endpoint));
    if (code !== CODE.ok) {
      this.#refusals.publish(slot, event, code);
      // Only after this turn; otherwise it would not receive the reason.
      if (code === CODE["protocol-error"]) {
        this.#loop.defer(() => this.leave(slot, "protocol error: bad publish"));
      }
      return;
    }
    event.dir = DIR.UP;
    event.source = SOURCE.FRAME;
    event.origin = NO_CONTROL;
    event.prio = PRIO_DEFAULT;
    event.tsNs = this.bus.clock.nowNs();
    event.publisher = slot.id;
    this.bus.up(event);
  }

  /** Answers a command, or an event to publish, that its control refused; takes ownership of it. */
  refuse(slot: ControlSlot, event: TransferEvent, code: Code): void {
    this.leases.touch(slot.id, this.bus.clock.nowNs());
    if (event.dir === DIR.UP) return this.#refusals.publish(slot, event, code);
    event.origin = slot.id;
    event.source = sourceOfKind(event.kind);
    this.#refuse(slot, event, code);
  }

  /** A control's transport protocol was violated; the control has been told. */
  breach(slot: ControlSlot, what: string): void {
    this.#refusals.breach(slot, what);
    this.leave(slot, `protocol error: ${what}`);
  }

  turn(nowNs: number): void {
    this.#leaseService.expire(nowNs);
    this.#pump.down(nowNs);
    this.#pump.up(nowNs);
    if (this.#deliveryBarriers.isWaiting) this.#deliveryBarriers.settle();
    if (this.#roomDown !== 0) this.#tellRoom();
    this.#reaper.tellDepartures();
    this.fanOut.flush(FLUSH_NS);
    this.audit.endTurn(nowNs);
  }

  get isLoaded(): boolean {
    return this.#pump.fresh * this.fanOut.reach > DELIVERIES_PER_TURN;
  }

  deadlineNs(): number {
    if (this.fanOut.isDirty || this.#deliveryBarriers.isWaiting) return 0;
    const { context } = this.bus;
    const movesNs = Math.min(context.deadline(DIR.UP), context.deadline(DIR.DOWN));
    return Math.min(movesNs, this.#leaseService.deadlineNs, this.audit.deadlineNs);
  }

  /** Releases all queued events; to be called when all controls and endpoints are gone. */
  dispose(): void {
    this.audit.close();
    this.#leaseService.news.close();
    this.#pump.up();
    this.#deliveryBarriers.settle();
    this.fanOut.flush();
    this.#retained.clear();
    this.bus.clear();
    // A callback that threw may have left an event behind; it was counted as a fault and is not counted again
    // here.
    assert(this.bus.pool.live === 0 || this.faults.total > 0, "every event was released");
  }

  #refuse(slot: ControlSlot, command: TransferEvent, code: Code): HandIn {
    this.#refusals.command(slot, command, code);
    return "taken";
  }

  #tellRoom(): void {
    const room = this.#roomDown;
    this.#roomDown = 0;
    for (const slot of this.fanOut.controls.values()) {
      if ((slot.blockedOn & room) === 0 || slot.leaving) continue;
      slot.blockedOn = 0;
      try {
        slot.control.onRoom?.();
      } catch (error) {
        this.#onControlFault(slot, error);
      }
    }
  }

  /** A control's callback threw: the control leaves by itself, or is removed here. */
  #onControlFault(slot: ControlSlot, error: unknown): void {
    this.faults.contain("control", error, slot.control);
    this.leave(slot, "it failed");
  }

  readonly #onSeamFault = (slot: EndpointSlot, adapter: Adapter, error: unknown): void =>
    this.#endpoints.faulted(slot, adapter, error);

  /** Writes the audit entry of a contained fault. */
  auditFault({ place, account, what }: ContainedFault): void {
    this.audit.write({
      principal: account.principal ?? 0,
      as: account.as,
      control: account.control ?? NO_CONTROL,
      endpoint: account.endpoint ?? NO_ENDPOINT,
      kind: KIND.ERROR,
      code: CODE["protocol-error"],
      detail: `contained fault (${place}) of ${account.name}: ${what}`,
    });
  }
}
