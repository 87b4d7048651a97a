/**
 * The bus inside the core: the context, the pool, the ledger, and the two ways by which anything goes up: an
 * event of a seam, or an answer to a command. What an adapter or a control may do is decided elsewhere
 * (command rule, route, leases); here it is only made to happen exactly once.
 * @module
 */
import type { Principal } from "../base/principal_name.ts";
import { assert } from "../base/assert.ts";
import { NO_LEASE_CLASS } from "../access/requirement.ts";
import type { ControlId, EndpointId } from "../base/ids.ts";
import { HouseBudget } from "./seam_budget.ts";
import type { Clock } from "../base/clock.ts";
import { CODE, type Code } from "../base/codes.ts";
import { writeU64 } from "../base/layout.ts";
import { MAX_LANE_EVENTS } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import type { Log } from "../base/log.ts";
import { SUBMIT, TransferContext } from "../context/transfer_context.ts";
import { textParts, writeText } from "../event/inline_text.ts";
import { ACT_ACK, ERROR } from "../event/body_layout.ts";
import { defaultPrio, DIR, isAuditedKind } from "../event/defaults.ts";
import { EventQueue } from "../event/event_queue.ts";
import { operationName } from "../event/operation_name.ts";
import { mayTakeBack, takesBack } from "../event/overtaking.ts";
import { PRIO, PRIO_DEFAULT } from "../event/priority.ts";
import { KIND, type Kind, kindName } from "../event/kind.ts";
import { type Source, SOURCE_MAX } from "../event/source.ts";
import { EventPool, type TransferEvent } from "../event/transfer_event.ts";
import type { LoopPort } from "./adapter_port.ts";
import { AuditTrail } from "./audit_trail.ts";
import { Ledger } from "./ledger.ts";

/** What the bus tells the core, and asks it. */
export interface BusPort {
  /** Who is behind a control; undefined when it is gone. */
  principalOf(control: ControlId): Principal | undefined;
  /** What a control calls itself; "" when it is gone. */
  nameOf(control: ControlId): string;
  /** A control's command is settled without an event that would tell it so. */
  onSilent(control: ControlId): void;
  /** Whether any control receives AUDIT events. */
  hasAuditors(): boolean;
  /** A DOWN lane has room again. */
  onRoomDown(source: Source): void;
}

/**
 * The ticket of an answer to a command that was never admitted. An UP event with a ticket answers a command:
 * the fan-out counts the command as answered when the event has reached its control, and not before, so that
 * a control whose answers wait somewhere is not read.
 */
export const REFUSAL: number = -1;

/** Bytes of an ERROR's text. */
const ERROR_TEXT_BYTES = 40;
/** ERRORs in which the words of one refusal are told: QEMU's are 20 to 60 characters long. */
const MOST_WORD_PARTS = 3;

/** The shared middle of the core. */
export class Bus {
  /** What all seams share of what may be told unasked. */
  readonly house: HouseBudget = new HouseBudget();
  /** Where events come from and return to. */
  readonly pool: EventPool = new EventPool();
  /** Commands that are not answered yet. */
  readonly ledger: Ledger = new Ledger();
  /** What orders and paces. */
  readonly context: TransferContext;
  /** The loop's clock. */
  readonly clock: Clock;
  /** The core's log. */
  readonly log: Log;
  /** Who did what. */
  readonly audit: AuditTrail;
  /** The core's side. */
  readonly port: BusPort;
  /** Events answered with BLOCKED, by source, in order: see `transfer_context.ts` on BLOCK. */
  readonly #parked: readonly EventQueue[] = Array.from({ length: SOURCE_MAX }, () => new EventQueue());

  /**
   * Makes the context and the audit trail, and listens to the context.
   *
   * @param log the core's own
   * @param auditLog where the entries of the audit trail are written
   * @param port called when the core is complete, never from here
   */
  constructor(loop: LoopPort, log: Log, auditLog: Log, port: BusPort) {
    this.clock = loop.clock;
    this.log = log;
    this.port = port;
    this.audit = new AuditTrail(
      loop,
      auditLog,
      this.pool,
      (event) => this.up(event),
      () => port.hasAuditors(),
    );
    this.context = new TransferContext({
      onDrop: (event) => this.#onDrop(event),
      onRoom: (dir, source) => (dir === DIR.UP ? this.#unpark(source) : this.port.onRoomDown(source)),
    });
  }

  /** A blank UP event, stamped now. */
  event(kind: Kind, source: Source, endpoint: EndpointId): TransferEvent {
    const event = this.pool.acquire();
    event.kind = kind;
    event.source = source;
    event.dir = DIR.UP;
    event.endpoint = endpoint;
    event.tsNs = this.clock.nowNs();
    return event;
  }

  /** Sends an event up; takes it over whatever happens. */
  up(event: TransferEvent): void {
    if (mayTakeBack(event.kind)) this.#letGoFirst(event);
    const parked = this.#parked[event.source] as EventQueue;
    // What waits for room is overtaken by what is never blocked, and by nothing else.
    if (parked.length === 0 || this.#isUrgent(event)) {
      // Its stamp is its time of submission: one look at the clock less for every event.
      if (this.context.submit(DIR.UP, event, event.tsNs) !== SUBMIT.BLOCKED) return;
    }
    parked.push(event);
    if (parked.length <= MAX_LANE_EVENTS) return;
    const victim = parked.takeBroadcast();
    if (victim === null) return;
    this.log.warn("parked event dropped", { kind: kindName(victim.kind) });
    victim.release();
  }

  /** What an event takes back must not arrive after it: it goes up now, as urgently. */
  #letGoFirst(event: TransferEvent): void {
    const pick = (earlier: TransferEvent): boolean =>
      earlier.prio !== PRIO.URGENT && takesBack(event, earlier);
    const raise = (earlier: TransferEvent): void => {
      earlier.prio = PRIO.URGENT;
      earlier.dueNs = 0;
      this.context.submit(DIR.UP, earlier, event.tsNs);
    };
    this.context.extract(DIR.UP, pick, raise);
    for (const parked of this.#parked) if (parked.length > 0) parked.extract(pick, raise);
  }

  #isUrgent(event: TransferEvent): boolean {
    if (event.prio !== PRIO_DEFAULT) return event.prio === PRIO.URGENT;
    const { prio } = this.context.policyOf(event.source, DIR.UP);
    return (prio >= 0 ? prio : defaultPrio(event.kind, event.origin !== 0)) === PRIO.URGENT;
  }

  /** An ERROR event to all who watch the endpoint; the caller may address it, and sends it {@linkcode up}. */
  errorEvent(source: Source, endpoint: EndpointId, code: Code, detail: number, text: string): TransferEvent {
    const event = this.event(KIND.ERROR, source, endpoint);
    event.view.setUint32(ERROR.at.code, code, true);
    event.view.setUint32(ERROR.at.detail, detail, true);
    writeText(event.inline, ERROR.at.text, ERROR_TEXT_BYTES, text);
    return event;
  }

  /** An ACT_ACK, done now; the caller addresses it, and sends it {@linkcode up}. */
  ackEvent(source: Source, endpoint: EndpointId, kind: Kind, code: Code): TransferEvent {
    const event = this.event(KIND.ACT_ACK, source, endpoint);
    const { words } = event;
    words[ACT_ACK.at.ok / 4] = code === CODE.ok ? 1 : 0;
    words[ACT_ACK.at.code / 4] = code;
    words[ACT_ACK.at.cmdKind / 4] = kind;
    words[ACT_ACK.at.detail / 4] = 0;
    writeU64(event.view, ACT_ACK.at.doneNs, event.tsNs);
    return event;
  }

  /**
   * Answers a ticket with an ACT_ACK. The first answer counts; another one is our own defect, found and
   * logged.
   *
   * @param doneNs when the actuator confirmed; 0 = now
   */
  ack(ticket: number, source: Source, code: Code, detail = 0, doneNs = 0): void {
    const { ledger } = this;
    const index = ledger.find(ticket);
    if (index < 0) {
      this.log.error("a command was answered twice", { ticket, code });
      return;
    }
    this.#auditAnswer(index, code);
    const origin = ledger.origin(index);
    const corr = ledger.corr(index);
    ledger.close(index);
    if (corr === 0 && code === CODE.ok) return this.port.onSilent(origin);
    const event = this.ackEvent(source, ledger.endpoint(index), ledger.kind(index), code);
    event.origin = origin;
    event.ticket = ticket;
    event.corr = corr;
    event.words[ACT_ACK.at.detail / 4] = detail;
    if (doneNs !== 0) writeU64(event.view, ACT_ACK.at.doneNs, doneNs);
    this.up(event);
  }

  /**
   * Tells what an actuator said as it refused a command, as ERRORs right before its ACT_ACK, which has no
   * room for text. They are not an answer: their corr is 0, and `detail` is the command's, for a control that
   * knows of it. They have the ACT_ACK's priority, so that they stay in front of it, and are bounded as it
   * is. Nothing is told of a success, or of a ticket that was answered already.
   *
   * @param words outside text
   */
  tellWords(ticket: number, source: Source, code: Code, words: string): void {
    const { ledger } = this;
    const index = ledger.find(ticket);
    if (index < 0 || code === CODE.ok) return;
    const { prio } = this.context.policyOf(source, DIR.UP);
    for (const part of textParts(printable(words), ERROR_TEXT_BYTES, MOST_WORD_PARTS)) {
      const event = this.errorEvent(source, ledger.endpoint(index), code, ledger.corr(index), part);
      event.origin = ledger.origin(index);
      event.prio = prio >= 0 ? prio : defaultPrio(KIND.ACT_ACK, true);
      this.up(event);
    }
  }

  /** Answers a ticket with an event of its own, which takes the command's origin, corr and endpoint. */
  reply(ticket: number, event: TransferEvent): void {
    const index = this.ledger.find(ticket);
    if (index < 0) {
      this.log.error("a command was answered twice", { ticket, kind: kindName(event.kind) });
      event.release();
      return;
    }
    event.origin = this.ledger.origin(index);
    event.corr = this.ledger.corr(index);
    event.endpoint = this.ledger.endpoint(index);
    event.ticket = ticket;
    this.ledger.close(index);
    this.up(event);
  }

  /** Closes a ticket without an answer: its control is gone, or the command never left it. */
  cancel(ticket: number): void {
    const index = this.ledger.find(ticket);
    if (index < 0) return;
    this.ledger.close(index);
    this.port.onSilent(this.ledger.origin(index));
  }

  /** Sources of which UP events wait for their time (pacing, a coalescing window), bit 1 << source. */
  sourcesWaiting(): number {
    if (this.context.waiting(DIR.UP) === 0) return 0;
    let waiting = 0;
    for (let source = 0; source < SOURCE_MAX; source++) {
      if (this.context.depth(source as Source, DIR.UP) > 0) waiting |= 1 << source;
    }
    return waiting;
  }

  /** Takes back waiting UP events: what overtakes them has made them untrue. */
  withdraw(isMeant: (event: TransferEvent) => boolean): void {
    const release = (event: TransferEvent): void => event.release();
    for (const parked of this.#parked) if (parked.length > 0) parked.extract(isMeant, release);
    this.context.extract(DIR.UP, isMeant, release);
  }

  /** Releases everything that waits. */
  clear(): void {
    // Parked ones first, or the room that the context then has would let them in again.
    for (const parked of this.#parked) {
      for (let event = parked.shift(); event !== null; event = parked.shift()) event.release();
    }
    this.context.clear();
    assert(this.#parked.every((parked) => parked.length === 0), "a bus that is cleared holds no event");
  }

  /** Answers a DOWN event that is taken out of the context before it was routed. Borrowed. */
  refuseQueued(event: TransferEvent, code: Code): void {
    if (event.ticket !== 0) this.ack(event.ticket, event.source, code);
  }

  #onDrop(event: TransferEvent): void {
    if (event.dir === DIR.DOWN) this.refuseQueued(event, CODE.dropped);
  }

  #unpark(source: Source): void {
    const parked = this.#parked[source] as EventQueue;
    for (let event = parked.shift(); event !== null; event = parked.shift()) {
      if (this.context.submit(DIR.UP, event, this.clock.nowNs()) === SUBMIT.BLOCKED) {
        parked.unshift(event);
        return;
      }
    }
  }

  #auditAnswer(index: number, code: Code): void {
    const kind = this.ledger.kind(index);
    if (this.ledger.isAudited(index)) return;
    // Delivered input and answered questions are not news; refusals and everything that changes a VM are.
    // A memory write's adapter writes its own.
    if (code === CODE.ok && (!isAuditedKind(kind) || kind === KIND.CMD_MEMWRITE)) return;
    const cls = this.ledger.cls(index);
    const token = this.ledger.token(index);
    const { principal, as } = this.ledger.whose(index);
    this.audit.write({
      principal,
      as,
      control: this.ledger.origin(index),
      endpoint: this.ledger.endpoint(index),
      kind,
      code,
      cls: cls === NO_LEASE_CLASS ? undefined : cls,
      token: cls === NO_LEASE_CLASS || token === 0 ? undefined : token,
      detail: operationName(kind, this.ledger.operation(index)),
    });
  }
}
