/**
 * The CONSOLE seam of a VM that QEMU runs: its serial ports and virtio consoles as bytes. Reads are asked
 * for and answered; the newest megabyte of each console is kept for who comes later. Writes need the CONSOLE
 * lease, and nothing of a former owner's lands.
 *
 * Which consoles there are QEMU is asked each time its monitor comes up, and of one console again before it
 * is opened. The agent's channel and other virtio ports are not consoles: they are somebody's protocol.
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
import type { Adapter, CloseReason, Seat, TimerHandler } from "../../core/adapter_port.ts";
import { CONSOLE_OUT, CONSOLE_REQUEST, CONSOLE_WRITE } from "../../event/body_layout.ts";
import {
  CONSOLE_CLOSED,
  CONSOLE_FROM_NOW,
  CONSOLE_LOSSLESS,
  CONSOLE_OP,
  LEASE_CLASS,
  type LeaseClass,
} from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import { isEndOfProcess, type QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import type { Channel } from "../channel/channel_listing.ts";
import { EarlyRequests, isFirstConnecting } from "../channel/early_requests.ts";
import { findChannels } from "../channel/find_channels.ts";
import { BodyPool } from "./body_pool.ts";
import { type ConsoleHost, ConsolePort } from "./console_port.ts";
import { MAX_CONSOLE_WAIT_MS } from "./console_reads.ts";

/** Of all consoles of a thread. */
const BODIES = new BodyPool();

/** The adapter. */
export class ConsoleAdapter implements Adapter, QmpLinkUser, TimerHandler {
  readonly source: Source = SOURCE.CONSOLE;
  readonly name = "console";
  readonly #link: QmpLink;
  readonly #isAlways: boolean;
  readonly #ports: ConsolePort[] = [];
  #seat: Seat | null = null;
  #pid = 0;
  /** Whether QEMU has told of the consoles. */
  #isKnown = false;
  /** Requests that wait for that. */
  readonly #early = new EarlyRequests();

  /**
   * Makes it.
   *
   * @param link the VM's monitor, which it shares with others
   * @param isAlways whether consoles are open as long as the VM is there
   */
  constructor(link: QmpLink, isAlways: boolean) {
    this.#link = link;
    this.#isAlways = isAlways;
  }

  open(seat: Seat): void {
    assert(this.#seat === null, "an adapter is opened once");
    this.#seat = seat;
    this.#link.use(this);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (event.kind === KIND.CMD_CONSOLE_WRITE) this.#write(seat, event);
    else {
      assert(event.kind === KIND.CMD_CONSOLE, "commands of CONSOLE are reads, writes and lists");
      this.#onRequest(seat, event);
    }
    this.#arm();
  }

  /** The writer's lease ended: nothing of its bytes is to come. */
  finalize(cls: LeaseClass, done: () => void): void {
    if (cls === LEASE_CLASS.CONSOLE) { for (const port of this.#ports) port.dropWrites(); }
    done();
  }

  /** A control is gone: nobody waits for its bytes. */
  controlGone(control: ControlId): void {
    this.#early.drop((event) => event.origin === control);
    for (const port of this.#ports) port.forget(control);
    this.#arm();
  }

  close(_reason: CloseReason, closed: () => void): void {
    assert(this.#seat !== null, "an adapter that closes was opened, and closes once");
    this.#seat?.loop.disarm(this);
    this.#seat = null;
    this.#link.leave(this);
    // The core answers what is left of its commands.
    this.#early.drop(() => true);
    for (const port of this.#ports) port.close("");
    closed();
  }

  /** Called by the core: the monitor is lost, and tried again. */
  onFault(error: unknown): void {
    this.#link.onFault(error);
  }

  /** Called by the loop. */
  onTimer(nowNs: number): void {
    const seat = this.#seat;
    if (seat === null) return;
    this.#early.takeDue(nowNs, ({ ticket }) => this.#refuseUnknown(seat, ticket));
    for (const port of this.#ports) port.tick(nowNs);
    this.#arm();
  }

  /** Called by the link. */
  onLinkUp(_status: string, pid: number): void {
    assert(this.#seat !== null, "a link calls its users only");
    // Another process is another VM: its predecessor's output does not belong to this one.
    if (pid !== this.#pid) this.#forgetAll("QEMU was restarted");
    this.#pid = pid;
    findChannels(this.#link, (channels) => {
      const seat = this.#seat;
      if (seat === null) return;
      if (channels === undefined) return this.#refuseEarly();
      this.#isKnown = true;
      this.#learn(channels);
      this.#early.takeAll((event) => this.#onRequest(seat, event));
      // A port that ends in QEMU itself is told in the list, and is nothing that can be used.
      const isUsable = this.#ports.some(({ channel }) => channel.place.kind !== "other");
      if (isUsable && !seat.isUp) seat.up(pid);
    });
  }

  /** Called by the link. */
  onLinkDown(loss: QmpLoss): void {
    // What is open stays open, and says itself when it ends: a console needs no monitor.
    if (isEndOfProcess(loss)) this.#forgetAll(loss.text);
    this.#refuseEarly();
    // Of a VM that has none it would say nothing.
    if (this.#seat?.isUp === true) this.#seat.down(loss.reason, this.#pid);
  }

  /** Called by the link. */
  onQmpEvent(_event: QmpEvent): void {}

  #onRequest(seat: Seat, event: TransferEvent): void {
    const { at } = CONSOLE_REQUEST;
    const op = event.words[at.op / 4] as number;
    const mayBecomeKnown = this.#link.isUp || isFirstConnecting(this.#link);
    if (!this.#isKnown && mayBecomeKnown && this.#early.keep(event, seat.loop.clock.nowNs())) return;
    if (op === CONSOLE_OP.LIST) return this.#list(seat, event.ticket);
    const port = this.#portOf(seat, event.ticket, event.words[at.port / 4] as number);
    if (port === undefined) return;
    const nowNs = seat.loop.clock.nowNs();
    if (op === CONSOLE_OP.OPEN) return port.open(event.origin, event.ticket, nowNs);
    if (op === CONSOLE_OP.CLOSE) {
      port.leave(event.origin, nowNs);
      return seat.ack(event.ticket, CODE.ok);
    }
    const maxBytes = event.words[at.maxBytes / 4] as number;
    const waitMs = event.words[at.waitMs / 4] as number;
    if (op !== CONSOLE_OP.READ || maxBytes < 1 || maxBytes > MAX_BODY_BYTES || waitMs > MAX_CONSOLE_WAIT_MS) {
      return seat.ack(event.ticket, CODE["bad-argument"]);
    }
    const flags = event.words[at.flags / 4] as number;
    port.read({
      control: event.origin,
      ticket: event.ticket,
      offset: (flags & CONSOLE_FROM_NOW) !== 0 ? port.end : readU64(event.view, at.offset),
      maxBytes,
      deadlineNs: nowNs + waitMs * MS,
      isLossless: (flags & CONSOLE_LOSSLESS) !== 0,
    }, nowNs);
  }

  #write(seat: Seat, event: TransferEvent): void {
    const port = this.#portOf(seat, event.ticket, event.words[CONSOLE_WRITE.at.port / 4] as number);
    if (port === undefined) return;
    if (event.bodyBytes === 0) return seat.ack(event.ticket, CODE.ok);
    const bytes = event.bodyView().slice() as Uint8Array<ArrayBuffer>;
    port.write(event.origin, { ticket: event.ticket, token: event.token, bytes }, seat.loop.clock.nowNs());
  }

  #portOf(seat: Seat, ticket: number, number: number): ConsolePort | undefined {
    const port = this.#ports[number];
    if (port !== undefined) return port;
    const count = this.#ports.length;
    if (!this.#isKnown) this.#refuseUnknown(seat, ticket);
    else if (count === 0) {
      const words =
        "the VM has no serial port and no virtio console; give it one with -serial unix:PATH,server=on,wait=off";
      seat.ack(ticket, CODE["not-supported"], 0, 0, words);
    } else {
      const words = count === 1
        ? "the VM has one console, number 0"
        : `the VM has ${count} consoles, with the numbers 0 to ${count - 1}`;
      seat.ack(ticket, CODE["bad-argument"], 0, 0, words);
    }
    return undefined;
  }

  #list(seat: Seat, ticket: number): void {
    // That it has none is not known.
    if (!this.#isKnown) return this.#refuseUnknown(seat, ticket);
    const consoles = this.#ports.map((port) => {
      const { label, role, place } = port.channel;
      return {
        number: port.number,
        label: printable(label, 64),
        role,
        place: place.kind,
        open: port.isOpen,
        start: port.start,
        end: port.end,
        why: place.kind === "other" ? place.why : port.why,
      };
    });
    const reply = seat.event(KIND.CONSOLE_LIST);
    reply.setBody(BODY.CBOR, encode(consoles));
    seat.reply(ticket, reply);
  }

  #refuseEarly(): void {
    const seat = this.#seat;
    if (seat !== null) this.#early.takeAll(({ ticket }) => this.#refuseUnknown(seat, ticket));
  }

  #refuseUnknown(seat: Seat, ticket: number): void {
    const words = this.#link.isUp || isFirstConnecting(this.#link)
      ? "the VM's monitor has not listed its consoles yet"
      : this.#link.outlook.away;
    seat.ack(ticket, CODE["seam-down"], 0, 0, words);
  }

  /** Numbers stay: one that is plugged later comes behind those that are known. */
  #learn(channels: readonly Channel[]): void {
    for (const channel of channels) {
      if (channel.role === "virtio-port") continue;
      const known = this.#ports.find((port) => port.isSame(channel));
      if (known !== undefined) known.update(channel);
      else {
        const port = new ConsolePort(this.#ports.length, channel, this.#host());
        this.#ports.push(port);
        port.update(channel);
      }
    }
    this.#arm();
  }

  #host(): ConsoleHost {
    const seat = this.#seat;
    assert(seat !== null, "consoles are learnt while the adapter is open");
    return {
      loop: seat.loop,
      rearm: () => this.#arm(),
      isAlways: this.#isAlways,
      uid: () => this.#link.monitorUid,
      pid: () => this.#link.pid,
      ways: () => this.#link.ways,
      onOpened: () => this.#arm(),
      away: () => this.#link.isUp ? "" : this.#link.outlook.away,
      lookAgain: (label, done) => {
        findChannels(this.#link, (channels) => {
          done(channels === undefined ? "unknown" : channels.find((channel) => channel.label === label));
          this.#arm();
        });
      },
      isLive: (token) => seat.leaseIsLive(LEASE_CLASS.CONSOLE, token),
      takeBody: (length) => BODIES.take(length),
      answerRead: (port, ticket, { offset, end, bytes }) => {
        if (this.#seat !== seat) return;
        const reply = seat.event(KIND.CONSOLE_OUT);
        const { at } = CONSOLE_OUT;
        reply.words[at.port / 4] = port.number;
        reply.words[at.flags / 4] = port.isOpen ? 0 : CONSOLE_CLOSED;
        writeU64(reply.view, at.offset, offset);
        writeU64(reply.view, at.end, end);
        if (bytes.length > 0) {
          reply.setBody(BODY.RAW, bytes);
          reply.own([], BODIES);
        }
        seat.reply(ticket, reply);
        this.#arm();
      },
      answer: (ticket, code, detail, words) => {
        if (this.#seat === seat) seat.ack(ticket, code, detail, 0, words);
      },
    };
  }

  #forgetAll(why: string): void {
    for (const port of this.#ports.splice(0)) port.close(why);
    this.#isKnown = false;
  }

  #arm(): void {
    const seat = this.#seat;
    if (seat === null) return;
    let dueNs = this.#early.deadlineNs;
    for (const port of this.#ports) dueNs = Math.min(dueNs, port.deadlineNs);
    if (dueNs === NEVER) seat.loop.disarm(this);
    else seat.loop.arm(this, dueNs);
  }
}
