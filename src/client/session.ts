/**
 * The layer between the frames of a link and the client's methods, which outlives a link when the client
 * reconnects: it passes answers to commands and events to streams, keeps the roster, handles lost leases, and
 * decides when to stop reading.
 *
 * Reading: the socket is read while every stream has room. When one is full, reading stops, and the daemon's
 * rules for a slow control apply (see `event_stream.ts`); but it continues while a command waits for its
 * answer, a lease is owned, or frames are queued for sending. Events that arrive before the first stream is
 * opened are kept for it.
 *
 * Reconnecting: the former daemon's state (roster, contexts, leases, open commands) is dropped, since the new
 * one does not know it and sends its own. The streams stay open, and first receive a RECONNECTED.
 * @module
 */
import type { LeaseClass } from "../event/lease_class.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../base/ids.ts";
import { defaultPrio, DIR, type Dir, sourceOfKind } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { EventPool, type TransferEvent } from "../event/transfer_event.ts";
import { KINDS_OF_OLD } from "../protocol/version.ts";
import type { ClientEvent } from "./client_event.ts";
import { type CommandOptions, DEFAULT_TIMEOUT_MS } from "./command_options.ts";
import { type CommandOutcome, outcomeOf } from "./command_outcome.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import type { Welcome } from "./handshake.ts";
import { type LeaseLoss, leaseLossOf } from "./lease.ts";
import { holderOf } from "./lease_holder.ts";
import { LeaseBook } from "./lease_book.ts";
import type { ClientLink, LinkHost } from "./link.ts";
import { reconnectedEvent } from "./local_event.ts";
import { MemoryView } from "./memory_view.ts";
import { openLink } from "./open_link.ts";
import { PendingCommands } from "./pending_commands.ts";
import { checkPace, type ReconnectOptions, Reconnector } from "./reconnector.ts";
import { RosterView } from "./roster_view.ts";
import { ScreenBook } from "./screen_book.ts";
import type { SessionOptions, SessionState } from "./session_state.ts";
import { StreamSet } from "./stream_set.ts";

export { type CommandOptions, DEFAULT_TIMEOUT_MS, type SessionOptions };

/** One client's session. */
export class Session implements LinkHost {
  /** The roster as far as it has arrived. */
  readonly roster: RosterView = new RosterView();
  /** How each VM's memory stands, as far as it was reported. */
  readonly memory: MemoryView = new MemoryView();
  /** The VMs' screens. */
  readonly screens: ScreenBook = new ScreenBook();
  /** The owned leases. */
  readonly leases: LeaseBook = new LeaseBook();
  readonly #options: SessionOptions;
  readonly #pool = new EventPool(64);
  readonly #pending = new PendingCommands((corr) => this.#link?.outcomeId?.(corr));
  readonly #streams = new StreamSet(() => this.#wake());
  #state: SessionState = { is: "new" };
  /** The link that is sending HELLO. */
  #opening: ClientLink | undefined;
  /** Links that have ended and are being closed. */
  readonly #closing = new Set<Promise<void>>();
  #welcome: Welcome | undefined;
  #links = 0;
  #rosterEvents = 0;
  #readers = 0;
  #wantsEvents = false;

  /**
   * Starts without a connection.
   *
   * @throws {Fault} `bad-argument` for invalid reconnection intervals
   */
  constructor(options: SessionOptions) {
    if (options.reconnect !== undefined) checkPace(options.reconnect);
    this.#options = options;
  }

  /**
   * Joins the bus.
   *
   * @param link before its HELLO; owned from now on
   * @throws {Fault} with the code of a REFUSED; `timed-out`; `unreachable`
   */
  async open(link: ClientLink): Promise<void> {
    this.#opening = link;
    try {
      await link.greet(this.#options);
      // Closed meanwhile: a link that came late is nobody's.
      if (this.#state.is === "ended") throw new Fault("unreachable", "the client was closed");
    } catch (error) {
      await link.close();
      throw error;
    } finally {
      if (this.#opening === link) this.#opening = undefined;
    }
  }

  /** The daemon's grant for this connection; without a daemon, the last one. */
  get grant(): Welcome {
    if (this.#welcome === undefined) throw new Fault("refused", "Cannot tell the grant: not welcomed yet");
    return this.#welcome;
  }

  /** Why the session ended; undefined while it is open, and after a {@linkcode Session.close}. */
  get fault(): Fault | undefined {
    return this.#state.is === "ended" ? this.#state.fault : undefined;
  }

  /** Whether it has ended, by itself or by a close. */
  get ended(): boolean {
    return this.#state.is === "ended";
  }

  /** The number of the connection, from 1; 0 while there is no daemon. */
  get linkNumber(): number {
    return this.#state.is === "up" ? this.#links : 0;
  }

  /** Number of ROSTER events received. */
  get rosterEvents(): number {
    return this.#rosterEvents;
  }

  /** Whether the daemon knows a kind; one whose WELCOME has no `kinds` knows none from 112 on. */
  knowsKind(kind: Kind): boolean {
    return kind < KINDS_OF_OLD || kind < this.grant.kinds;
  }

  /** Opens a stream; the first one begins with what was kept for it. */
  openStream(filter: EventFilter): EventStream {
    this.#wantsEvents = true;
    this.#link?.wantEvents?.();
    return this.#streams.open(filter);
  }

  /** Keeps reading, however full the streams are, until the result is disposed of. */
  readOn(): Disposable {
    this.#readers++;
    this.#wake();
    return { [Symbol.dispose]: () => void this.#readers-- };
  }

  /** A blank event of this control, stamped with the current time. */
  newEvent(kind: Kind, endpoint: EndpointId, dir: Dir): TransferEvent {
    const event = this.#pool.acquire();
    event.kind = kind;
    event.source = sourceOfKind(kind);
    event.dir = dir;
    event.prio = defaultPrio(kind, false);
    event.endpoint = endpoint as EndpointId;
    event.tsNs = monotonicClock.nowNs();
    return event;
  }

  /**
   * Sends an event and releases it.
   *
   * @throws {Fault} `unreachable` when there is no daemon at the moment; `busy` when too many frames are
   *   queued
   */
  send(event: TransferEvent, timeoutMs: number = DEFAULT_TIMEOUT_MS): void {
    try {
      this.#upLink().send(event, timeoutMs);
    } finally {
      event.release();
    }
  }

  /**
   * Sends a command and waits for its answer, whatever its code.
   *
   * @param what what the command does, for messages
   * @param fill writes the inline zone and the body
   */
  request(
    kind: Kind,
    endpoint: EndpointId,
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
      this.send(event, timeoutMs);
    } catch (error) {
      this.#pending.forget(corr);
      return Promise.reject(error);
    }
    this.#wake();
    return answer;
  }

  /** See {@linkcode outcomeOf}. */
  outcome(of: number | string, { timeoutMs = DEFAULT_TIMEOUT_MS }: CommandOptions): Promise<CommandOutcome> {
    return outcomeOf(this.#pending, this.#upLink(), of, timeoutMs);
  }

  /** Leaves the bus without releasing leases or waiting for answers, and does not reconnect. */
  async close(): Promise<void> {
    const state = this.#state;
    const fault = new Fault("unreachable", "the client was closed");
    if (state.is !== "ended") this.#end(undefined, fault, "disconnected");
    this.#streams.dropBacklog();
    if (state.is === "up") this.#retire(state.link);
    if (this.#opening !== undefined) this.#retire(this.#opening);
    if (state.is === "away") {
      state.reconnector.stop();
      await state.returning;
    }
    await Promise.all(this.#closing);
  }

  /** See {@linkcode LinkHost}. */
  mayRead(): boolean {
    if (this.#pending.size > 0 || this.leases.size > 0 || this.#readers > 0) return true;
    if (this.#state.is !== "up" || this.#state.link.congested) return true;
    return !this.#streams.isFull;
  }

  /** See {@linkcode LinkHost}. */
  onWelcome(link: ClientLink, welcome: Welcome): void {
    const before = this.#state;
    assert(before.is !== "up", "a client has one link at a time");
    // It was closed while HELLO was under way: the code that opened the link disposes of it.
    if (before.is === "ended") return;
    this.#welcome = welcome;
    this.#state = { is: "up", link };
    this.#links++;
    if (this.#wantsEvents) link.wantEvents?.();
    if (before.is !== "away") return;
    const { sinceNs, lastSeq, reconnector: { attempts } } = before;
    const awayNs = monotonicClock.nowNs() - sinceNs;
    this.#streams.deliver(reconnectedEvent({ awayNs, lastSeq, attempts, control: welcome.control }));
  }

  /** See {@linkcode LinkHost}. */
  onEvent(event: ClientEvent): void {
    if (event.corr !== 0 && this.#onAnswer(event)) return;
    this.memory.update(event);
    this.screens.update(event);
    if (event.kind === KIND.ROSTER) {
      this.#rosterEvents++;
      this.roster.update(event);
    } else if (event.kind === KIND.LEASE_REVOKED) {
      const body = event.as("LEASE_REVOKED");
      if (body !== undefined) {
        const by = holderOf(body.byPrincipal, body.byControl, body.byAs);
        const loss = { seq: event.seq, reason: leaseLossOf(body.reason), by };
        this.leases.revoke(event.endpoint, body.cls as LeaseClass, loss);
      }
    } else if (event.kind === KIND.ERROR) this.#onError(event);
    this.#streams.deliver(event);
  }

  /** See {@linkcode LinkHost}. */
  onLinkEnd(link: ClientLink, fault: Fault | undefined): void {
    assert(this.#state.is === "up" && this.#state.link === link, "the link that ends is the one that was up");
    this.#retire(link);
    if (fault === undefined) {
      const over = new Fault("unreachable", "Cannot go on: the daemon has ended, for it was done");
      return this.#end(over, over, "disconnected", true);
    }
    const { reconnect } = this.#options;
    if (reconnect !== undefined && fault.code === "unreachable") this.#goAway(link, fault, reconnect);
    else this.#end(fault, fault, "disconnected");
  }

  #upLink(): ClientLink {
    const state = this.#state;
    if (state.is === "up") return state.link;
    if (state.is === "ended" && state.fault !== undefined) throw state.fault;
    throw new Fault(
      "unreachable",
      state.is === "ended"
        ? "Cannot send: this client was closed"
        : "Cannot send: the daemon is away; this client comes back by itself when it runs",
    );
  }

  get #link(): ClientLink | undefined {
    return this.#state.is === "up" ? this.#state.link : undefined;
  }

  #wake(): void {
    this.#link?.wake();
  }

  /** Closes a link that has ended or is to end. */
  #retire(link: ClientLink): void {
    const closing = link.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /**
   * Ends the session.
   *
   * @param fault the reason, for later calls; undefined when it was closed
   * @param answer the fault for open commands
   * @param isDone the daemon has finished its work, which the streams do not report as a fault
   */
  #end(fault: Fault | undefined, answer: Fault, loss: LeaseLoss, isDone = false): void {
    assert(this.#state.is !== "ended", "a session ends once");
    this.#state = { is: "ended", fault };
    this.#pending.failAll(answer);
    this.leases.loseAll(loss);
    this.screens.clear();
    this.#streams.end(isDone ? undefined : fault);
  }

  /** The daemon was lost, and its leases and answers with it; the streams stay open. */
  #goAway(link: ClientLink, fault: Fault, options: ReconnectOptions): void {
    const reconnector = new Reconnector(() => this.#comeBack(), options);
    this.#pending.failAll(
      new Fault(
        "unreachable",
        "the daemon went away before it answered, and may or may not have done it; look, and send it again",
        { cause: fault },
      ),
    );
    this.leases.loseAll("owner-gone");
    this.roster.clear();
    this.memory.clear();
    this.screens.clear();
    const returning = reconnector.run().then((final) => {
      if (final !== undefined && this.#state.is === "away") this.#end(final, final, "disconnected");
    });
    this.#state = {
      is: "away",
      sinceNs: monotonicClock.nowNs(),
      lastSeq: link.lastSeq ?? 0,
      reconnector,
      returning,
    };
    const { onAway } = options;
    // In a turn of its own, so that an exception of the program's callback is not caught here.
    if (onAway !== undefined) queueMicrotask(() => onAway(fault));
  }

  async #comeBack(): Promise<void> {
    const link = await openLink(this, this.#options, 0);
    if (this.#state.is !== "away") return await link.close();
    await this.open(link);
  }

  #onError(event: ClientEvent): void {
    const body = event.as("ERROR");
    // With an endpoint it concerns a seam of that VM, or is the VM's message about a command of ours.
    if (body !== undefined && event.endpoint !== NO_ENDPOINT) {
      this.#pending.noteWords(body.detail, event.endpoint, body.code, body.text);
    }
  }

  /** Settles a command; true if the event was an answer to one of ours. */
  #onAnswer(event: ClientEvent): boolean {
    const settled = this.#pending.settle(event);
    if (settled === "nobody's") return false;
    if (settled === "given up") {
      const granted = event.as("LEASE_GRANTED");
      const cls = granted?.cls as LeaseClass;
      if (granted !== undefined && !this.leases.owns(event.endpoint, cls)) {
        this.#giveBack(event.endpoint, cls, granted.token);
      }
      event[Symbol.dispose]();
    }
    return true;
  }

  /** Withdraws a waiting claim; if it was granted meanwhile, the lease is released. */
  withdrawClaim(endpoint: EndpointId, cls: LeaseClass): void {
    if (this.#state.is === "up" && !this.leases.owns(endpoint, cls)) this.#giveBack(endpoint, cls, 0);
  }

  /** A lease that was granted after its acquire was given up: otherwise nobody would release it. */
  #giveBack(endpoint: EndpointId, cls: LeaseClass, token: number): void {
    const release = this.newEvent(KIND.CMD_RELEASE, endpoint, DIR.DOWN);
    release.words[0] = cls;
    release.token = token;
    this.send(release);
  }
}
