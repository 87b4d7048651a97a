/**
 * The core: joins endpoints and controls. Up: adapter -> context -> fan-out -> control. Down: control -> admission -> context -> route (the lease is asked again) -> adapter.
 * It lives on the loop's thread and is driven by it; it knows no transport, no driver and no policy of who may what.
 *
 * Controls and adapters may call it from within their own callbacks; whoever leaves is reaped at the end of the turn, when none of its frames is on
 * the stack. A control's commands of one turn are routed before it is reaped: what was sent before a clean goodbye is carried out.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { Grant } from "../access/grant.ts";
import { type ArbitrationPolicy, LeaseTable } from "../access/lease_table.ts";
import { leaseClassFor, NO_LEASE_CLASS, PUBLISHABLE } from "../access/requirement.ts";
import { maskHas } from "../access/grant.ts";
import type { LanePolicy } from "../context/policy.ts";
import { SUBMIT } from "../context/transfer_context.ts";
import { ROSTER, SEAM } from "../event/body_layout.ts";
import { INVALIDATED, LEASE_CLASS, type LeaseClass, LIFE, SEAM_REASON, VM_OP } from "../event/body_number.ts";
import { CAP } from "../event/capability.ts";
import { DIR, SOURCE_OF_KIND } from "../event/defaults.ts";
import { writeText } from "../event/inline_text.ts";
import { KIND } from "../event/kind.ts";
import { PRIO_DEFAULT } from "../event/priority.ts";
import { SOURCE, SOURCE_MAX } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter, CloseReason, LoopPort } from "./adapter_port.ts";
import { AdapterSeat, type SeamListener } from "./adapter_seat.ts";
import { denialOf, judge } from "./admission.ts";
import { AuditTrail } from "./audit_trail.ts";
import { Bus } from "./bus.ts";
import type { Control, ControlSeat, HandIn } from "./control_port.ts";
import { ControlSlot } from "./control_slot.ts";
import { EndpointSlot, type EndpointSpec } from "./endpoint_slot.ts";
import { FanOut } from "./fan_out.ts";
import { LeaseService } from "./lease_service.ts";
import type { TurnHook } from "./loop.ts";
import { Retained } from "./retained.ts";

/** What a core is made of. */
export interface CoreOptions {
  readonly loop: LoopPort;
  readonly log: Log;
  readonly arbitration?: ArbitrationPolicy;
  /** Told when a seam comes or goes: the roster. */
  readonly onSeam?: SeamListener;
}

/** The core of the bus. */
export class Core implements TurnHook {
  readonly bus: Bus;
  readonly leases: LeaseTable;
  readonly fanOut: FanOut;
  readonly audit: AuditTrail;
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #retained = new Retained();
  readonly #leaseService: LeaseService;
  readonly #endpoints: (EndpointSlot | null)[] = new Array(MAX_ENDPOINTS).fill(null);
  readonly #seats = new Map<Adapter, AdapterSeat>();
  #onSeam: SeamListener;
  #leaving: ControlSlot[] = [];
  #lastControl = 0;
  /** Sources of DOWN lanes that have room again: their controls are told at the end of the turn. */
  #roomDown = 0;

  constructor(options: CoreOptions) {
    this.#loop = options.loop;
    this.#log = options.log.for("core");
    this.bus = new Bus(options.loop.clock, this.#log);
    this.audit = new AuditTrail(
      options.loop.clock,
      options.log.for("audit"),
      this.bus.pool,
      (event) => this.bus.up(event),
    );
    this.bus.audit = this.audit;
    this.leases = new LeaseTable(options.arbitration);
    this.fanOut = new FanOut(this.#retained);
    this.#leaseService = new LeaseService(this.bus, this.leases, (id) => this.#endpoints[id] ?? null);
    this.#onSeam = options.onSeam ?? (() => {});
    this.bus.originOf = (id) => this.fanOut.controls.get(id)?.grant ?? null;
    this.bus.onSettled = (id) => {
      const slot = this.fanOut.controls.get(id);
      if (slot !== undefined) slot.outstanding--;
    };
    this.bus.onRoomDown = (source) => (this.#roomDown |= 1 << source);
  }

  /** Sets who is told of seams. */
  set onSeam(listener: SeamListener) {
    this.#onSeam = listener;
  }

  /** Sets the policy of a lane. */
  setPolicy(source: number, dir: number, policy: LanePolicy): void {
    this.bus.context.setPolicy(source, dir, policy);
  }

  // ---- endpoints -------------------------------------------------------------------------------------------------------

  /** An attached endpoint, or null. */
  endpoint(id: number): EndpointSlot | null {
    return this.#endpoints[id] ?? null;
  }

  /** Attached endpoints by number. */
  endpoints(): EndpointSlot[] {
    return this.#endpoints.filter((slot) => slot !== null);
  }

  /** Attaches an endpoint and opens its adapters. Each comes up by itself, or says why not; none holds the others back. */
  attach(spec: EndpointSpec): EndpointSlot {
    assert(this.#endpoints[spec.id] === null, "an endpoint's number is free");
    const slot = new EndpointSlot(spec);
    this.#endpoints[spec.id] = slot;
    for (const adapter of spec.adapters) {
      const log = this.#log.for(`${adapter.name}[${spec.name}]`);
      const seat = new AdapterSeat(
        slot,
        adapter.source,
        this.bus,
        this.#loop,
        this.leases,
        log,
        (endpoint, source, up, reason) => this.#onSeam(endpoint, source, up, reason),
      );
      this.#seats.set(adapter, seat);
      adapter.open(seat);
    }
    return slot;
  }

  /**
   * Detaches an endpoint: its leases end, what is held is released, every open command is answered, its adapters close, then `done` is called.
   *
   * @param reason why, for the adapters
   * @param done called once, when the number is free again
   */
  detach(id: EndpointId, reason: CloseReason, done: () => void): void {
    const slot = this.#endpoints[id];
    assert(slot !== null && slot !== undefined && !slot.leaving, "only an attached endpoint is detached");
    slot.leaving = true;
    this.bus.context.extract(DIR.DOWN, (event) => event.endpoint === id, (event) => {
      this.bus.refuseQueued(event, CODE["no-endpoint"]);
      event.release();
    });
    for (const cls of Object.values(LEASE_CLASS)) this.#leaseService.endpointGone(id, cls);
    // INPUT first: releasing keys needs the monitor that VMHOST may close.
    const order = [SOURCE.INPUT, SOURCE.MEMCTX, SOURCE.VMHOST, SOURCE.FRAME];
    this.#closeNext(slot, order, 0, reason, done);
  }

  #closeNext(slot: EndpointSlot, order: number[], at: number, reason: CloseReason, done: () => void): void {
    for (let i = at; i < order.length; i++) {
      const adapter = slot.adapters[order[i] as number];
      if (adapter === null || adapter === undefined) continue;
      let closed = false;
      adapter.close(reason, () => {
        assert(!closed, "an adapter closes once");
        closed = true;
        this.#seamClosed(slot, adapter);
        this.#closeNext(slot, order, i + 1, reason, done);
      });
      return;
    }
    for (const ticket of this.bus.ledger.ticketsOf(slot.id)) {
      this.bus.ack(ticket, CODE["seam-down"], 0, 0, SOURCE.CORE);
    }
    this.#endpoints[slot.id] = null;
    done();
  }

  #seamClosed(slot: EndpointSlot, adapter: Adapter): void {
    const bit = 1 << adapter.source;
    if (adapter.source === SOURCE.MEMCTX && this.#retained.get(KIND.MEMCTX, slot.id) !== null) {
      const event = this.bus.event(KIND.MEMCTX_INVALIDATED, SOURCE.MEMCTX, slot.id);
      event.words[0] = this.#retained.get(KIND.MEMCTX, slot.id)?.words[6] ?? 0;
      event.words[1] = INVALIDATED.ENDPOINT_GONE;
      this.bus.up(event);
    }
    if ((slot.seams & bit) !== 0) {
      slot.seams &= ~bit;
      const event = this.bus.event(KIND.SEAM_DOWN, adapter.source, slot.id);
      event.words[SEAM.at.reason / 4] = SEAM_REASON.ASKED;
      event.words[SEAM.at.pid / 4] = slot.pid;
      this.bus.up(event);
      this.#onSeam(slot, adapter.source, false, SEAM_REASON.ASKED);
    }
    this.#seats.get(adapter)?.close();
    this.#seats.delete(adapter);
  }

  /** Publishes an endpoint's roster entry; retained until {@linkcode forget}. */
  publishRoster(
    endpoint: number,
    state: number,
    seams: number,
    pid: number,
    vmid: number,
    name: string,
  ): void {
    const event = this.bus.event(KIND.ROSTER, SOURCE.CORE, endpoint);
    const { words } = event;
    words[ROSTER.at.state / 4] = state;
    words[ROSTER.at.seams / 4] = seams;
    words[ROSTER.at.pid / 4] = pid;
    words[ROSTER.at.vmid / 4] = vmid;
    writeText(event.inline, ROSTER.at.name, 31, name);
    this.bus.up(event);
  }

  /** Forgets what is retained of an endpoint that is gone. Events that still wait are delivered first. */
  forget(endpoint: number): void {
    this.#pumpUp();
    for (const kind of [KIND.ROSTER, KIND.MEMCTX, KIND.FRAME_RING]) this.#retained.drop(kind, endpoint);
  }

  // ---- controls --------------------------------------------------------------------------------------------------------

  /** The number that the next control will have. */
  get nextControlId(): ControlId {
    return (this.#lastControl + 1) as ControlId;
  }

  /** Puts a control on the bus with a grant; it is opened, then gets what is retained, then live events. */
  addControl(control: Control, grant: Grant): ControlSeat {
    const id = ++this.#lastControl as ControlId;
    const slot = new ControlSlot(id, control, grant);
    const seat = new Seated(this, slot);
    // Events on their way are not for a control that came after them, or it would get retained ones twice.
    this.#pumpUp();
    this.fanOut.add(slot);
    this.audit.setListeners(this.fanOut.auditors);
    control.open(seat);
    this.fanOut.replay(slot);
    this.fanOut.flush();
    return seat;
  }

  /** Changes a control's grant: a smaller one takes effect at once, leases included. */
  regrant(id: ControlId, grant: Grant): void {
    const slot = this.fanOut.controls.get(id);
    if (slot === undefined) return;
    slot.regrant(grant);
    this.fanOut.reindex(slot);
    this.audit.setListeners(this.fanOut.auditors);
    this.#leaseService.regranted(slot);
  }

  /** Takes a control off at the end of this turn. */
  leave(slot: ControlSlot, reason: string): void {
    if (slot.leaving) return;
    slot.leaving = true;
    slot.leaveReason = reason;
    this.#leaving.push(slot);
    this.#loop.defer(() => this.#reap());
  }

  /** A command of a control. */
  send(slot: ControlSlot, command: TransferEvent): HandIn {
    command.dir = DIR.DOWN;
    command.origin = slot.id;
    command.source = SOURCE_OF_KIND[command.kind] as number;
    const nowNs = this.bus.clock.nowNs();
    this.leases.touch(slot.id, nowNs);
    const endpoint = this.#endpoints[command.endpoint] ?? null;
    const attached = endpoint !== null && !endpoint.leaving;
    const code = judge(command, slot.id, slot.grant, attached, this.leases);
    if (code !== CODE.ok) {
      this.#refuse(slot, command, code);
      command.release();
      return "taken";
    }
    const cls = leaseClassFor(command);
    const isLease = command.source === SOURCE.CORE;
    if (isLease) {
      // A lease command is a barrier: what its control sent before it is routed before it.
      this.#pumpDown();
      command.prio = PRIO_DEFAULT;
    }
    command.ticket = this.bus.ledger.open(command, isLease ? (command.words[0] as number) : cls);
    if (command.ticket === 0) {
      this.#refuse(slot, command, CODE.busy);
      command.release();
      return "taken";
    }
    slot.outstanding++;
    const { ticket } = command;
    if (this.bus.context.submit(DIR.DOWN, command, nowNs) === SUBMIT.BLOCKED) {
      this.bus.cancel(ticket);
      command.ticket = 0;
      slot.blockedOn |= 1 << command.source;
      return "blocked";
    }
    if (isLease) this.#pumpDown();
    return "taken";
  }

  /** An UP event of a control. */
  publish(slot: ControlSlot, event: TransferEvent): void {
    const { kind, endpoint, corr } = event;
    let code: number = CODE.ok;
    if ((slot.grant.caps & CAP.PUBLISH) === 0) code = CODE["no-capability"];
    else if (!PUBLISHABLE.has(kind)) code = CODE["protocol-error"];
    else if (!maskHas(slot.grant.endpoints, endpoint)) code = CODE["outside-grant"];
    else if (this.#endpoints[endpoint] === null || this.#endpoints[endpoint]?.leaving) {
      code = CODE["no-endpoint"];
    }
    if (code !== CODE.ok) {
      event.release();
      this.bus.error(SOURCE.CORE, endpoint, slot.id, corr, code, kind, "publish refused");
      this.#auditRefusal(slot, kind, endpoint, code);
      return;
    }
    event.dir = DIR.UP;
    event.source = SOURCE.FRAME;
    event.origin = 0;
    event.prio = PRIO_DEFAULT;
    event.tsNs = this.bus.clock.nowNs();
    if (kind === KIND.FRAME_RING) slot.rings.add(endpoint);
    this.bus.up(event);
  }

  // ---- the turn --------------------------------------------------------------------------------------------------------

  turn(nowNs: number): void {
    this.#leaseService.expire(nowNs);
    this.#pumpDown(nowNs);
    this.#pumpUp(nowNs);
    if (this.#roomDown !== 0) this.#tellRoom();
    this.fanOut.flush();
  }

  deadlineNs(): number {
    const { context } = this.bus;
    return Math.min(context.deadline(DIR.UP), context.deadline(DIR.DOWN), this.#leaseService.deadlineNs);
  }

  /** Releases everything that waits; to be called when all controls and endpoints are gone. */
  dispose(): void {
    this.#pumpUp();
    this.fanOut.flush();
    this.#retained.clear();
    this.bus.clear();
    assert(this.bus.pool.live === 0, "every event was released");
  }

  #pumpDown(nowNs: number = this.bus.clock.nowNs()): void {
    const { context } = this.bus;
    if (context.waiting(DIR.DOWN) === 0) return;
    for (let command = context.next(DIR.DOWN, nowNs); command !== null;) {
      this.#route(command);
      command.release();
      command = context.next(DIR.DOWN, nowNs);
    }
  }

  #pumpUp(nowNs: number = this.bus.clock.nowNs()): void {
    const { context } = this.bus;
    if (context.waiting(DIR.UP) === 0) return;
    for (let event = context.next(DIR.UP, nowNs); event !== null;) {
      this.fanOut.deliver(event);
      event.release();
      event = context.next(DIR.UP, nowNs);
    }
  }

  /** Hands a command to its adapter, after asking the lease machine once more. Borrowed. */
  #route(command: TransferEvent): void {
    const slot = this.#endpoints[command.endpoint] ?? null;
    if (slot === null || slot.leaving) return this.bus.refuseQueued(command, CODE["no-endpoint"]);
    const cls = leaseClassFor(command);
    if (cls !== NO_LEASE_CLASS && !this.leases.isLive(command.endpoint, cls, command.token)) {
      return this.bus.refuseQueued(command, CODE["stale-lease"]);
    }
    if (command.source === SOURCE.CORE) return this.#routeLease(command);
    const adapter = slot.adapters[command.source];
    if (adapter === null || adapter === undefined) {
      return this.bus.refuseQueued(command, CODE["not-supported"]);
    }
    const input = slot.adapters[SOURCE.INPUT];
    if (stopsVm(command) && input?.beforeStop !== undefined) {
      command.retain();
      input.beforeStop(() => {
        if (slot.leaving) this.bus.refuseQueued(command, CODE["no-endpoint"]);
        else adapter.command(command);
        command.release();
      });
      return;
    }
    adapter.command(command);
  }

  #routeLease(command: TransferEvent): void {
    const slot = this.fanOut.controls.get(command.origin);
    if (slot === undefined) return this.bus.cancel(command.ticket);
    if (command.kind === KIND.CMD_ACQUIRE) this.#leaseService.acquire(command, slot);
    else if (command.kind === KIND.CMD_RELEASE) this.#leaseService.release(command, slot);
    else this.#leaseService.status(command);
  }

  #refuse(slot: ControlSlot, command: TransferEvent, code: number): void {
    const { kind, endpoint, corr } = command;
    const reason = denialOf(command, code);
    if (reason >= 0) {
      const event = this.bus.event(KIND.LEASE_DENIED, SOURCE.CORE, endpoint);
      event.origin = slot.id;
      event.corr = corr;
      event.words[0] = command.words[0] as number;
      event.words[1] = reason;
      this.bus.up(event);
    } else this.bus.sendAck(slot.id, corr, endpoint, command.source, kind, code, 0, 0);
    const cls = leaseClassFor(command);
    this.#auditRefusal(slot, kind, endpoint, code, cls < 0 ? undefined : (cls as LeaseClass), command.token);
  }

  #auditRefusal(
    slot: ControlSlot,
    kind: number,
    endpoint: number,
    code: number,
    cls?: LeaseClass,
    token?: number,
  ): void {
    const { principal } = slot.grant;
    const named = token === 0 ? undefined : token;
    this.audit.write({ principal, control: slot.id, endpoint, kind, code, cls, token: named });
  }

  #tellRoom(): void {
    const room = this.#roomDown;
    this.#roomDown = 0;
    for (const slot of this.fanOut.controls.values()) {
      if ((slot.blockedOn & room) === 0 || slot.leaving) continue;
      slot.blockedOn = 0;
      slot.control.onRoom?.();
    }
  }

  #reap(): void {
    if (this.#leaving.length === 0) return;
    // What it sent in this turn is carried out first, and what was answered is handed over.
    this.#pumpDown();
    const leaving = this.#leaving;
    this.#leaving = [];
    for (const slot of leaving) {
      this.fanOut.remove(slot);
      this.audit.setListeners(this.fanOut.auditors);
      this.#leaseService.ownerGone(slot.id, slot.grant.principal);
      this.audit.forget(slot.id);
      for (const endpoint of slot.rings) this.#retained.drop(KIND.FRAME_RING, endpoint);
      slot.control.close(slot.leaveReason);
    }
    this.#pumpUp();
    this.fanOut.flush();
  }
}

/** A control's seat. */
class Seated implements ControlSeat {
  readonly #core: Core;
  readonly #slot: ControlSlot;

  constructor(core: Core, slot: ControlSlot) {
    this.#core = core;
    this.#slot = slot;
  }

  get id(): ControlId {
    return this.#slot.id;
  }

  get grant(): Grant {
    return this.#slot.grant;
  }

  get outstanding(): number {
    return this.#slot.outstanding;
  }

  event(kind: number): TransferEvent {
    const event = this.#core.bus.pool.acquire();
    event.kind = kind;
    event.tsNs = this.#core.bus.clock.nowNs();
    return event;
  }

  send(event: TransferEvent): HandIn {
    if (this.#slot.leaving) {
      event.release();
      return "taken";
    }
    return this.#core.send(this.#slot, event);
  }

  publish(event: TransferEvent): void {
    if (this.#slot.leaving) return event.release();
    this.#core.publish(this.#slot, event);
  }

  leave(reason: string): void {
    this.#core.leave(this.#slot, reason);
  }
}

/** Whether a command stops the VM's CPUs, so that a held key could not be released any more. */
function stopsVm(command: TransferEvent): boolean {
  const op = command.words[0];
  if (command.kind === KIND.CMD_VM) return op === VM_OP.STOP || op === VM_OP.QUIT;
  return command.kind === KIND.CMD_LIFECYCLE && op === LIFE.PAUSE;
}

/** Every source has an adapter slot. */
assert(SOURCE_MAX > SOURCE.MEMCTX, "sources index the adapters");
