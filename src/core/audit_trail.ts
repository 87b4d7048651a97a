/**
 * The audit trail: who did what to which VM, and the verdict. Each entry is a structured log line and, when
 * somebody with AUDIT listens, an AUDIT event with a CBOR body (src/event/PROTOCOL.md).
 *
 * What was carried out is always written: grants, releases and revocations of leases, power, memory writes. A
 * refusal (and that somebody was let in) can be had by the thousand for nothing, so refusals are limited, per
 * principal, as line and as event alike; how many were left out is an entry of its own, a second later at the
 * latest.
 *
 * Not audited: a command that only looks (query, status, held) and went well, and each single input that was
 * delivered: the lease under which it came is.
 *
 * A turn's lines are written when its answers have been sent. Leases can change hands 70,000 times a second,
 * and a line costs 3 us, half of what it takes to grant one; where one core serves the daemon and the control
 * it would hold up the control even behind the answer. So lines of granted and released leases that come
 * within a millisecond of others wait for its end, unless something is sent under a lease: no turn in which
 * anything was done to a VM ends before its lines, and those of the leases that allow it, are written.
 * @module
 */
import { assert } from "../base/assert.ts";
import { encode } from "cborg";
import { CODE, type Code, codeName } from "../base/codes.ts";
import { MS, NEVER } from "../base/clock.ts";
import { type ControlId, type EndpointId, NO_CONTROL, NO_ENDPOINT } from "../base/ids.ts";
import type { Principal } from "../base/principal_name.ts";
import type { Log } from "../base/log.ts";
import { LEASE_CLASS, LEASE_CLASS_NAMES, type LeaseClass } from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { KIND, type Kind, kindName } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import { BODY, type EventPool, type TransferEvent } from "../event/transfer_event.ts";
import type { LoopPort, TimerHandler } from "./adapter_port.ts";
import { OTHER_PRINCIPALS, RefusalLimit } from "./refusal_limit.ts";

/** One entry. `endpoint` 0xffffffff: no VM is meant. */
export interface AuditEntry extends Principal {
  /** Which control; 0 = none, or not on the bus. */
  readonly control: ControlId;
  /** Which VM. */
  readonly endpoint: EndpointId;
  /** What: the command's kind, or that of the event which says what happened. */
  readonly kind: Kind;
  /** The verdict. */
  readonly code: Code;
  /** The class of lease that mattered. */
  readonly cls?: LeaseClass | undefined;
  /** The lease token that mattered. */
  readonly token?: number | undefined;
  /** More about it; a function is asked only when the entry is written somewhere. */
  readonly detail?: string | (() => string) | undefined;
}

/** Lines of granted and released leases are written once in this time, ns. */
const LINES_NS = MS;
/** So many lines are written without waiting for it. */
const MAX_WAITING_LINES = 64;

/** Writes audit entries. */
export class AuditTrail implements TimerHandler {
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #pool: EventPool;
  readonly #emit: (event: TransferEvent) => void;
  readonly #isHeard: () => boolean;
  readonly #limit = new RefusalLimit();
  /** Not written yet, oldest first; their details are strings. */
  #lines: AuditEntry[] = [];
  /** Whether the lines are to be written at the end of this turn. */
  #isUrgent = false;
  /** When lines were written last, ns. */
  #writtenNs = -LINES_NS;
  /** Whether {@linkcode #wake} is armed, for lines that wait. */
  #isPaced = false;
  /** Begins the turn whose end writes lines that wait. */
  readonly #wake: TimerHandler = { onTimer: () => void (this.#isPaced = false) };
  #armedNs = NEVER;
  #entries = 0;
  #leftOut = 0;

  /**
   * Starts without entries.
   *
   * @param loop whose time it goes by, and which wakes it to tell what was left out
   * @param emit sends an AUDIT event up; it takes the event over
   * @param isHeard whether any control receives the stream: with none, no event is made
   */
  constructor(
    loop: LoopPort,
    log: Log,
    pool: EventPool,
    emit: (event: TransferEvent) => void,
    isHeard: () => boolean,
  ) {
    this.#loop = loop;
    this.#log = log;
    this.#pool = pool;
    this.#emit = emit;
    this.#isHeard = isHeard;
  }

  /** How many entries there were, those included that were left out. */
  get entries(): number {
    return this.#entries;
  }

  /** How many of them were left out. */
  get leftOut(): number {
    return this.#leftOut;
  }

  /** Writes one entry. */
  write(entry: AuditEntry): void {
    this.#entries++;
    if (isLimited(entry)) {
      const nowNs = this.#loop.clock.nowNs();
      if (this.#limit.size > 0) this.#limit.sweep(nowNs, this.#tellLeftOut);
      if (!this.#limit.admits(entry.principal, nowNs)) {
        this.#leftOut++;
        assert(this.#leftOut <= this.#entries, "what is left out is counted as an entry as well");
        this.#arm();
        return;
      }
    }
    this.#put(entry);
  }

  /** A command under a lease is carried out in this turn: the lease's line is written at its end. */
  noteLeaseUsed(): void {
    this.#isUrgent = true;
  }

  /** When {@linkcode endTurn} is to be called though nothing happens, ns: 0 = at once. */
  get deadlineNs(): number {
    return this.#lines.length > 0 && !this.#isPaced ? 0 : NEVER;
  }

  /** The answers of a turn have been sent: its lines are written, or wait a little for others. */
  endTurn(nowNs: number): void {
    const isUrgent = this.#isUrgent;
    this.#isUrgent = false;
    if (this.#lines.length === 0) return;
    const dueNs = this.#writtenNs + LINES_NS;
    if (isUrgent || nowNs >= dueNs || this.#lines.length >= MAX_WAITING_LINES) {
      this.#writtenNs = nowNs;
      this.writeLines();
    } else if (!this.#isPaced) {
      this.#isPaced = true;
      this.#loop.arm(this.#wake, dueNs);
    }
  }

  /** Writes the lines that wait. Called also when a turn has failed, and the process is about to end. */
  writeLines(): void {
    const lines = this.#lines;
    this.#lines = [];
    lines.forEach((entry, i) => this.#writeLine(entry, i < lines.length - 1));
  }

  /** Called by the loop: the second of somebody's left-out refusals is over. */
  onTimer(nowNs: number): void {
    this.#armedNs = NEVER;
    this.#limit.sweep(nowNs, this.#tellLeftOut);
    this.#arm();
  }

  /** Tells what was left out so far; nothing is written any more. */
  close(): void {
    this.#loop.disarm(this);
    this.#loop.disarm(this.#wake);
    this.#limit.sweep(NEVER, this.#tellLeftOut);
    this.writeLines();
  }

  #arm(): void {
    if (this.#armedNs !== NEVER) return;
    this.#armedNs = this.#limit.deadlineNs();
    if (this.#armedNs !== NEVER) this.#loop.arm(this, this.#armedNs);
  }

  #put(entry: AuditEntry): void {
    this.#noteLine(entry);
    if (!this.#isHeard()) return;
    const nowNs = this.#loop.clock.nowNs();
    const event = this.#pool.acquire();
    event.kind = KIND.AUDIT;
    event.source = SOURCE.CORE;
    event.dir = DIR.UP;
    event.endpoint = entry.endpoint;
    event.tsNs = nowNs;
    event.setBody(BODY.CBOR, encode(auditBody(entry, nowNs)));
    this.#emit(event);
  }

  #noteLine(entry: AuditEntry): void {
    if (!this.#log.wants("info")) return;
    // What a function says is true now, and need not be later.
    this.#lines.push(typeof entry.detail === "function" ? { ...entry, detail: entry.detail() } : entry);
    if (!mayWait(entry)) this.#isUrgent = true;
  }

  #writeLine(entry: AuditEntry, isFollowed: boolean): void {
    const fields = {
      verdict: codeName(entry.code),
      principal: entry.principal,
      as: entry.as,
      control: entry.control,
      endpoint: entry.endpoint === NO_ENDPOINT ? undefined : entry.endpoint,
      class: entry.cls === undefined ? undefined : LEASE_CLASS_NAMES[entry.cls] ?? entry.cls,
      token: entry.token,
      detail: detailOf(entry),
    };
    this.#log.record(kindName(entry.kind), fields, isFollowed);
  }

  readonly #tellLeftOut = (principal: number, count: number): void =>
    this.#put({
      principal,
      control: NO_CONTROL,
      endpoint: NO_ENDPOINT,
      kind: KIND.AUDIT,
      code: CODE.dropped,
      detail: `${count} entries ${principal === OTHER_PRINCIPALS ? "of others " : ""}left out`,
    });
}

/** Whether an entry is one of those that a peer can cause for nothing. */
function isLimited({ kind, code, cls }: AuditEntry): boolean {
  if (code === CODE.ok) return kind === KIND.WELCOME;
  // It was sent, and nobody said that it was not done: a machine that is stopped carries it out when it goes
  // on.
  const changesVm = cls === LEASE_CLASS.POWER || cls === LEASE_CLASS.MEMWRITE;
  return !(changesVm && code === CODE["timed-out"]);
}

/** Whether an entry says of a lease alone that it changed hands: nothing was done to a VM yet. */
function mayWait({ kind }: AuditEntry): boolean {
  return kind === KIND.LEASE_GRANTED || kind === KIND.LEASE_RELEASED;
}

function auditBody(entry: AuditEntry, ns: number): Record<string, unknown> {
  const { principal, control, endpoint, kind, code } = entry;
  const body: Record<string, unknown> = { ns: Math.round(ns), principal, control, endpoint, kind, code };
  if (entry.as !== undefined) body["as"] = entry.as;
  if (entry.cls !== undefined) body["cls"] = entry.cls;
  if (entry.token !== undefined) body["token"] = entry.token;
  if (entry.detail !== undefined) body["detail"] = detailOf(entry);
  return body;
}

function detailOf({ detail }: AuditEntry): string | undefined {
  return typeof detail === "function" ? detail() : detail;
}
