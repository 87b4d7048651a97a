/**
 * The audit trail: who did what to which VM, and the verdict. Each entry is a structured log line and, when somebody with AUDIT listens, an AUDIT event with
 * a CBOR body (contract, section 1). Log lines are rate-limited per control, because a peer chooses how many there are; AUDIT events are
 * BULK and give way by themselves.
 *
 * Not audited: a command that only looks (query, status, held) and went well, and each single input that was delivered: the lease under
 * which it came is.
 * @module
 */
import { encode } from "cborg";
import { codeName } from "../base/codes.ts";
import type { Clock } from "../base/clock.ts";
import { SECOND } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { LEASE_CLASS_NAMES } from "../event/body_number.ts";
import { DIR } from "../event/defaults.ts";
import { KIND, kindName } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import { BODY, type EventPool, type TransferEvent } from "../event/transfer_event.ts";

/** One entry. `endpoint` 0xffffffff: no VM is meant. */
export interface AuditEntry {
  /** Who: the uid behind the control. */
  readonly principal: number;
  /** Which control; 0 = none, or not on the bus. */
  readonly control: number;
  /** Which VM. */
  readonly endpoint: number;
  /** What: the command's kind, or that of the event which says what happened. */
  readonly kind: number;
  /** The verdict. */
  readonly code: number;
  /** The class of lease that mattered. */
  readonly cls?: number | undefined;
  /** The lease token that mattered. */
  readonly token?: number | undefined;
  /** More about it; a function is asked only when the entry is written somewhere. */
  readonly detail?: string | (() => string) | undefined;
}

/** An entry's endpoint when no VM is meant. */
export const NO_ENDPOINT = 0xffffffff;

const LINES_A_SECOND = 20;

/** Writes audit entries. */
export class AuditTrail {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #pool: EventPool;
  readonly #emit: (event: TransferEvent) => void;
  readonly #lines = new Map<number, { sinceNs: number; count: number; suppressed: number }>();
  #listeners = 0;
  #entries = 0;

  /**
   * Starts without listeners: entries are log lines only.
   *
   * @param emit sends an AUDIT event up; it takes the event over
   */
  constructor(clock: Clock, log: Log, pool: EventPool, emit: (event: TransferEvent) => void) {
    this.#clock = clock;
    this.#log = log;
    this.#pool = pool;
    this.#emit = emit;
  }

  /** How many entries there were. */
  get entries(): number {
    return this.#entries;
  }

  /** How many controls receive the stream: with none, no event is made. */
  setListeners(count: number): void {
    this.#listeners = count;
  }

  /** A control is gone: its rate limit is forgotten, and what it left out is told. */
  forget(control: number): void {
    const lines = this.#lines.get(control);
    if (lines === undefined) return;
    this.#lines.delete(control);
    this.#tellSuppressed(control, lines.suppressed);
  }

  /** Writes one entry. */
  write(entry: AuditEntry): void {
    this.#entries++;
    const nowNs = this.#clock.nowNs();
    this.#writeLine(entry, nowNs);
    if (this.#listeners === 0) return;
    const event = this.#pool.acquire();
    event.kind = KIND.AUDIT;
    event.source = SOURCE.CORE;
    event.dir = DIR.UP;
    event.endpoint = entry.endpoint;
    event.tsNs = nowNs;
    event.setBody(BODY.CBOR, encode(auditBody(entry, nowNs)));
    this.#emit(event);
  }

  #writeLine(entry: AuditEntry, nowNs: number): void {
    if (!this.#log.wants("info")) return;
    let lines = this.#lines.get(entry.control);
    if (lines === undefined) {
      lines = { sinceNs: nowNs, count: 0, suppressed: 0 };
      this.#lines.set(entry.control, lines);
    }
    if (nowNs - lines.sinceNs >= SECOND) {
      this.#tellSuppressed(entry.control, lines.suppressed);
      lines.sinceNs = nowNs;
      lines.count = lines.suppressed = 0;
    }
    if (++lines.count > LINES_A_SECOND) {
      lines.suppressed++;
      return;
    }
    this.#log.info(kindName(entry.kind), {
      verdict: codeName(entry.code),
      principal: entry.principal,
      control: entry.control,
      endpoint: entry.endpoint === NO_ENDPOINT ? undefined : entry.endpoint,
      class: entry.cls === undefined ? undefined : LEASE_CLASS_NAMES[entry.cls] ?? entry.cls,
      token: entry.token,
      detail: detailOf(entry),
    });
  }

  #tellSuppressed(control: number, count: number): void {
    if (count > 0) this.#log.warn("audit lines left out", { control, count });
  }
}

function auditBody(entry: AuditEntry, ns: number): Record<string, unknown> {
  const { principal, control, endpoint, kind, code } = entry;
  const body: Record<string, unknown> = { ns: Math.round(ns), principal, control, endpoint, kind, code };
  if (entry.cls !== undefined) body["cls"] = entry.cls;
  if (entry.token !== undefined) body["token"] = entry.token;
  if (entry.detail !== undefined) body["detail"] = detailOf(entry);
  return body;
}

function detailOf({ detail }: AuditEntry): string | undefined {
  return typeof detail === "function" ? detail() : detail;
}
