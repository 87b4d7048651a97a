/**
 * One console of a VM: open while somebody reads or writes it, its newest bytes kept, reads answered as bytes
 * come, writes done in order.
 *
 *   closed --(a read or a write)--> opening --(QEMU says that its socket is free)--> open
 *   open --(nobody has it open for 5 s)--> closed; open --(the VM closes it)--> closed
 *
 * What was read of it stays when it is closed: places of bytes go on where they were.
 * @module
 */
import type { ControlId } from "../../base/ids.ts";
import { assert } from "../../base/assert.ts";
import { MS, NEVER, SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { printable } from "../../base/printable.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { type ByteStream, READ_BYTES, type StreamUser } from "../../core/byte_stream.ts";
import type { VmWays } from "../../qemu/monitor/vm_ways.ts";
import type { Channel } from "../channel/channel_listing.ts";
import { findHolder, holderWords } from "../channel/channel_holder.ts";
import { type ChannelRefusal, openChannelOrAsk } from "../channel/open_channel.ts";
import { Backlog, BACKLOG_BYTES } from "./backlog.ts";
import { ConsoleReads, type WaitingRead } from "./console_reads.ts";
import { ConsoleWrites, type WaitingWrite } from "./console_writes.ts";

/** How long a console stays open when the last control has left it. */
const IDLE_NS = 5 * SECOND;
/**
 * Bytes that come within this time of an answer are gathered for the next one: a guest writes 16 bytes at a
 * time, and would keep a processor busy with waking whoever reads. After a silence they are answered at once.
 */
const GATHER_NS = MS;
/** So many are worth an answer of their own. */
const GATHERED_BYTES = 16_384;
/**
 * What is gathered waits in the kernel: there it costs nothing. Of a guest that writes so many at a time it
 * is fetched four times as often, for the kernel keeps 4 KB of its pieces, and then the guest waits.
 */
const FAST_BYTES = 512;
/** Room in the backlog from which a guest that waited for its reader goes on. */
const RESUME_BYTES = BACKLOG_BYTES / 4;
/** Pause before it is opened again for somebody who waits. */
const AGAIN_NS = SECOND;
/** The same while another client has it: whose it is is looked for each time. */
const HELD_AGAIN_NS = 5 * SECOND;

/** What a console needs from its adapter. */
export interface ConsoleHost {
  /** The loop. */
  readonly loop: LoopPort;
  /** A port's deadline has moved. */
  rearm(): void;
  /** Whether every console is open as long as its VM is there. */
  readonly isAlways: boolean;
  /** Who runs the VM; -1 unknown. */
  uid(): number;
  /** Its process; 0 unknown. */
  pid(): number;
  /** What the manager of the VM opens; undefined: nobody manages it. */
  ways(): VmWays | undefined;
  /** It is open: it wants to be called at other times. */
  onOpened(): void;
  /** Why QEMU cannot be asked now, and what to do; "" when it can. */
  away(): string;
  /** Asks QEMU anew for this console; told once: undefined when it is gone, "unknown" when it is silent. */
  lookAgain(label: string, done: (channel: Channel | "unknown" | undefined) => void): void;
  /** Whether a lease is still the live one. */
  isLive(token: number): boolean;
  /** Memory for the bytes of an answer. */
  takeBody(length: number): Uint8Array<ArrayBuffer>;
  /**
   * Answers a read.
   *
   * @param offset place of the first of `bytes`, which {@linkcode takeBody} gave
   * @param end one past the newest byte that there is
   */
  answerRead(
    port: ConsolePort,
    ticket: number,
    read: { readonly offset: number; readonly end: number; readonly bytes: Uint8Array<ArrayBuffer> },
  ): void;
  /** Answers a command: done, or refused. */
  answer(ticket: number, code: Code, detail: number, words: string): void;
}

/** Where a console stands. */
type PortStage =
  | { readonly at: "closed" | "opening" }
  | { readonly at: "open"; readonly stream: ByteStream };

/** One console. */
export class ConsolePort implements StreamUser {
  /** Its number among the VM's consoles, which stays its own. */
  readonly number: number;
  readonly #host: ConsoleHost;
  readonly #backlog = new Backlog();
  readonly #reads = new ConsoleReads();
  readonly #writes: ConsoleWrites;
  /** Tickets of those who wait for it to be open. */
  readonly #openers: number[] = [];
  /** Controls that have it open. */
  readonly #users = new Set<number>();
  #channel: Channel;
  #stage: PortStage = { at: "closed" };
  /** Counts openings: what comes late of an earlier one is nobody's. */
  #opening = 0;
  #lastAskedNs = 0;
  #againNs = NEVER;
  /** When somebody was last answered with bytes, and up to which. */
  #toldNs = 0;
  #toldEnd = 0;
  /** When those who wait are answered with what was gathered; NEVER when nothing is. */
  #tellNs = NEVER;
  /** Until when what comes stays in the kernel; NEVER when it is read. */
  #fetchNs = NEVER;
  #why = "";

  /** Made when QEMU tells of it. */
  constructor(number: number, channel: Channel, host: ConsoleHost) {
    this.number = number;
    this.#channel = channel;
    this.#host = host;
    this.#writes = new ConsoleWrites({
      isLive: (token) => host.isLive(token),
      write: (bytes, offset) => this.#stage.at === "open" ? this.#stage.stream.write(bytes, offset) : 0,
      answer: (ticket, code, detail) =>
        host.answer(ticket, code, detail, code === CODE["seam-down"] || code === CODE.busy ? this.#why : ""),
    });
  }

  /** What QEMU says of it. */
  get channel(): Channel {
    return this.#channel;
  }
  /** Whether it is open. */
  get isOpen(): boolean {
    return this.#stage.at === "open";
  }
  /** One past the newest byte. */
  get end(): number {
    return this.#backlog.end;
  }
  /** The oldest byte that is kept. */
  get start(): number {
    return this.#backlog.start;
  }
  /** Why it is not open though somebody wanted it; "" when nothing is in the way. */
  get why(): string {
    return this.#why;
  }
  /** When it wants to be called; NEVER when it does not. */
  get deadlineNs(): number {
    const isIdle = this.isOpen && !this.#host.isAlways && !this.#isWanted && this.#users.size === 0;
    const idleNs = isIdle ? this.#lastAskedNs + IDLE_NS : NEVER;
    return Math.min(this.#reads.deadlineNs, idleNs, this.#againNs, this.#tellNs, this.#fetchNs);
  }

  get #isWanted(): boolean {
    return this.#reads.count + this.#writes.count + this.#openers.length > 0;
  }

  /** Whether it is the same device as another. */
  isSame({ label, role }: Channel): boolean {
    return this.#channel.label === label && this.#channel.role === role;
  }

  /** QEMU has told of it once more. */
  update(channel: Channel): void {
    this.#channel = channel;
    if (this.#host.isAlways) this.#open();
  }

  /** A read: answered now when there is something, else when something comes or its time is over. */
  read(read: WaitingRead, nowNs: number): void {
    this.#use(read.control, nowNs);
    const offset = Math.max(Math.min(read.offset, this.#backlog.end), this.#backlog.start);
    if (read.isLossless) this.#reads.note(read.control, offset, nowNs);
    const clamped = { ...read, offset };
    const isThere = offset < this.#backlog.end;
    if (read.deadlineNs <= nowNs || (isThere && this.#isWorthTelling(offset, nowNs))) {
      this.#tell(clamped, nowNs);
    } else if (!this.#reads.add(clamped)) this.#host.answer(read.ticket, CODE.busy, 0, "too many reads wait");
    else if (isThere) this.#tellNs = this.#toldNs + GATHER_NS;
    this.#open();
    this.#balance();
  }

  /** Opens it; answered when it is open, or cannot be. */
  open(control: ControlId, ticket: number, nowNs: number): void {
    this.#use(control, nowNs);
    if (this.isOpen) return this.#host.answer(ticket, CODE.ok, 0, "");
    this.#openers.push(ticket);
    this.#open();
  }

  /** A control needs it no longer. */
  leave(control: ControlId, nowNs: number): void {
    this.#lastAskedNs = nowNs;
    // Its reads end with what there is: nobody has refused them.
    for (const read of this.#reads.takeOf(control)) this.#answer(read);
    this.forget(control);
  }

  /** A write. */
  write(control: ControlId, write: WaitingWrite, nowNs: number): void {
    this.#use(control, nowNs);
    if (!this.#writes.add(write)) {
      return this.#host.answer(write.ticket, CODE.busy, 0, "the console accepts bytes too slowly");
    }
    if (this.isOpen) this.#writes.pump();
    else this.#open();
  }

  /** The writer's lease has ended: nothing of its bytes is to come. */
  dropWrites(): void {
    this.#writes.refuse(CODE["stale-lease"]);
  }

  /** A control is gone, or may not ask any more. */
  forget(control: ControlId): void {
    this.#users.delete(control);
    for (const { ticket } of this.#reads.takeOf(control)) {
      this.#host.answer(ticket, CODE["no-capability"], 0, "");
    }
    this.#balance();
  }

  /** Called at {@linkcode deadlineNs}. */
  tick(nowNs: number): void {
    if (this.#fetchNs <= nowNs) this.#fetchNs = NEVER;
    if (this.#tellNs <= nowNs) this.#tellReaders(nowNs);
    for (const read of this.#reads.takeDue(nowNs)) this.#answer(read);
    this.#balance();
    if (this.#againNs <= nowNs) {
      this.#againNs = NEVER;
      if (this.#isWanted || this.#host.isAlways) this.#open();
    }
    if (this.deadlineNs <= nowNs && this.isOpen) this.close("");
  }

  /** Lets go of the other side; reads that wait are answered with what was in the way, when there was. */
  close(why: string, code: Code = CODE["seam-down"]): void {
    this.#opening++;
    const stage = this.#stage;
    this.#stage = { at: "closed" };
    if (stage.at === "open") stage.stream.close();
    this.#againNs = this.#tellNs = this.#fetchNs = NEVER;
    this.#refuse(code, why);
  }

  /** See {@linkcode StreamUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#backlog.append(bytes);
    const nowNs = this.#host.loop.clock.nowNs();
    const { count } = this.#reads;
    if (count > 0 && this.#isWorthTelling(this.#toldEnd, nowNs)) this.#tellReaders(nowNs);
    else {
      if (count > 0) this.#tellNs = this.#toldNs + GATHER_NS;
      this.#fetchNs = this.#nextFetchNs(bytes.length, nowNs);
      this.#host.rearm();
    }
    this.#balance();
  }

  /** When more is fetched; NEVER: at once, because pieces of that size are waited for, and cost nobody. */
  #nextFetchNs(length: number, nowNs: number): number {
    const isAwaited = this.#reads.count > 0 || this.#reads.lowestKept !== NEVER;
    if (isAwaited && length >= GATHERED_BYTES) return NEVER;
    return nowNs + (length >= FAST_BYTES ? GATHER_NS / 4 : GATHER_NS);
  }

  /** Whether what came from a place on is answered now, and not gathered with what follows. */
  #isWorthTelling(place: number, nowNs: number): boolean {
    return nowNs - this.#toldNs >= GATHER_NS || this.#backlog.end - place >= GATHERED_BYTES;
  }

  #tellReaders(nowNs: number): void {
    this.#tellNs = NEVER;
    for (const read of this.#reads.takeReady(this.#backlog.end)) this.#tell(read, nowNs);
  }

  #tell(read: WaitingRead, nowNs: number): void {
    if (read.offset < this.#backlog.end) {
      this.#toldNs = nowNs;
      this.#toldEnd = this.#backlog.end;
    }
    this.#answer(read);
  }

  /** See {@linkcode StreamUser}. */
  onRoom(): void {
    this.#writes.pump();
  }

  /** See {@linkcode StreamUser}. */
  onEnd(why: string): void {
    assert(this.#stage.at === "open", "what ends was open");
    this.#stage = { at: "closed" };
    // What came before the end is told before it.
    this.#tellReaders(this.#host.loop.clock.nowNs());
    this.#failed({ code: CODE["seam-down"], why });
  }

  #use(control: ControlId, nowNs: number): void {
    this.#users.add(control);
    this.#lastAskedNs = nowNs;
  }

  #answer({ control, ticket, offset, maxBytes, isLossless }: WaitingRead): void {
    // What it waited for may have been overwritten meanwhile: it is told where it goes on.
    const from = Math.max(offset, this.#backlog.start);
    const bytes = this.#host.takeBody(Math.min(maxBytes, this.#backlog.end - from));
    this.#backlog.copyTo(from, bytes);
    if (isLossless) this.#reads.note(control, from + bytes.length, this.#host.loop.clock.nowNs());
    this.#host.answerRead(this, ticket, { offset: from, end: this.#backlog.end, bytes });
  }

  /** The guest waits while a reader that must lose nothing is too far behind. */
  #balance(): void {
    if (this.#stage.at !== "open") return;
    const lowest = this.#reads.lowestKept;
    const { stream } = this.#stage;
    // A backlog that was full is not filled up for each piece that leaves it: that costs two system calls.
    const wanted = stream.isPaused ? RESUME_BYTES : READ_BYTES;
    const isBehind = lowest !== NEVER && this.#backlog.roomAfter(lowest) < wanted;
    stream.pause(isBehind || this.#fetchNs !== NEVER);
  }

  #open(): void {
    if (this.#stage.at !== "closed") return;
    this.#stage = { at: "opening" };
    this.#againNs = NEVER;
    const opening = ++this.#opening;
    // Whether somebody else has it is asked each time: a second client of QEMU's socket would wait for ever.
    this.#host.lookAgain(this.#channel.label, (channel) => {
      if (opening !== this.#opening || this.#stage.at !== "opening") return;
      this.#stage = { at: "closed" };
      if (channel === "unknown") return this.#failed({ code: CODE["seam-down"], why: this.#host.away() });
      if (channel === undefined) {
        return this.#failed({ code: CODE["seam-down"], why: "the VM has no such console" });
      }
      this.#channel = channel;
      this.#stage = { at: "opening" };
      this.#openUnlessHeld(opening);
    });
  }

  /** A socket that is not free is held; of a terminal, which anybody may open, the kernel tells. */
  #openUnlessHeld(opening: number): void {
    const { place } = this.#channel;
    const { loop } = this.#host;
    const isHeld = place.kind === "unix" && !place.isFree;
    const open = (): void => {
      const options = { uid: this.#host.uid(), pid: this.#host.pid(), loop, user: this };
      const onOpened = (opened: ByteStream | ChannelRefusal): void => this.#onOpened(opening, opened);
      openChannelOrAsk(this.#channel, options, this.#host.ways(), onOpened);
    };
    if (!isHeld && place.kind !== "pty") return open();
    findHolder(loop, place, this.#host.pid(), (holder) => {
      if (opening !== this.#opening || this.#stage.at !== "opening") return;
      if (!isHeld && holder === undefined) return open();
      const why = holder === undefined
        // Of 120 characters, with the path of the socket in them.
        ? `another client has the console: lsof +E -aU ${
          place.kind === "unix" ? printable(place.path, 108) : ""
        }`
        : holderWords(holder, "the console");
      this.#onOpened(opening, { code: CODE.busy, why });
      this.#host.rearm();
    });
  }

  #onOpened(opening: number, opened: ByteStream | ChannelRefusal): void {
    if (opening !== this.#opening || this.#stage.at !== "opening") {
      if (!("code" in opened)) opened.close();
      return;
    }
    this.#stage = { at: "closed" };
    if ("code" in opened) return this.#failed(opened);
    this.#stage = { at: "open", stream: opened };
    this.#why = "";
    this.#lastAskedNs = this.#host.loop.clock.nowNs();
    for (const ticket of this.#openers.splice(0)) this.#host.answer(ticket, CODE.ok, 0, "");
    this.#writes.pump();
    this.#host.onOpened();
  }

  #failed({ code, why }: ChannelRefusal): void {
    this.#why = why;
    const pauseNs = code === CODE.busy ? HELD_AGAIN_NS : AGAIN_NS;
    if (this.#host.isAlways) this.#againNs = this.#host.loop.clock.nowNs() + pauseNs;
    this.#refuse(code, why);
  }

  #refuse(code: Code, why: string): void {
    for (const { ticket } of this.#reads.takeAll()) this.#host.answer(ticket, code, 0, why);
    for (const ticket of this.#openers.splice(0)) this.#host.answer(ticket, code, 0, why);
    this.#writes.refuse(code);
  }
}
