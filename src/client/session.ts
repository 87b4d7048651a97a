/**
 * What stands between the frames of a connection and the client's methods: the handshake, the core's numbers,
 * answers to their commands, events to their streams, the roster, lost leases, and when to stop reading.
 *
 * Reading: the socket is read while every stream has room. When one is full, reading stops, and the daemon's
 * rules for a slow control apply (see `event_stream.ts`); it goes on regardless while a command awaits its
 * answer, a lease is held or frames wait to be sent. What arrives before the first stream is opened waits for
 * it.
 *
 * A gap in the core's numbers that no OVERRUN explains means lost events, and ends the connection with a
 * fault: nothing is lost in silence.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { maskHas } from "../access/grant.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { CAP } from "../event/capability.ts";
import { DIR, PRIO_OF_KIND, SOURCE_OF_KIND } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { BODY, EventPool, type TransferEvent } from "../event/transfer_event.ts";
import { helloBody } from "../protocol/hello.ts";
import type { ClientEvent } from "./client_event.ts";
import { Connection, type ConnectionSink } from "./connection.ts";
import type { EventFilter } from "./event_filter.ts";
import { EventStream, type StreamOwner } from "./event_stream.ts";
import { helloOf, refusalOf, type SubscribeOptions, type Welcome, welcomeOf } from "./handshake.ts";
import { leaseLossOf } from "./lease.ts";
import { LeaseBook } from "./lease_book.ts";
import { MemoryView } from "./memory_view.ts";
import { PendingCommands } from "./pending_commands.ts";
import { RosterView } from "./roster_view.ts";
import { faultOfCode } from "./verdict.ts";

/** How long a command may take unless told, ms. */
export const DEFAULT_TIMEOUT_MS = 5000;
const ROSTER_QUIET_MS = 50;
/** One past the largest kind of a daemon that does not say it. */
const KINDS_OF_OLD = 112;

/** What every command takes. */
export interface CommandOptions {
  /** How long to await the answer; {@linkcode DEFAULT_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
  /** Gives up early. The command may have been carried out all the same. */
  readonly signal?: AbortSignal;
  /** The lease token to send under; 0, as unless told: whatever lease this client holds. */
  readonly token?: number;
}

/** One connection's state. */
export class Session implements ConnectionSink, StreamOwner {
  /** The roster as far as it has arrived. */
  readonly roster: RosterView = new RosterView();
  /** How each VM's memory stands, as far as it was told. */
  readonly memory: MemoryView = new MemoryView();
  /** The leases that are held. */
  readonly leases: LeaseBook = new LeaseBook();
  readonly #socketPath: string;
  readonly #connection: Connection;
  readonly #pool = new EventPool(64);
  readonly #pending = new PendingCommands();
  readonly #streams = new Set<EventStream>();
  readonly #greeting = Promise.withResolvers<Welcome>();
  #backlog: EventStream | undefined;
  #welcome: Welcome | undefined;
  #lastSeq: number | undefined;
  #afterOverrun = false;
  #lastError = "";
  #fault: Fault | undefined;
  #closed = false;
  #rosterEvents = 0;
  #rosterWaits = 0;

  /**
   * Takes a connected socket over.
   *
   * @param socket SEQPACKET; owned from now on
   * @param socketPath for messages
   */
  constructor(socket: OwnedFd, socketPath: string) {
    this.#socketPath = socketPath;
    this.#connection = new Connection(socket, this);
    this.#backlog = new EventStream(this, {});
    this.#streams.add(this.#backlog);
  }

  /**
   * Says HELLO and awaits the answer.
   *
   * @throws {Fault} with the code of a REFUSED; `timed-out`; `unreachable`
   */
  async greet(name: string, sub: SubscribeOptions, timeoutMs: number): Promise<void> {
    const hello = this.newEvent(KIND.HELLO, 0, DIR.DOWN);
    hello.setBody(BODY.CBOR, helloBody(helloOf(name, sub)));
    try {
      this.send(hello);
    } catch (error) {
      // A daemon that does not admit this user says so at once, and closes: its REFUSED is read all the same.
      if (!(error instanceof Fault && error.code === "unreachable")) throw error;
    }
    this.#connection.start();
    const timer = setTimeout(() => {
      this.#greeting.reject(
        new Fault(
          "timed-out",
          `Cannot join the bus at ${this.#socketPath}: no answer to HELLO within ${timeoutMs} ms; is the daemon wedged?`,
        ),
      );
    }, timeoutMs);
    try {
      await this.#greeting.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What the daemon grants this connection. */
  get grant(): Welcome {
    if (this.#welcome === undefined) throw new Fault("refused", "Cannot tell the grant: not welcomed yet");
    return this.#welcome;
  }

  /** Why the connection ended; undefined while it lives, and after a {@linkcode Session.close}. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** Whether it is at an end, either way. */
  get ended(): boolean {
    return this.#closed || this.#fault !== undefined;
  }

  /** Opens a stream; the first one takes over what came before it. */
  openStream(filter: EventFilter): EventStream {
    const stream = new EventStream(this, filter);
    const backlog = this.#backlog;
    if (backlog !== undefined) {
      this.#backlog = undefined;
      this.#streams.delete(backlog);
      for (const event of backlog.drain()) {
        if (stream.wants(event)) stream.push(event);
        else event[Symbol.dispose]();
      }
    }
    if (this.ended) stream.end(this.#fault);
    else this.#streams.add(stream);
    this.#connection.wake();
    return stream;
  }

  /** A blank event of this control, stamped now. */
  newEvent(kind: number, endpoint: number, dir: number): TransferEvent {
    const event = this.#pool.acquire();
    event.kind = kind;
    event.dir = dir;
    event.source = SOURCE_OF_KIND[kind] ?? 0;
    event.prio = PRIO_OF_KIND[kind] ?? 0;
    event.endpoint = endpoint;
    event.tsNs = monotonicClock.nowNs();
    return event;
  }

  /** Sends an event and lets go of it. */
  send(event: TransferEvent): void {
    try {
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#closed) throw new Fault("unreachable", "Cannot send: this client was closed");
      this.#connection.send(event);
    } finally {
      event.release();
    }
  }

  /**
   * Sends a command and awaits its answer, whatever it says.
   *
   * @param what what it does, for messages
   * @param fill writes the inline zone and the body
   */
  request(
    kind: number,
    endpoint: number,
    what: string,
    fill: (event: TransferEvent) => void,
    options: CommandOptions,
  ): Promise<ClientEvent> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, signal, token = 0 } = options;
    if (signal?.aborted) return Promise.reject(new Fault("interrupted", `Cannot ${what}: interrupted`));
    const corr = this.#pending.nextCorr();
    const answer = this.#pending.wait(corr, endpoint, what, timeoutMs, signal);
    const event = this.newEvent(kind, endpoint, DIR.DOWN);
    event.corr = corr;
    event.token = token;
    try {
      fill(event);
    } catch (error) {
      this.#pending.forget(corr);
      event.release();
      return Promise.reject(error);
    }
    try {
      this.send(event);
    } catch (error) {
      this.#pending.forget(corr);
      return Promise.reject(error);
    }
    this.#connection.wake();
    return answer;
  }

  /** Whether the daemon knows a kind: one of before `kinds` in WELCOME knows none from 112 on. */
  knowsKind(kind: Kind): boolean {
    return kind < KINDS_OF_OLD || kind < this.grant.kinds;
  }

  /**
   * Asks to be told when all that the daemon had for this control until now has arrived here.
   *
   * @returns which sources still hold something back by their pacing, bit 1 << source
   * @throws {Fault} `not-supported` by a daemon that is older than the question; `timed-out`; `unreachable`
   */
  async barrier(options: CommandOptions = {}): Promise<number> {
    const what = "await what the daemon has sent";
    if (!this.knowsKind(KIND.CMD_BARRIER)) {
      throw new Fault("not-supported", `Cannot ${what}: this daemon is older than that; update it`);
    }
    const answer = await this.request(KIND.CMD_BARRIER, NO_ENDPOINT, what, () => {}, options);
    const ack = answer.as("ACT_ACK");
    if (ack === undefined || ack.code !== CODE.ok) throw faultOfCode(what, ack?.code ?? CODE.refused);
    return ack.detail;
  }

  /**
   * Resolves when the retained roster has arrived. A daemon that has no barrier marks no end of it; but it is
   * sent first and in order with what has the same priority, as the answer to CMD_QUERY_INPUT has. Where
   * nobody can be asked that without being refused, 50 ms without another entry are taken for the end.
   */
  async rosterArrived(): Promise<void> {
    if (this.knowsKind(KIND.CMD_BARRIER)) {
      await this.barrier();
      return;
    }
    this.#rosterWaits++;
    this.#connection.wake();
    try {
      for (let seen = -1; seen !== this.#rosterEvents;) {
        seen = this.#rosterEvents;
        const asked = this.#rosterProbe();
        // Whatever the answer says: what was sent before it is here.
        if (asked !== undefined) {
          await this.request(KIND.CMD_QUERY_INPUT, asked, "read the roster", () => {}, {});
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, ROSTER_QUIET_MS));
        if (this.#fault !== undefined) throw this.#fault;
      }
    } finally {
      this.#rosterWaits--;
    }
  }

  #rosterProbe(): number | undefined {
    const { caps, endpoints } = this.grant;
    if ((caps & CAP.INPUT) === 0) return undefined;
    const hasInput = this.roster.list().find((entry) =>
      entry.seams.includes("input") && maskHas(endpoints, entry.endpoint)
    );
    return hasInput?.endpoint;
  }

  /** Leaves the bus: no lease is released in order, no answer awaited any more. */
  async close(): Promise<void> {
    this.#closed = true;
    const fault = new Fault("unreachable", "the client was closed");
    this.#greeting.promise.catch(() => {
      // Nobody awaits a greeting that is given up here.
    });
    this.#greeting.reject(fault);
    this.#pending.failAll(fault);
    this.leases.loseAll();
    for (const stream of [...this.#streams]) stream.end();
    for (const event of this.#backlog?.drain() ?? []) event[Symbol.dispose]();
    this.#streams.clear();
    await this.#connection.close();
  }

  /** See {@linkcode StreamOwner}. */
  onRoom(): void {
    this.#connection.wake();
  }

  /** See {@linkcode StreamOwner}. */
  onStreamEnd(stream: EventStream): void {
    this.#streams.delete(stream);
    this.#connection.wake();
  }

  /** See {@linkcode ConnectionSink}. */
  mayRead(): boolean {
    if (this.#pending.size > 0 || this.leases.size > 0 || this.#rosterWaits > 0) return true;
    if (this.#connection.congested) return true;
    for (const stream of this.#streams) if (stream.full) return false;
    return true;
  }

  /** See {@linkcode ConnectionSink}. */
  onEvent(event: ClientEvent): void {
    if (this.#welcome === undefined) {
      this.#onGreeting(event);
      return;
    }
    this.#checkSeq(event);
    if (event.corr !== 0 && this.#onAnswer(event)) return;
    this.memory.update(event);
    if (event.kind === KIND.ROSTER) {
      this.#rosterEvents++;
      this.roster.update(event);
    } else if (event.kind === KIND.LEASE_REVOKED) {
      const body = event.as("LEASE_REVOKED");
      if (body !== undefined) {
        this.leases.revoke(event.endpoint, body.cls, leaseLossOf(body.reason), event.seq);
      }
    } else if (event.kind === KIND.ERROR) this.#onError(event);
    this.#deliver(event);
  }

  /** See {@linkcode ConnectionSink}. */
  onEnd(fault: Fault): void {
    const why = this.#lastError === "" ? fault : new Fault(
      "protocol-error",
      `Cannot go on: the daemon did not understand this client (${this.#lastError}); use both of the same version`,
    );
    this.#fault = why;
    this.#greeting.reject(why);
    this.#pending.failAll(why);
    this.leases.loseAll();
    for (const stream of [...this.#streams]) stream.end(why);
  }

  #onError(event: ClientEvent): void {
    const body = event.as("ERROR");
    if (body === undefined) return;
    // With an endpoint it tells of a seam of that VM, or is what the VM says to a command of ours.
    if (event.endpoint !== NO_ENDPOINT) {
      if (body.code === CODE.refused) this.#pending.noteWords(body.detail, event.endpoint, body.text);
    } else if (body.code === CODE["protocol-error"]) this.#lastError = body.text || "protocol error";
  }

  #onGreeting(event: ClientEvent): void {
    switch (event.kind) {
      case KIND.WELCOME:
        this.#welcome = welcomeOf(event.body);
        this.#greeting.resolve(this.#welcome);
        return;
      case KIND.REFUSED:
        throw refusalOf(event.body, this.#socketPath);
      case KIND.ERROR:
        this.#lastError = event.as("ERROR")?.text ?? "";
        return;
      default:
        event[Symbol.dispose]();
        throw new Fault(
          "protocol-error",
          `Cannot join the bus at ${this.#socketPath}: it began with ${event.kindName}; is it a vmsig daemon?`,
        );
    }
  }

  #checkSeq(event: ClientEvent): void {
    const isOverrun = event.kind === KIND.OVERRUN;
    const expected = this.#lastSeq === undefined ? event.seq : (this.#lastSeq + 1) >>> 0;
    if (event.seq !== expected && !isOverrun && !this.#afterOverrun) {
      event[Symbol.dispose]();
      throw new Fault(
        "protocol-error",
        `Cannot trust the event stream: number ${expected} was due and ${event.seq} came, with no OVERRUN between; report it as a defect of the daemon`,
      );
    }
    this.#lastSeq = event.seq;
    this.#afterOverrun = isOverrun;
  }

  /** Settles a command; true when the event was an answer to one of ours. */
  #onAnswer(event: ClientEvent): boolean {
    const settled = this.#pending.settle(event);
    if (settled === "nobody's") return false;
    if (settled === "given up") {
      const granted = event.as("LEASE_GRANTED");
      if (granted !== undefined && !this.leases.holds(event.endpoint, granted.cls)) {
        this.#giveBack(event.endpoint, granted.cls, granted.token);
      }
      event[Symbol.dispose]();
    }
    return true;
  }

  /** A lease that was granted after its acquire was given up: nobody would ever release it. */
  #giveBack(endpoint: number, cls: number, token: number): void {
    const release = this.newEvent(KIND.CMD_RELEASE, endpoint, DIR.DOWN);
    release.words[0] = cls;
    release.token = token;
    this.send(release);
  }

  #deliver(event: ClientEvent): void {
    const takers: EventStream[] = [];
    for (const stream of this.#streams) if (stream.wants(event)) takers.push(stream);
    if (takers.length === 0) event[Symbol.dispose]();
    takers.forEach((stream, i) => stream.push(i === takers.length - 1 ? event : event.share()));
  }
}
