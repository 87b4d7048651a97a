/**
 * The core's event path: the context, the pool, the ledger, and the two ways in which events go up: an event
 * of a seam, and an answer to a command. What an adapter or a control may do is decided elsewhere (command
 * rule, route, leases); this class ensures that it happens exactly once.
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

/** What the bus reports to the core and asks of it. */
export interface BusPort {
  /** The principal of a control; undefined when it is gone. */
  principalOf(control: ControlId): Principal | undefined;
  /** The name that a control gave itself; "" when it is gone. */
  nameOf(control: ControlId): string;
  /** A control's command was settled without an event that tells it so. */
  onSilent(control: ControlId): void;
  /** Whether any control receives AUDIT. */
  hasAuditors(): boolean;
  /** A DOWN lane has room again. */
  onRoomDown(source: Source): void;
}

/**
 * The ticket of an answer to a command that was never admitted. An UP event with a ticket answers a command.
 * The fan-out counts a command as answered only when the event has reached its control, so that a control
 * whose answers are queued is not read from.
 */
export const REFUSAL: number = -1;

/** Size limit of an ERROR's text, bytes. */
const ERROR_TEXT_BYTES = 40;
/** Maximum number of ERRORs for the message of one refusal; QEMU's messages are 20 to 60 characters long. */
const MOST_WORD_PARTS = 3;

/** The event path shared by all parts of the core. */
export class Bus {
  /** The budget of unsolicited events that all seams share. */
  readonly house: HouseBudget = new HouseBudget();
  /** Pool that events come from and return to. */
  readonly pool: EventPool = new EventPool();
  /** Commands that have not been answered yet. */
  readonly ledger: Ledger = new Ledger();
  /** Orders and paces events. */
  readonly context: TransferContext;
  /** The loop's clock. */
  readonly clock: Clock;
  /** The core's log. */
  readonly log: Log;
  /** The audit trail. */
  readonly audit: AuditTrail;
  /** The core's callbacks. */
  readonly port: BusPort;
  /**
   * Events that the context answered with BLOCKED, by source, in order: see BLOCK in `transfer_context.ts`.
   */
  readonly #parked: readonly EventQueue[] = Array.from({ length: SOURCE_MAX }, () => new EventQueue());

  /**
   * Makes the context and the audit trail, and becomes the context's listener.
   *
   * @param log the core's log
   * @param auditLog where the entries of the audit trail are written
   * @param port called only after the core is complete, never from this constructor
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

  /** A blank UP event, stamped with the current time. */
  event(kind: Kind, source: Source, endpoint: EndpointId): TransferEvent {
    const event = this.pool.acquire();
    event.kind = kind;
    event.source = source;
    event.dir = DIR.UP;
    event.endpoint = endpoint;
    event.tsNs = this.clock.nowNs();
    return event;
  }

  /** Sends an event up; takes ownership of it in every case. */
  up(event: TransferEvent): void {
    if (mayTakeBack(event.kind)) this.#letGoFirst(event);
    const parked = this.#parked[event.source] as EventQueue;
    // Parked events may be overtaken only by events that are never blocked.
    if (parked.length === 0 || this.#isUrgent(event)) {
      // The event's time stamp serves as the time of submission, which saves reading the clock for every
      // event.
      if (this.context.submit(DIR.UP, event, event.tsNs) !== SUBMIT.BLOCKED) return;
    }
    parked.push(event);
    if (parked.length <= MAX_LANE_EVENTS) return;
    const victim = parked.takeBroadcast();
    if (victim === null) return;
    this.log.warn("parked event dropped", { kind: kindName(victim.kind) });
    victim.release();
  }

  /** An event that this one withdraws must not arrive after it, so it is sent now, with the same urgency. */
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

  /**
   * An ERROR event to all who observe the endpoint; the caller may address it to one control, and sends it
   * with {@linkcode up}.
   */
  errorEvent(source: Source, endpoint: EndpointId, code: Code, detail: number, text: string): TransferEvent {
    const event = this.event(KIND.ERROR, source, endpoint);
    event.view.setUint32(ERROR.at.code, code, true);
    event.view.setUint32(ERROR.at.detail, detail, true);
    writeText(event.inline, ERROR.at.text, ERROR_TEXT_BYTES, text);
    return event;
  }

  /** An ACT_ACK with the current time; the caller addresses it and sends it with {@linkcode up}. */
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
   * Answers a ticket with an ACT_ACK. The first answer counts; a second one is a defect of vmsig and is
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
   * Sends an actuator's message about a refused command as ERRORs right before the ACT_ACK, which has no room
   * for text. They are not answers: their corr is 0, and `detail` holds the command's corr, for a control
   * that knows this. They have the ACT_ACK's priority, so that they stay in front of it, and like it are
   * bounded by the number of commands. Nothing is sent on success, or if the ticket was already answered.
   *
   * @param words text from outside
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

  /** Closes a ticket without an answer: its control is gone, or the command never reached an adapter. */
  cancel(ticket: number): void {
    const index = this.ledger.find(ticket);
    if (index < 0) return;
    this.ledger.close(index);
    this.port.onSilent(this.ledger.origin(index));
  }

  /** Sources that have UP events waiting for pacing or a coalescing window, bit 1 << source. */
  sourcesWaiting(): number {
    if (this.context.waiting(DIR.UP) === 0) return 0;
    let waiting = 0;
    for (let source = 0; source < SOURCE_MAX; source++) {
      if (this.context.depth(source as Source, DIR.UP) > 0) waiting |= 1 << source;
    }
    return waiting;
  }

  /** Removes queued UP events that are no longer true because of an event that overtakes them. */
  withdraw(isMeant: (event: TransferEvent) => boolean): void {
    const release = (event: TransferEvent): void => event.release();
    for (const parked of this.#parked) if (parked.length > 0) parked.extract(isMeant, release);
    this.context.extract(DIR.UP, isMeant, release);
  }

  /** Releases all queued events. */
  clear(): void {
    // Parked events first; otherwise the room in the context would let them in again.
    for (const parked of this.#parked) {
      for (let event = parked.shift(); event !== null; event = parked.shift()) event.release();
    }
    this.context.clear();
    assert(this.#parked.every((parked) => parked.length === 0), "a bus that is cleared holds no event");
  }

  /** Answers a DOWN event that is removed from the context before it was routed. Borrowed. */
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
    // Delivered input and answered queries need no entry; refusals and everything that changes a VM do. The
    // adapter of a memory write writes its own.
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
