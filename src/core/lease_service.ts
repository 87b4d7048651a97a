/**
 * Leases on the bus: carries out what the lease machine decides. A lease that ends begins a handover: the former owner is told, its commands that still wait are
 * answered with stale-lease, the class's finalization runs in the adapter, and only then is the successor told. A command of a former
 * owner that slipped through is caught by the route, which asks the machine again.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import { writeU64 } from "../base/layout.ts";
import type { Grant } from "../access/grant.ts";
import { maskHas } from "../access/grant.ts";
import type { LeaseTable, Successor } from "../access/lease_table.ts";
import { CAP_OF_CLASS, leaseClassFor } from "../access/requirement.ts";
import { ACQUIRE, LEASE_GRANTED } from "../event/body_layout.ts";
import { LEASE_DENY, LEASE_REVOKE, type LeaseClass } from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { EndpointSlot } from "./endpoint_slot.ts";

/** Which adapter brings a class to rest; 0 = none does. */
const FINALIZER: readonly number[] = [SOURCE.INPUT, 0, SOURCE.MEMCTX];

/** Acquire, release, status; revocation for every reason. */
export class LeaseService {
  readonly #bus: Bus;
  readonly #table: LeaseTable;
  readonly #endpointOf: (endpoint: number) => EndpointSlot | null;
  /** Tickets of releases whose finalization runs, by slot. */
  readonly #releasing = new Map<number, number>();
  /** Handovers under way. */
  #handovers = 0;

  constructor(bus: Bus, table: LeaseTable, endpointOf: (endpoint: number) => EndpointSlot | null) {
    this.#bus = bus;
    this.#table = table;
    this.#endpointOf = endpointOf;
  }

  /** How many handovers are under way. */
  get handovers(): number {
    return this.#handovers;
  }

  /** When a lease runs out unless its owner speaks, ns. */
  get deadlineNs(): number {
    return this.#table.deadline();
  }

  /** CMD_ACQUIRE, admitted. */
  acquire(command: TransferEvent, slot: ControlSlot): void {
    const cls = command.words[0] as LeaseClass;
    const { endpoint, ticket } = command;
    const ttlMs = command.words[ACQUIRE.at.ttlMs / 4] as number;
    const outcome = this.#table.acquire(endpoint, cls, slot, ticket, ttlMs, this.#bus.clock.nowNs());
    switch (outcome.kind) {
      case "granted":
        this.#replyGranted(ticket, cls, outcome.token, ttlMs);
        this.#auditGrant(slot.grant, slot.id, endpoint, cls, outcome.token);
        return;
      case "denied":
        this.deny(ticket, cls, outcome.reason, slot);
        return;
      case "handover":
        if (outcome.displaced !== null) this.#dismiss(cls, outcome.displaced, LEASE_DENY.LOWER_PRIO);
        if (outcome.revoked !== 0) {
          this.#tellRevoked(outcome.revoked, endpoint, cls, LEASE_REVOKE.PREEMPTED, outcome.token);
          this.#handover(endpoint, cls, outcome.token);
        }
    }
  }

  /** Answers an acquire with LEASE_DENIED. */
  deny(ticket: number, cls: number, reason: number, slot: ControlSlot): void {
    const index = this.#bus.ledger.find(ticket);
    const endpoint = index < 0 ? 0 : this.#bus.ledger.endpoint(index);
    const event = this.#bus.event(KIND.LEASE_DENIED, SOURCE.CORE, endpoint);
    event.words[0] = cls;
    event.words[1] = reason;
    this.#bus.reply(ticket, event);
    this.#bus.audit.write({
      principal: slot.grant.principal,
      control: slot.id,
      endpoint,
      kind: KIND.LEASE_DENIED,
      code: codeOfDenial(reason),
      cls,
    });
  }

  /** CMD_RELEASE, admitted. Answered when the finalization is done. */
  release(command: TransferEvent, slot: ControlSlot): void {
    const cls = command.words[0] as LeaseClass;
    const { endpoint, ticket } = command;
    const token = this.#table.tokenOf(endpoint, cls, slot.id);
    if (!this.#table.release(endpoint, cls, slot.id)) {
      this.#bus.ack(ticket, CODE["no-lease"], 0, 0, SOURCE.CORE);
      return;
    }
    this.#auditEnd(KIND.LEASE_RELEASED, slot.grant.principal, slot.id, endpoint, cls, token);
    this.#releasing.set(keyOf(endpoint, cls), ticket);
    this.#handover(endpoint, cls, token);
  }

  /** CMD_LEASE_STATUS, admitted. */
  status(command: TransferEvent): void {
    const cls = command.words[0] as LeaseClass;
    const owner = this.#table.ownerOf(command.endpoint, cls);
    const event = this.#bus.event(KIND.LEASE_STATUS, SOURCE.CORE, command.endpoint);
    event.words[0] = cls;
    event.words[1] = owner === null ? 0 : 1;
    event.words[2] = owner === null ? 0 : owner.grant.principal;
    this.#bus.reply(command.ticket, event);
  }

  /** A control is gone: what it owned is finalized, what it waited for is forgotten. */
  ownerGone(controlId: number, principal: number): void {
    this.#table.withdraw(
      controlId,
      () => true,
      (endpoint, cls, token) => {
        this.#auditEnd(KIND.LEASE_REVOKED, principal, controlId, endpoint, cls, token, "owner gone");
        this.#handover(endpoint, cls, token);
      },
      (_endpoint, _cls, successor) => this.#bus.cancel(successor.corr),
    );
  }

  /** A control's grant shrank: leases that it may no longer hold are revoked. */
  regranted(slot: ControlSlot): void {
    const { grant } = slot;
    const forbidden = (endpoint: number, cls: LeaseClass) =>
      !maskHas(grant.endpoints, endpoint) || (grant.caps & (CAP_OF_CLASS[cls] as number)) === 0;
    this.#table.withdraw(
      slot.id,
      forbidden,
      (endpoint, cls, token) => {
        this.#tellRevoked(slot.id, endpoint, cls, LEASE_REVOKE.PREEMPTED, token);
        this.#handover(endpoint, cls, token);
      },
      (_endpoint, cls, successor) => this.#dismiss(cls, successor, LEASE_DENY.NOGRANT),
    );
  }

  /** An endpoint is being detached: every lease on it ends. */
  endpointGone(endpoint: number, cls: LeaseClass): void {
    const owner = this.#table.ownerOf(endpoint, cls);
    if (owner === null) return;
    this.#table.withdraw(
      owner.id,
      (e, c) => e === endpoint && c === cls,
      (_endpoint, _cls, token) => {
        this.#tellRevoked(owner.id, endpoint, cls, LEASE_REVOKE.ENDPOINT_GONE, token);
        this.#handover(endpoint, cls, token);
      },
      () => {},
    );
  }

  /** Ends the leases whose owners did not keep them alive. */
  expire(nowNs: number): void {
    if (this.#table.deadline() > nowNs) return;
    this.#table.expire(nowNs, (endpoint, cls, token, owner) => {
      this.#tellRevoked(owner, endpoint, cls, LEASE_REVOKE.NOT_KEPT_ALIVE, token);
      this.#handover(endpoint, cls, token);
    });
  }

  #handover(endpoint: number, cls: LeaseClass, token: number): void {
    this.#bus.context.extract(
      DIR.DOWN,
      (event) => event.endpoint === endpoint && event.token === token && leaseClassFor(event) === cls,
      (event) => {
        this.#bus.refuseQueued(event, CODE["stale-lease"]);
        event.release();
      },
    );
    this.#handovers++;
    let done = false;
    const finish = (): void => {
      assert(!done, "a finalization ends once");
      done = true;
      this.#handovers--;
      this.#finalized(endpoint, cls);
    };
    const source = FINALIZER[cls] as number;
    const adapter = source === 0 ? null : this.#endpointOf(endpoint)?.adapters[source] ?? null;
    if (adapter?.finalize === undefined) finish();
    else adapter.finalize(cls, finish);
  }

  #finalized(endpoint: number, cls: LeaseClass): void {
    const key = keyOf(endpoint, cls);
    const ticket = this.#releasing.get(key);
    if (ticket !== undefined) {
      this.#releasing.delete(key);
      if (this.#bus.ledger.find(ticket) >= 0) {
        const event = this.#bus.event(KIND.LEASE_RELEASED, SOURCE.CORE, endpoint);
        event.words[0] = cls;
        this.#bus.reply(ticket, event);
      }
    }
    const granted = this.#table.finalized(endpoint, cls, this.#bus.clock.nowNs());
    if (granted === null) return;
    const { successor, token } = granted;
    const slot = this.#endpointOf(endpoint);
    if (slot === null || slot.leaving) {
      this.#table.release(endpoint, cls, successor.party.id);
      this.#table.finalized(endpoint, cls, 0);
      this.#bus.ack(successor.corr, CODE["no-endpoint"], 0, 0, SOURCE.CORE);
      return;
    }
    this.#replyGranted(successor.corr, cls, token, successor.ttlMs);
    this.#auditGrant(successor.party.grant, successor.party.id, endpoint, cls, token);
  }

  #replyGranted(ticket: number, cls: number, token: number, ttlMs: number): void {
    const event = this.#bus.event(KIND.LEASE_GRANTED, SOURCE.CORE, 0);
    event.words[0] = cls;
    writeU64(event.view, LEASE_GRANTED.at.token, token);
    event.words[LEASE_GRANTED.at.ttlMs / 4] = ttlMs;
    this.#bus.reply(ticket, event);
  }

  #dismiss(cls: number, successor: Successor, reason: number): void {
    if (this.#bus.ledger.find(successor.corr) < 0) return;
    const event = this.#bus.event(KIND.LEASE_DENIED, SOURCE.CORE, 0);
    event.words[0] = cls;
    event.words[1] = reason;
    this.#bus.reply(successor.corr, event);
  }

  #tellRevoked(control: number, endpoint: number, cls: number, reason: number, token: number): void {
    const event = this.#bus.event(KIND.LEASE_REVOKED, SOURCE.CORE, endpoint);
    event.origin = control;
    event.words[0] = cls;
    event.words[1] = reason;
    this.#bus.up(event);
    const principal = this.#bus.originOf(control)?.principal ?? 0;
    const why = ["pre-empted", "owner gone", "endpoint gone", "not kept alive"][reason];
    this.#auditEnd(KIND.LEASE_REVOKED, principal, control, endpoint, cls, token, why);
  }

  #auditGrant(grant: Grant, control: number, endpoint: number, cls: number, token: number): void {
    this.#auditEnd(KIND.LEASE_GRANTED, grant.principal, control, endpoint, cls, token);
  }

  #auditEnd(
    kind: number,
    principal: number,
    control: number,
    endpoint: number,
    cls: number,
    token: number,
    detail?: string,
  ): void {
    this.#bus.audit.write({ principal, control, endpoint, kind, code: CODE.ok, cls, token, detail });
  }
}

function keyOf(endpoint: number, cls: number): number {
  return endpoint * 4 + cls;
}

function codeOfDenial(reason: number): number {
  switch (reason) {
    case LEASE_DENY.NOCAP:
      return CODE["no-capability"];
    case LEASE_DENY.NOGRANT:
      return CODE["outside-grant"];
    case LEASE_DENY.BADCLASS:
      return CODE["bad-argument"];
    default:
      return CODE.busy;
  }
}
