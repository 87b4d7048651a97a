/**
 * Leases on the bus: carries out what the lease machine decides. A lease that ends begins a handover: the
 * former owner is told, its commands that still wait are answered with stale-lease, the class's finalization
 * runs in the adapter, and only then is the successor told. A command of a former owner that slipped through
 * is caught by the route, which asks the machine again.
 * @module
 */
import { type ControlId, type EndpointId, NO_CONTROL, NO_ENDPOINT } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { CODE, type Code } from "../base/codes.ts";
import { writeU64 } from "../base/layout.ts";
import { maskHas } from "../access/grant.ts";
import type { LeaseParty, LeaseTable, Successor } from "../access/lease_table.ts";
import { CAP_OF_CLASS, leaseClassFor } from "../access/requirement.ts";
import { ACQUIRE, LEASE_GRANTED } from "../event/body_layout.ts";
import {
  LEASE_CLASS,
  LEASE_DENY,
  LEASE_REVOKE,
  type LeaseClass,
  type LeaseDenial,
  type LeaseRevocation,
} from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter } from "./adapter_port.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { EndpointSlot } from "./endpoint_slot.ts";

/** Which adapter brings a class to rest; 0 = none does. */
const FINALIZER: readonly number[] = [SOURCE.INPUT, 0, SOURCE.MEMCTX];

/** LEASE_REVOKED.reason, for audit. */
const REVOCATIONS: readonly string[] = ["pre-empted", "owner gone", "endpoint gone", "not kept alive"];

/** A lease that a control owns, or owned. */
interface LeaseOfControl {
  readonly control: ControlId;
  readonly endpoint: EndpointId;
  readonly cls: LeaseClass;
  readonly token: number;
}

/** Acquire, release, status; revocation for every reason. */
export class LeaseService {
  readonly #bus: Bus;
  readonly #table: LeaseTable;
  readonly #endpointOf: (endpoint: EndpointId) => EndpointSlot | null;
  readonly #onFault: (slot: EndpointSlot, adapter: Adapter, error: unknown) => void;
  /** Tickets of releases whose finalization runs, by slot. */
  readonly #releasing = new Map<number, number>();
  /** What ends a handover that its adapter did not end, by slot. */
  readonly #ending = new Map<number, () => void>();

  /** Starts with nothing under way; what is owned is the table's. */
  constructor(
    bus: Bus,
    table: LeaseTable,
    endpointOf: (endpoint: EndpointId) => EndpointSlot | null,
    onFault: (slot: EndpointSlot, adapter: Adapter, error: unknown) => void,
  ) {
    this.#bus = bus;
    this.#table = table;
    this.#endpointOf = endpointOf;
    this.#onFault = onFault;
  }

  /** How many handovers are under way. */
  get handovers(): number {
    return this.#ending.size;
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
    const outcome = this.#table.acquire(
      endpoint,
      cls,
      { party: slot, corr: ticket, ttlMs },
      this.#bus.clock.nowNs(),
    );
    switch (outcome.kind) {
      case "granted":
        this.#replyGranted(ticket, cls, outcome.token, ttlMs);
        this.#auditGrant(slot, endpoint, cls, outcome.token);
        return;
      case "denied":
        this.#deny({ party: slot, corr: ticket, ttlMs }, endpoint, cls, outcome.reason);
        return;
      case "handover":
        if (outcome.displaced !== null) {
          const again = outcome.displaced.party.id === slot.id;
          this.#dismiss(endpoint, cls, outcome.displaced, again ? LEASE_DENY.HELD : LEASE_DENY.LOWER_PRIO);
        }
        if (outcome.revoked !== NO_CONTROL) {
          const { revoked: control, token } = outcome;
          this.#tellRevoked({ control, endpoint, cls, token }, LEASE_REVOKE.PREEMPTED);
          this.#handover(endpoint, cls, outcome.token);
        }
    }
  }

  /** Answers an acquire with LEASE_DENIED. */
  #deny({ party, corr }: Successor, endpoint: EndpointId, cls: LeaseClass, reason: LeaseDenial): void {
    const event = this.#bus.event(KIND.LEASE_DENIED, SOURCE.CORE, endpoint);
    event.words[0] = cls;
    event.words[1] = reason;
    this.#bus.reply(corr, event);
    const code = codeOfDenial(reason);
    const { principal } = party.grant;
    this.#bus.audit.write({ principal, control: party.id, endpoint, kind: KIND.LEASE_DENIED, code, cls });
  }

  /** CMD_RELEASE, admitted. Answered when the finalization is done. */
  release(command: TransferEvent, slot: ControlSlot): void {
    const cls = command.words[0] as LeaseClass;
    const { endpoint, ticket } = command;
    const token = this.#table.tokenOf(endpoint, cls, slot.id);
    // A release that names the token of an earlier lease must not end the present one.
    if (command.token !== 0 && command.token !== token) {
      return this.#bus.ack(ticket, SOURCE.CORE, CODE["stale-lease"]);
    }
    if (!this.#table.release(endpoint, cls, slot.id)) {
      return this.#bus.ack(ticket, SOURCE.CORE, CODE["no-lease"]);
    }
    const { principal } = slot.grant;
    this.#audit(KIND.LEASE_RELEASED, { control: slot.id, endpoint, cls, token }, principal);
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
  ownerGone(controlId: ControlId, principal: number): void {
    this.#table.withdraw(
      controlId,
      () => true,
      (endpoint, cls, token) => {
        const lease = { control: controlId, endpoint, cls, token };
        this.#audit(KIND.LEASE_REVOKED, lease, principal, "owner gone");
        this.#handover(endpoint, cls, token);
      },
      (_endpoint, _cls, successor) => this.#bus.cancel(successor.corr),
    );
  }

  /** A control's grant shrank: leases that it may no longer hold are revoked. */
  regranted(slot: ControlSlot): void {
    const { grant } = slot;
    const forbidden = (endpoint: EndpointId, cls: LeaseClass) =>
      !maskHas(grant.endpoints, endpoint) || (grant.caps & (CAP_OF_CLASS[cls] as number)) === 0;
    this.#table.withdraw(
      slot.id,
      forbidden,
      (endpoint, cls, token) => {
        this.#tellRevoked({ control: slot.id, endpoint, cls, token }, LEASE_REVOKE.PREEMPTED, "grant shrunk");
        this.#handover(endpoint, cls, token);
      },
      (endpoint, cls, successor) => {
        const reason = maskHas(grant.endpoints, endpoint) ? LEASE_DENY.NOCAP : LEASE_DENY.NOGRANT;
        this.#dismiss(endpoint, cls, successor, reason);
      },
    );
  }

  /** An endpoint is being detached: every lease on it ends. */
  endpointGone(endpoint: EndpointId, cls: LeaseClass): void {
    const owner = this.#table.ownerOf(endpoint, cls);
    if (owner === null) return;
    this.#table.withdraw(
      owner.id,
      (e, c) => e === endpoint && c === cls,
      (_endpoint, _cls, token) => {
        this.#tellRevoked({ control: owner.id, endpoint, cls, token }, LEASE_REVOKE.ENDPOINT_GONE);
        this.#handover(endpoint, cls, token);
      },
      () => {},
    );
  }

  /**
   * All adapters of an endpoint are closed: a finalization that none of them ended is over, for nothing can
   * be reached any more.
   */
  endpointClosed(endpoint: EndpointId): void {
    for (const cls of Object.values(LEASE_CLASS)) this.#ending.get(keyOf(endpoint, cls))?.();
  }

  /** Ends the leases whose owners did not keep them alive. */
  expire(nowNs: number): void {
    if (this.#table.deadline() > nowNs) return;
    this.#table.expire(nowNs, (endpoint, cls, token, owner) => {
      this.#tellRevoked({ control: owner, endpoint, cls, token }, LEASE_REVOKE.NOT_KEPT_ALIVE);
      this.#handover(endpoint, cls, token);
    });
  }

  #handover(endpoint: EndpointId, cls: LeaseClass, token: number): void {
    const slot = this.#endpointOf(endpoint);
    this.#refuseStale(slot, endpoint, cls, token);
    let isDone = false;
    let isForced = false;
    const end = (): void => {
      isDone = true;
      this.#ending.delete(keyOf(endpoint, cls));
      this.#finalized(endpoint, cls);
    };
    this.#ending.set(keyOf(endpoint, cls), () => {
      isForced = true;
      end();
    });
    const finish = (): void => {
      if (isForced) return;
      assert(!isDone, "a finalization ends once");
      end();
    };
    const adapter = slot?.adapters[FINALIZER[cls] as number] ?? null;
    if (slot === null || adapter?.finalize === undefined) return finish();
    try {
      adapter.finalize(cls, finish);
    } catch (error) {
      this.#onFault(slot, adapter, error);
      // Nobody waits for ever for an adapter that failed.
      if (!isDone) end();
      isForced = true;
    }
  }

  /** Answers what a former owner sent under a lease and what is still on its way. */
  #refuseStale(slot: EndpointSlot | null, endpoint: EndpointId, cls: LeaseClass, token: number): void {
    const pick = (event: TransferEvent): boolean =>
      event.endpoint === endpoint && event.token === token && leaseClassFor(event) === cls;
    const refuse = (event: TransferEvent): void => {
      this.#bus.refuseQueued(event, CODE["stale-lease"]);
      event.release();
    };
    this.#bus.context.extract(DIR.DOWN, pick, refuse);
    slot?.waiting.extract(pick, refuse);
  }

  #finalized(endpoint: EndpointId, cls: LeaseClass): void {
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
    const slot = this.#endpointOf(endpoint);
    if (slot === null || slot.leaving) {
      const waiting = this.#table.dismiss(endpoint, cls);
      if (waiting !== null) this.#bus.ack(waiting.corr, SOURCE.CORE, CODE["no-endpoint"]);
    }
    const granted = this.#table.finalized(endpoint, cls, this.#bus.clock.nowNs());
    if (granted === null) return;
    const { successor, token } = granted;
    this.#replyGranted(successor.corr, cls, token, successor.ttlMs);
    this.#auditGrant(successor.party, endpoint, cls, token);
  }

  #replyGranted(ticket: number, cls: LeaseClass, token: number, ttlMs: number): void {
    const event = this.#bus.event(KIND.LEASE_GRANTED, SOURCE.CORE, NO_ENDPOINT);
    event.words[0] = cls;
    writeU64(event.view, LEASE_GRANTED.at.token, token);
    event.words[LEASE_GRANTED.at.ttlMs / 4] = ttlMs;
    this.#bus.reply(ticket, event);
  }

  /** A waiting successor does not get the slot. */
  #dismiss(endpoint: EndpointId, cls: LeaseClass, successor: Successor, reason: LeaseDenial): void {
    if (this.#bus.ledger.find(successor.corr) < 0) return;
    this.#deny(successor, endpoint, cls, reason);
  }

  #tellRevoked(
    lease: LeaseOfControl,
    reason: LeaseRevocation,
    why: string = REVOCATIONS[reason] ?? "",
  ): void {
    const event = this.#bus.event(KIND.LEASE_REVOKED, SOURCE.CORE, lease.endpoint);
    event.origin = lease.control;
    event.words[0] = lease.cls;
    event.words[1] = reason;
    this.#bus.up(event);
    this.#audit(KIND.LEASE_REVOKED, lease, this.#bus.port.principalOf(lease.control) ?? 0, why);
  }

  #auditGrant({ id, grant }: LeaseParty, endpoint: EndpointId, cls: LeaseClass, token: number): void {
    this.#audit(KIND.LEASE_GRANTED, { control: id, endpoint, cls, token }, grant.principal);
  }

  #audit(
    kind: Kind,
    { control, endpoint, cls, token }: LeaseOfControl,
    principal: number,
    detail?: string,
  ): void {
    this.#bus.audit.write({ principal, control, endpoint, kind, code: CODE.ok, cls, token, detail });
  }
}

function keyOf(endpoint: EndpointId, cls: LeaseClass): number {
  return endpoint * 4 + cls;
}

function codeOfDenial(reason: LeaseDenial): Code {
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
