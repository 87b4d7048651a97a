/**
 * Leases on the bus: carries out the decisions of the lease machine. The end of a lease begins a handover:
 * the former owner is told, its queued commands are answered with stale-lease, the adapter runs the class's
 * finalization, and only then is the successor told. The route, which checks the lease again, refuses any
 * command of the former owner that is missed here.
 * @module
 */
import { type ControlId, type EndpointId, NO_CONTROL, NO_ENDPOINT } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { CODE, type Code } from "../base/codes.ts";
import { writeU64 } from "../base/layout.ts";
import { type Principal, principalWords } from "../base/principal_name.ts";
import { maskHas } from "../access/grant.ts";
import type { LeaseParty, LeaseTable, Successor } from "../access/lease_table.ts";
import { CAP_OF_CLASS, leaseClassFor } from "../access/requirement.ts";
import { ACQUIRE, LEASE_GRANTED, LEASE_PARTY } from "../event/body_layout.ts";
import {
  LEASE_CLASS,
  LEASE_CLASS_COUNT,
  LEASE_DENY,
  LEASE_REVOKE,
  type LeaseClass,
  type LeaseDenial,
  type LeaseRevocation,
} from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { writeText } from "../event/inline_text.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { FINALIZER_OF_CLASS } from "../event/lease_class.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter, LoopPort } from "./adapter_port.ts";
import type { Bus } from "./bus.ts";
import type { ControlSlot } from "./control_slot.ts";
import type { EndpointSlot } from "./endpoint_slot.ts";
import { type ClaimWords, LeaseNews } from "./lease_claims.ts";

/** Size of a principal's name in an inline zone, bytes. */
const NAME_BYTES = 32;
/** Stands for the principal of a control that is gone. */
const GONE: Principal = { principal: 0 };

/** LEASE_REVOKED.reason in words, for audit. */
const REVOCATIONS: readonly string[] = ["pre-empted", "owner gone", "endpoint gone", "not kept alive"];

/** A lease that a control owns, or has owned. */
interface LeaseOfControl {
  readonly control: ControlId;
  readonly endpoint: EndpointId;
  readonly cls: LeaseClass;
  readonly token: number;
}

/** The parts of the core that the service uses. */
export interface LeaseServiceParts {
  /** Carries its answers and events. */
  readonly bus: Bus;
  /** Runs its timers. */
  readonly loop: LoopPort;
  /** The lease machine. */
  readonly table: LeaseTable;
  /** The endpoint with a number; null when it is not attached. */
  readonly endpointOf: (endpoint: EndpointId) => EndpointSlot | null;
  /** Contains what an adapter's finalization throws. */
  readonly onFault: (slot: EndpointSlot, adapter: Adapter, error: unknown) => void;
}

/** Acquire, release, status; revocation for every reason. */
export class LeaseService {
  readonly #bus: Bus;
  readonly #table: LeaseTable;
  readonly #endpointOf: (endpoint: EndpointId) => EndpointSlot | null;
  readonly #onFault: (slot: EndpointSlot, adapter: Adapter, error: unknown) => void;
  /** Tickets of releases whose finalization is running, by slot. */
  readonly #releasing = new Map<number, number>();
  /** Timers that end a handover which its adapter does not end, by slot. */
  readonly #ending = new Map<number, () => void>();

  /** Announces who owns what. */
  readonly news: LeaseNews;

  /** Starts with no handover under way; ownership is kept in the lease table. */
  constructor({ bus, loop, table, endpointOf, onFault }: LeaseServiceParts) {
    this.#bus = bus;
    this.#table = table;
    this.#endpointOf = endpointOf;
    this.#onFault = onFault;
    this.news = new LeaseNews(bus, loop, table, (endpoint) => endpointOf(endpoint) !== null);
  }

  /** Number of handovers under way. */
  get handovers(): number {
    return this.#ending.size;
  }

  /** When the next lease expires unless its owner sends something, ns. */
  get deadlineNs(): number {
    return this.#table.deadline();
  }

  /** Handles an admitted CMD_ACQUIRE, or a CMD_LEASE_CLAIM with its text. */
  acquire(command: TransferEvent, slot: ControlSlot, words?: ClaimWords): void {
    const cls = command.words[0] as LeaseClass;
    const { endpoint, ticket } = command;
    const ttlMs = command.words[ACQUIRE.at.ttlMs / 4] as number;
    const claim = { party: slot, corr: ticket, ttlMs, ...words };
    const outcome = this.#table.acquire(endpoint, cls, claim, this.#bus.clock.nowNs());
    this.news.changed(endpoint, cls);
    switch (outcome.kind) {
      case "granted":
        this.#replyGranted(ticket, cls, outcome.token, ttlMs);
        this.#auditGrant(slot, endpoint, cls, outcome.token, words?.message);
        return;
      case "denied":
        this.#deny(claim, endpoint, cls, outcome.reason);
        return;
      case "waiting":
        for (const displaced of outcome.displaced) this.#dismiss(endpoint, cls, displaced, LEASE_DENY.HELD);
        return;
      case "handover":
        for (const displaced of outcome.displaced) {
          const again = displaced.party.id === slot.id;
          this.#dismiss(endpoint, cls, displaced, again ? LEASE_DENY.HELD : LEASE_DENY.LOWER_PRIO);
        }
        if (outcome.revoked !== NO_CONTROL) {
          const { revoked: control, token } = outcome;
          this.#tellRevoked({ control, endpoint, cls, token }, LEASE_REVOKE.PREEMPTED, undefined, slot);
          this.#handover(endpoint, cls, outcome.token);
        }
    }
  }

  /** Answers an acquire with LEASE_DENIED. */
  #deny({ party, corr }: Successor, endpoint: EndpointId, cls: LeaseClass, reason: LeaseDenial): void {
    const event = this.#bus.event(KIND.LEASE_DENIED, SOURCE.CORE, endpoint);
    event.words[0] = cls;
    event.words[1] = reason;
    writeParty(event, this.#table.ownerOf(endpoint, cls));
    this.#bus.reply(corr, event);
    const code = codeOfDenial(reason);
    const { principal, as } = party.grant;
    this.#bus.audit.write({ principal, as, control: party.id, endpoint, kind: KIND.LEASE_DENIED, code, cls });
  }

  /** Handles an admitted CMD_RELEASE. It is answered when the finalization is done. */
  release(command: TransferEvent, slot: ControlSlot): void {
    const cls = command.words[0] as LeaseClass;
    const { endpoint, ticket } = command;
    const token = this.#table.tokenOf(endpoint, cls, slot.id);
    // A release that names the token of an earlier lease must not end the current one.
    if (command.token !== 0 && command.token !== token) {
      return this.#bus.ack(ticket, SOURCE.CORE, CODE["stale-lease"]);
    }
    if (!this.#table.release(endpoint, cls, slot.id)) {
      const waited = this.#table.giveUp(endpoint, cls, slot.id);
      if (waited !== null) {
        this.#dismiss(endpoint, cls, waited, LEASE_DENY.WITHDRAWN);
        this.news.changed(endpoint, cls);
        return this.#replyReleased(ticket, endpoint, cls);
      }
      return this.#bus.ack(ticket, SOURCE.CORE, CODE["no-lease"]);
    }
    this.#audit(KIND.LEASE_RELEASED, { control: slot.id, endpoint, cls, token }, slot.grant);
    this.#releasing.set(keyOf(endpoint, cls), ticket);
    this.#handover(endpoint, cls, token);
  }

  /** Handles an admitted CMD_LEASE_STATUS. */
  status(command: TransferEvent): void {
    const cls = command.words[0] as LeaseClass;
    const owner = this.#table.ownerOf(command.endpoint, cls);
    const event = this.#bus.event(KIND.LEASE_STATUS, SOURCE.CORE, command.endpoint);
    event.words[0] = cls;
    event.words[1] = owner === null ? 0 : 1;
    writeParty(event, owner);
    this.#bus.reply(command.ticket, event);
  }

  /** A control is gone: its leases are finalized and its pending claims dropped. */
  ownerGone(controlId: ControlId, whose: Principal): void {
    this.#table.withdraw(
      controlId,
      () => true,
      (endpoint, cls, token) => {
        const lease = { control: controlId, endpoint, cls, token };
        this.#audit(KIND.LEASE_REVOKED, lease, whose, "owner gone");
        this.#handover(endpoint, cls, token);
      },
      (endpoint, cls, successor) => {
        this.#bus.cancel(successor.corr);
        this.news.changed(endpoint, cls);
      },
    );
  }

  /** A control's grant shrank: leases that it may no longer own are revoked. */
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
        this.news.changed(endpoint, cls);
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
   * All adapters of an endpoint are closed: a finalization that none of them completed is over, since the
   * guest can no longer be reached.
   */
  endpointClosed(endpoint: EndpointId): void {
    for (const cls of Object.values(LEASE_CLASS)) this.#ending.get(keyOf(endpoint, cls))?.();
  }

  /** Ends leases whose keepalive has expired. */
  expire(nowNs: number): void {
    if (this.#table.deadline() > nowNs) return;
    this.#table.expire(nowNs, (endpoint, cls, token, owner) => {
      this.#tellRevoked({ control: owner, endpoint, cls, token }, LEASE_REVOKE.NOT_KEPT_ALIVE);
      this.#handover(endpoint, cls, token);
    });
  }

  #handover(endpoint: EndpointId, cls: LeaseClass, token: number): void {
    assert(!this.#ending.has(keyOf(endpoint, cls)), "a lease has one handover at a time");
    this.news.changed(endpoint, cls);
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
    const adapter = slot?.adapters[FINALIZER_OF_CLASS[cls] as number] ?? null;
    if (slot === null || adapter?.finalize === undefined) return finish();
    try {
      adapter.finalize(cls, finish);
    } catch (error) {
      this.#onFault(slot, adapter, error);
      // A limit, so that nobody waits for ever for an adapter that failed.
      if (!isDone) end();
      isForced = true;
    }
  }

  /** Answers a former owner's commands that are still queued under the ended lease. */
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
      if (this.#bus.ledger.find(ticket) >= 0) this.#replyReleased(ticket, endpoint, cls);
    }
    const slot = this.#endpointOf(endpoint);
    if (slot === null || slot.leaving) {
      for (const { corr } of this.#table.dismissAll(endpoint, cls)) {
        this.#bus.ack(corr, SOURCE.CORE, CODE["no-endpoint"]);
      }
    }
    const granted = this.#table.finalized(endpoint, cls, this.#bus.clock.nowNs());
    if (granted === null) return;
    const { successor, token } = granted;
    this.news.changed(endpoint, cls);
    this.#replyGranted(successor.corr, cls, token, successor.ttlMs);
    this.#auditGrant(successor.party, endpoint, cls, token, successor.message);
  }

  #replyReleased(ticket: number, endpoint: EndpointId, cls: LeaseClass): void {
    const event = this.#bus.event(KIND.LEASE_RELEASED, SOURCE.CORE, endpoint);
    event.words[0] = cls;
    this.#bus.reply(ticket, event);
  }

  #replyGranted(ticket: number, cls: LeaseClass, token: number, ttlMs: number): void {
    const event = this.#bus.event(KIND.LEASE_GRANTED, SOURCE.CORE, NO_ENDPOINT);
    event.words[0] = cls;
    writeU64(event.view, LEASE_GRANTED.at.token, token);
    event.words[LEASE_GRANTED.at.ttlMs / 4] = ttlMs;
    this.#bus.reply(ticket, event);
  }

  /** A waiting successor will not get the slot. */
  #dismiss(endpoint: EndpointId, cls: LeaseClass, successor: Successor, reason: LeaseDenial): void {
    if (this.#bus.ledger.find(successor.corr) < 0) return;
    this.#deny(successor, endpoint, cls, reason);
  }

  #tellRevoked(
    lease: LeaseOfControl,
    reason: LeaseRevocation,
    why: string = REVOCATIONS[reason] ?? "",
    taker: LeaseParty | null = null,
  ): void {
    const event = this.#bus.event(KIND.LEASE_REVOKED, SOURCE.CORE, lease.endpoint);
    event.origin = lease.control;
    event.words[0] = lease.cls;
    event.words[1] = reason;
    writeParty(event, taker);
    this.#bus.up(event);
    const by = taker === null ? "" : ` by ${principalWords(taker.grant.principal, taker.grant.as)}`;
    this.#audit(KIND.LEASE_REVOKED, lease, this.#bus.port.principalOf(lease.control) ?? GONE, why + by);
  }

  #auditGrant(
    { id, grant }: LeaseParty,
    endpoint: EndpointId,
    cls: LeaseClass,
    token: number,
    message = "",
  ): void {
    const lease = { control: id, endpoint, cls, token };
    this.#audit(KIND.LEASE_GRANTED, lease, grant, message === "" ? undefined : message);
  }

  #audit(
    kind: Kind,
    { control, endpoint, cls, token }: LeaseOfControl,
    { principal, as }: Principal,
    detail?: string,
  ): void {
    this.#bus.audit.write({ principal, as, control, endpoint, kind, code: CODE.ok, cls, token, detail });
  }
}

function keyOf(endpoint: EndpointId, cls: LeaseClass): number {
  return endpoint * LEASE_CLASS_COUNT + cls;
}

/** Announces who owns or takes a lease; announces nothing if there is nobody. */
function writeParty(event: TransferEvent, party: LeaseParty | null): void {
  if (party === null) return;
  const { principal, as } = party.grant;
  event.words[LEASE_PARTY.at.principal / 4] = principal;
  event.words[LEASE_PARTY.at.control / 4] = party.id;
  if (as !== undefined) writeText(event.inline, LEASE_PARTY.at.as, NAME_BYTES, as);
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
