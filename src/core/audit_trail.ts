/**
 * The audit trail: who did what to which VM, and the result. Each entry is a structured log line and, if a
 * control receives AUDIT, an AUDIT event with a CBOR body (src/event/PROTOCOL.md).
 *
 * Entries for executed operations are always written: grants, releases and revocations of leases, power,
 * memory writes. Refusals and admissions cost a peer nothing, so their entries are limited per principal, in
 * the log and as events; the number that was left out is written as an entry of its own within a second.
 *
 * Not audited: successful commands that only read (query, status, held), and each single input that was
 * delivered (its lease is audited).
 *
 * A turn's lines are written after its answers have been sent. Leases can change hands 70,000 times a second,
 * and writing a line takes 3 us, half of what granting a lease takes; in a process that runs both core and
 * control it would delay the control even after the answer. So the lines of granted and released leases
 * within one millisecond are written together, unless a command is carried out under a lease: a turn that
 * changed a VM never ends before its own lines, and those of the leases that permitted it, are written.
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

/** One entry. `endpoint` 0xffffffff: no VM is concerned. */
export interface AuditEntry extends Principal {
  /** The control; 0 = none, or not on the bus. */
  readonly control: ControlId;
  /** The VM. */
  readonly endpoint: EndpointId;
  /** The command's kind, or the kind of the event that reports what happened. */
  readonly kind: Kind;
  /** The result code. */
  readonly code: Code;
  /** The lease class concerned. */
  readonly cls?: LeaseClass | undefined;
  /** The lease token concerned. */
  readonly token?: number | undefined;
  /** More detail; a function is called only if the entry is written somewhere. */
  readonly detail?: string | (() => string) | undefined;
}

/** Interval at which lines of granted and released leases are written, ns. */
const LINES_NS = MS;
/** Number of queued lines at which they are written without waiting for the interval. */
const MAX_WAITING_LINES = 64;

/** Writes audit entries. */
export class AuditTrail implements TimerHandler {
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #pool: EventPool;
  readonly #emit: (event: TransferEvent) => void;
  readonly #isHeard: () => boolean;
  readonly #limit = new RefusalLimit();
  /** Lines not written yet, oldest first; their details are strings. */
  #lines: AuditEntry[] = [];
  /** Whether the lines are to be written at the end of this turn. */
  #isUrgent = false;
  /** When lines were last written, ns. */
  #writtenNs = -LINES_NS;
  /** Whether {@linkcode #wake} is armed for queued lines. */
  #isPaced = false;
  /** Starts the turn at whose end queued lines are written. */
  readonly #wake: TimerHandler = { onTimer: () => void (this.#isPaced = false) };
  #armedNs = NEVER;
  #entries = 0;
  #leftOut = 0;

  /**
   * Starts with no entries.
   *
   * @param loop its clock, and the timer that reports what was left out
   * @param emit sends an AUDIT event up; takes ownership of it
   * @param isHeard whether any control receives AUDIT; if none does, no event is made
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

  /** Number of entries, including those left out. */
  get entries(): number {
    return this.#entries;
  }

  /** Number of entries that were left out. */
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

  /**
   * Called when a command under a lease is carried out in this turn: the lease's line is then written at the
   * end of the turn.
   */
  noteLeaseUsed(): void {
    this.#isUrgent = true;
  }

  /** Deadline for {@linkcode endTurn} if nothing else happens, ns: 0 = at once. */
  get deadlineNs(): number {
    return this.#lines.length > 0 && !this.#isPaced ? 0 : NEVER;
  }

  /**
   * Called when the answers of a turn have been sent: writes its lines, or leaves them for the next interval.
   */
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

  /** Writes the queued lines. Also called when a turn has failed and the process is about to end. */
  writeLines(): void {
    const lines = this.#lines;
    this.#lines = [];
    lines.forEach((entry, i) => this.#writeLine(entry, i < lines.length - 1));
  }

  /** Called by the loop at the end of a second in which refusals were left out. */
  onTimer(nowNs: number): void {
    this.#armedNs = NEVER;
    this.#limit.sweep(nowNs, this.#tellLeftOut);
    this.#arm();
  }

  /** Reports what was left out so far; nothing is written afterwards. */
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
    // The function describes the state now, which may change before the line is written.
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

/** Whether a peer can cause such entries at no cost. */
function isLimited({ kind, code, cls }: AuditEntry): boolean {
  if (code === CODE.ok) return kind === KIND.WELCOME;
  // Sent, but without confirmation: a stopped machine carries it out when it resumes.
  const changesVm = cls === LEASE_CLASS.POWER || cls === LEASE_CLASS.MEMWRITE;
  return !(changesVm && code === CODE["timed-out"]);
}

/** Whether an entry only says that a lease changed hands, with no effect on a VM so far. */
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
