/**
 * The seat of one adapter: the only interface through which it reaches the bus. It sets the fields that an
 * adapter must not choose (endpoint, source, direction) and drops everything once the adapter is closed. It
 * also limits the seam's unsolicited events to a budget, so that a flood from a hostile machine affects only
 * its own seam.
 * @module
 */
import type { Principal } from "../base/principal_name.ts";
import type { Code } from "../base/codes.ts";
import { assert } from "../base/assert.ts";
import { type EndpointId, NO_CONTROL, NO_ENDPOINT } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { LeaseTable } from "../access/lease_table.ts";
import { ERROR, MEMCTX, SEAM } from "../event/body_layout.ts";
import type { LeaseClass, SeamReason } from "../event/body_number.ts";
import { writeText } from "../event/inline_text.ts";
import { SEAM_REASON } from "../event/body_number.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { SOURCE, type Source } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { AuditFields, LoopPort, Seat } from "./adapter_port.ts";
import type { Bus } from "./bus.ts";
import type { EndpointSlot } from "./endpoint_slot.ts";
import { isRetained } from "./retained.ts";
import { SeamThrottle } from "./seam_throttle.ts";

/** The principal of events that no command caused: the VM itself. */
const NOBODY: Principal = { principal: 0 };

/** Called when a seam comes up or goes down. */
export type SeamListener = (slot: EndpointSlot, source: Source, up: boolean, reason: SeamReason) => void;

/** The parts of the core that a seat uses. */
export interface SeatParts {
  /**
   * Whether the adapter's events come from the daemon itself (a recording) and not from a machine: then no
   * budget applies.
   */
  readonly isOwn: boolean;
  /** Where its events go. */
  readonly bus: Bus;
  /** The loop that the adapter runs on. */
  readonly loop: LoopPort;
  /** Tells whether a lease is valid. */
  readonly leases: LeaseTable;
  /** The adapter's own log. */
  readonly log: Log;
  /** Called when the seam comes up or goes down. */
  readonly onSeam: SeamListener;
}

/** A seat of the core. */
export class AdapterSeat implements Seat {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  readonly endpointName: string;
  /** The loop that the adapter runs on. */
  readonly loop: LoopPort;
  /** The adapter's own log. */
  readonly log: Log;
  readonly #slot: EndpointSlot;
  readonly #source: Source;
  readonly #bus: Bus;
  readonly #leases: LeaseTable;
  readonly #onSeam: SeamListener;
  readonly #throttle: SeamThrottle | null;
  #closed = false;
  /** The last state that was emitted for the seam: up, down, or none yet. */
  #told: "nothing" | "up" | "down" = "nothing";
  /** The VM's process at the last SEAM_UP. */
  #pid = 0;

  /**
   * Makes the seat of one adapter of an endpoint.
   */
  constructor(slot: EndpointSlot, source: Source, parts: SeatParts) {
    const { isOwn, bus, loop, leases, log, onSeam } = parts;
    this.#slot = slot;
    this.#source = source;
    this.#bus = bus;
    this.#leases = leases;
    this.#onSeam = onSeam;
    this.endpoint = slot.id;
    this.endpointName = slot.name;
    this.loop = loop;
    this.log = log;
    this.#throttle = isOwn ? null : new SeamThrottle(loop, bus.house, {
      pass: (event) => this.#pass(event),
      onFlood: (code, text) => {
        log.warn("its VM sends more events than its budget allows", { vm: slot.name, what: text });
        bus.up(bus.errorEvent(source, slot.id, code, 0, text));
      },
    });
  }

  event(kind: Kind): TransferEvent {
    return this.#bus.event(kind, this.#source, this.endpoint);
  }

  /** Whether the seam is up, by the last event emitted for it. */
  get isUp(): boolean {
    return this.#told === "up";
  }

  up(pid = 0): void {
    assert(this.#told !== "up", "a seam that is up does not come up");
    this.#pid = pid;
    this.#tellSeam(KIND.SEAM_UP, SEAM_REASON.ASKED, pid);
  }

  down(reason: SeamReason, pid: number = this.#pid): void {
    if (this.#told !== "down") this.#tellSeam(KIND.SEAM_DOWN, reason, pid);
  }

  #tellSeam(kind: Kind, reason: SeamReason, pid: number): void {
    const event = this.event(kind);
    event.words[SEAM.at.reason / 4] = reason;
    event.words[SEAM.at.pid / 4] = pid;
    this.emit(event);
  }

  emit(event: TransferEvent): void {
    if (this.#closed) return event.release();
    event.source = this.#source;
    event.endpoint = this.endpoint;
    if (this.#throttle === null) this.#pass(event);
    else this.#throttle.take(event);
  }

  #pass(event: TransferEvent): void {
    if (event.kind === KIND.MEMCTX) {
      this.#slot.memctxEpoch = event.words[MEMCTX.at.epoch / 4] as number;
    } else if (event.kind === KIND.MEMCTX_INVALIDATED) {
      this.#slot.memctxEpoch = -1;
      // It is urgent and would overtake a queued context, which would then be delivered, and retained, after
      // its end.
      this.#withdraw((waiting) => waiting.kind === KIND.MEMCTX);
    } else if (event.kind === KIND.SEAM_DOWN) this.#withdraw((waiting) => isRetained(waiting.kind));
    const seam = event.kind === KIND.SEAM_UP ? 1 : event.kind === KIND.SEAM_DOWN ? -1 : 0;
    const reason = event.words[SEAM.at.reason / 4] as SeamReason;
    const pid = event.words[SEAM.at.pid / 4] as number;
    this.#bus.up(event);
    if (seam === 0) return;
    this.#told = seam > 0 ? "up" : "down";
    const bit = 1 << this.#source;
    this.#slot.seams = seam > 0 ? this.#slot.seams | bit : this.#slot.seams & ~bit;
    if (seam > 0 && this.#source === SOURCE.VMHOST && pid !== 0) this.#slot.pid = pid;
    this.#onSeam(this.#slot, this.#source, seam > 0, reason);
  }

  /** Withdraws the adapter's retained state and its events that are still queued. */
  #withdraw(isMeant: (waiting: TransferEvent) => boolean): void {
    const { endpoint } = this;
    const source = this.#source;
    this.#bus.withdraw((event) =>
      event.source === source && event.endpoint === endpoint && event.publisher === 0 && isMeant(event)
    );
  }

  emitError(code: Code, detail: number, text: string): void {
    if (this.#closed) return;
    const event = this.event(KIND.ERROR);
    event.view.setUint32(ERROR.at.code, code, true);
    event.view.setUint32(ERROR.at.detail, detail, true);
    writeText(event.inline, ERROR.at.text, 40, text);
    this.emit(event);
  }

  ack(ticket: number, code: Code, detail = 0, doneNs = 0, words = ""): void {
    if (this.#closed) return;
    this.#throttle?.earn();
    if (words !== "") this.#bus.tellWords(ticket, this.#source, code, words);
    this.#bus.ack(ticket, this.#source, code, detail, doneNs);
  }

  reply(ticket: number, event: TransferEvent): void {
    if (this.#closed) return event.release();
    this.#throttle?.earn();
    this.#bus.reply(ticket, event);
  }

  leaseIsLive(cls: LeaseClass, token: number): boolean {
    return this.#leases.isLive(this.endpoint, cls, token);
  }

  audit(kind: Kind, code: Code, fields: AuditFields): void {
    const { ledger } = this.#bus;
    const index = fields.ticket === undefined ? -1 : ledger.find(fields.ticket);
    const control = index < 0 ? NO_CONTROL : ledger.origin(index);
    if (index >= 0 && kind === ledger.kind(index)) ledger.noteAudited(index);
    const { principal, as } = index < 0 ? NOBODY : ledger.whose(index);
    this.#bus.audit.write({
      principal,
      as,
      control,
      endpoint: this.#closed ? NO_ENDPOINT : this.endpoint,
      kind,
      code,
      cls: fields.cls,
      token: index < 0 || ledger.token(index) === 0 ? undefined : ledger.token(index),
      detail: fields.detail,
    });
  }

  /** Drops all later calls: a closed adapter can no longer emit anything. */
  close(): void {
    assert(!this.#closed, "a seat is closed once");
    this.#closed = true;
    this.#throttle?.close();
  }
}
