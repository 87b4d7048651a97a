/**
 * The consoles of an endpoint that plays a recording: bytes are kept as they are played, and read as from a
 * daemon, at the places that they had. What the recorder missed is a gap, which readers count as lost.
 * @module
 */
import { encode } from "cborg";
import { assert } from "../../base/assert.ts";
import { MS, NEVER } from "../../base/clock.ts";
import { CODE } from "../../base/codes.ts";
import type { ControlId } from "../../base/ids.ts";
import { readU64, writeU64 } from "../../base/layout.ts";
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import { printable } from "../../base/printable.ts";
import type { Seat, TimerHandler } from "../../core/adapter_port.ts";
import { CONSOLE_OUT, CONSOLE_REQUEST } from "../../event/body_layout.ts";
import { CONSOLE_FROM_NOW, CONSOLE_OP } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { consolePieceOf, type RecordedConsole } from "../../event/recorded_console.ts";
import type { RecordedEvent } from "../../event/recording.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import { Backlog, BACKLOG_BYTES } from "../console/backlog.ts";
import { ConsoleReads, MAX_CONSOLE_WAIT_MS, type WaitingRead } from "../console/console_reads.ts";

/** One console. */
interface Played {
  readonly console: RecordedConsole;
  readonly reads: ConsoleReads;
  backlog: Backlog;
  /** Whether anything was played: before, any place may be the first. */
  isBegun: boolean;
}

/** The consoles of one endpoint. */
export class ReplayConsoles implements TimerHandler {
  readonly #consoles: ReadonlyMap<number, Played>;
  #seat: Seat | undefined;

  /** Keeps nothing yet. */
  constructor(consoles: ReadonlyMap<number, RecordedConsole>) {
    this.#consoles = new Map(
      [...consoles].map(([port, console]) => {
        const played = { console, reads: new ConsoleReads(), backlog: new Backlog(), isBegun: false };
        return [port, played] as const;
      }),
    );
  }

  /** Bytes that are due: kept, and given to who waits for them. */
  play(seat: Seat, { inline, body }: RecordedEvent): void {
    const { port, offset } = consolePieceOf(inline);
    const played = this.#consoles.get(port);
    assert(played !== undefined, "the plan knows each console of its recording");
    if (offset < played.backlog.end && played.isBegun) {
      // Places count from the VM's start.
      for (const { ticket } of played.reads.takeAll()) {
        seat.ack(ticket, CODE["seam-down"], 0, 0, "QEMU was restarted");
      }
    }
    if (offset !== played.backlog.end) played.backlog = new Backlog(BACKLOG_BYTES, offset);
    played.isBegun = true;
    played.backlog.append(body);
    for (const read of played.reads.takeReady(played.backlog.end)) answer(seat, port, played.backlog, read);
    this.#arm(seat);
  }

  /** Answers a CMD_CONSOLE. */
  command(seat: Seat, event: TransferEvent): void {
    this.#seat = seat;
    const { at } = CONSOLE_REQUEST;
    const { ticket } = event;
    const op = event.words[at.op / 4] as number;
    if (op === CONSOLE_OP.LIST) return this.#list(seat, ticket);
    const port = event.words[at.port / 4] as number;
    const played = this.#consoles.get(port);
    if (played === undefined) {
      const words = this.#consoles.size === 0
        ? "the recording has no console output: nothing was said, or it was recorded without --consoles"
        : `the recording has no output of console ${port}, but of ${[...this.#consoles.keys()].join(", ")}`;
      return seat.ack(ticket, CODE["not-supported"], 0, 0, words);
    }
    if (op === CONSOLE_OP.OPEN) return seat.ack(ticket, CODE.ok);
    if (op === CONSOLE_OP.CLOSE) {
      this.#release(seat, played, event.origin);
      return seat.ack(ticket, CODE.ok);
    }
    const maxBytes = event.words[at.maxBytes / 4] as number;
    const waitMs = event.words[at.waitMs / 4] as number;
    if (
      op !== CONSOLE_OP.READ || maxBytes < 1 || maxBytes > MAX_BODY_BYTES || waitMs > MAX_CONSOLE_WAIT_MS
    ) {
      return seat.ack(ticket, CODE["bad-argument"]);
    }
    this.#read(seat, port, {
      control: event.origin,
      ticket,
      offset: ((event.words[at.flags / 4] as number) & CONSOLE_FROM_NOW) !== 0
        ? played.backlog.end
        : readU64(event.view, at.offset),
      maxBytes,
      deadlineNs: seat.loop.clock.nowNs() + waitMs * MS,
      // A recording waits for nobody.
      isLossless: false,
    });
  }

  /** A control is gone. */
  forget(control: ControlId): void {
    for (const { reads } of this.#consoles.values()) reads.takeOf(control);
  }

  /** Nobody is answered any more; the core answers for the seam. */
  close(seat: Seat): void {
    seat.loop.disarm(this);
    for (const { reads } of this.#consoles.values()) reads.takeAll();
    this.#seat = undefined;
  }

  /** Called by the loop. */
  onTimer(nowNs: number): void {
    const seat = this.#seat;
    if (seat === undefined) return;
    for (const [port, { reads, backlog }] of this.#consoles) {
      for (const read of reads.takeDue(nowNs)) answer(seat, port, backlog, read);
    }
    this.#arm(seat);
  }

  #read(seat: Seat, port: number, read: WaitingRead): void {
    const played = this.#consoles.get(port);
    assert(played !== undefined, "the console was looked up");
    const { start, end } = played.backlog;
    const offset = Math.max(Math.min(read.offset, end), start);
    const clamped = { ...read, offset };
    if (offset < end || read.deadlineNs <= seat.loop.clock.nowNs()) {
      return answer(seat, port, played.backlog, clamped);
    }
    if (!played.reads.add(clamped)) seat.ack(read.ticket, CODE.busy, 0, 0, "too many reads wait");
    this.#arm(seat);
  }

  #release(seat: Seat, { reads }: Played, control: ControlId): void {
    for (const { ticket } of reads.takeOf(control)) seat.ack(ticket, CODE["no-capability"]);
  }

  #list(seat: Seat, ticket: number): void {
    const consoles = [...this.#consoles].sort(([a], [b]) => a - b).map(([number, { console, backlog }]) => ({
      number,
      label: printable(console.label, 64),
      role: console.role,
      place: "other",
      open: true,
      start: backlog.start,
      end: backlog.end,
      why: "",
    }));
    const reply = seat.event(KIND.CONSOLE_LIST);
    reply.setBody(BODY.CBOR, encode(consoles));
    seat.reply(ticket, reply);
  }

  #arm(seat: Seat): void {
    let dueNs = NEVER;
    for (const { reads } of this.#consoles.values()) dueNs = Math.min(dueNs, reads.deadlineNs);
    if (dueNs === NEVER) seat.loop.disarm(this);
    else seat.loop.arm(this, dueNs);
  }
}

function answer(seat: Seat, port: number, backlog: Backlog, { ticket, offset, maxBytes }: WaitingRead): void {
  // What it waited for may have been overwritten, or lie in a gap: it is told where it goes on.
  const from = Math.min(Math.max(offset, backlog.start), backlog.end);
  const bytes = backlog.read(from, maxBytes);
  const reply = seat.event(KIND.CONSOLE_OUT);
  const { at } = CONSOLE_OUT;
  reply.words[at.port / 4] = port;
  writeU64(reply.view, at.offset, from);
  writeU64(reply.view, at.end, backlog.end);
  if (bytes.length > 0) reply.setBody(BODY.RAW, bytes);
  seat.reply(ticket, reply);
}
