/**
 * One monitor, shared by an endpoint's adapters: it connects, keeps the connection, notices its loss and why,
 * and connects again with a growing pause. It starts with its first user and ends with its last.
 *
 * - `up` means: greeted, capabilities agreed, and query-status answered, because events of the time before
 *   are lost. Each time it comes up it has a new generation.
 * - A QEMU that is silent (SIGSTOP) keeps its connection: it is down until it says something, and then up
 *   again. The same holds for a monitor that another client has: QEMU greets as soon as that one leaves, and
 *   until then nothing ticks.
 * - The heartbeat is a query-status, sent only when nothing was heard for 1.25 to 1.5 s, on a grid of 250 ms
 *   that all monitors share, so that many of them wake the loop together. Silence is told 2.75 s after the
 *   last sign of life.
 *
 * It gives no meaning to events: its users do.
 * @module
 */
import { IN, pollNow } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { MS, NEVER, SECOND } from "../../base/clock.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { type Log, SILENT } from "../../base/log.ts";
import type { ProcessIdentity } from "../process_identity.ts";
import { EventGauge } from "../protocol/event_gauge.ts";
import { QmpClient, type QmpReply, type QmpReplyHandler } from "../protocol/qmp_client.ts";
import { isObject, type QmpEvent } from "../protocol/qmp_message.ts";
import { hasEnded } from "../../ram/process_end.ts";
import type { DeadlineHandler, MonitorLoop, ReadyHandler } from "./monitor_loop.ts";
import { QmpConnection } from "./qmp_connection.ts";
import {
  connectLoss,
  FLOOD,
  HELD,
  impostorLoss,
  PEER_CLOSED,
  PROCESS_GONE,
  protocolLoss,
  type QmpLoss,
  STALE,
} from "./qmp_loss.ts";
import { isProcess, openPidfd } from "./qmp_peer.ts";
import { SentDescriptors } from "./sent_descriptors.ts";

/** How a link is made. */
export interface QmpLinkOptions {
  /** The QMP socket's path. */
  readonly path: string;
  /** The loop it lives on. */
  readonly loop: MonitorLoop;
  /**
   * The process that must listen there, as the kernel tells (SO_PEERCRED): nobody vouches for a path but the
   * process that names it. Absent: whoever listens is the one, by the word of whoever named the path; under
   * socket activation that is not QEMU itself.
   */
  readonly expected?: ProcessIdentity;
  /** Where it tells what happens to it. */
  readonly log?: Log;
  /** False for a peer that need not be watched: no heartbeat, no timer while it is up. */
  readonly heartbeat?: boolean;
}

/** What a command has beside its name and arguments. */
export interface QmpCommandOptions {
  /** Comes back with the reply; 0 unless given. */
  readonly tag?: number;
  /** How long to wait for QEMU's answer, from now. */
  readonly timeoutNs: number;
  /**
   * Descriptors that QEMU gets with the command (getfd, add-fd), borrowed for the call: what goes to QEMU are
   * copies, so the caller may close its own as soon as this returns, whatever becomes of the command. QEMU's
   * commands take the first one and close the others. A command that takes none leaves them lying in QEMU for
   * the next one: give them to those two only.
   */
  readonly fds?: readonly number[];
}

/** One of a link's users. All are told in the order in which they came. */
export interface QmpLinkUser {
  /**
   * The monitor can be used.
   *
   * @param status QEMU's run state: "running", "paused", …
   * @param pid QEMU's process, 0 when it cannot be seen
   */
  onLinkUp(status: string, pid: number): void;
  /** It cannot be used (any more). Everything that was under way is answered already. Told once a reason. */
  onLinkDown(loss: QmpLoss): void;
  /** An event of QEMU's, while up. */
  onQmpEvent(event: QmpEvent): void;
}

/** Where a link stands; `held` and `stale` have a connection that says nothing. */
export type QmpLinkState = "idle" | "pausing" | "opening" | "held" | "up" | "stale" | "ending";

const NO_FDS: readonly number[] = [];
const GREETING_NS = SECOND;
const FIRST_ANSWER_NS = 2.75 * SECOND;
const QUIET_NS = 1.25 * SECOND;
const GRID_NS = 250 * MS;
const STALE_NS = 2.75 * SECOND;
/** A heartbeat gets this long at least, also when the loop itself was away. */
const HEARTBEAT_ANSWER_NS = 1.25 * SECOND;
/**
 * How long an ended stream may wait for the end of its process: QEMU gives its guest's RAM back meanwhile.
 */
const PROCESS_END_NS = 300 * MS;
const PAUSE_FIRST_NS = 50 * MS;
const PAUSE_LONGEST_NS = SECOND;
/** To a monitor of somebody else's we come back seldom: each time disturbs it. */
const REFUSED_FIRST_NS = SECOND;
const REFUSED_LONGEST_NS = 60 * SECOND;
/** A connection that lived this long starts the pauses afresh. */
const STEADY_NS = 2 * SECOND;
/** Pauses after a flood of events, doubled each time, until it was up for the longest one. */
const FLOOD_PAUSE_FIRST_NS = SECOND;
const FLOOD_PAUSE_LONGEST_NS = 60 * SECOND;

/** A monitor. */
export class QmpLink implements DeadlineHandler {
  /** The QMP socket's path. */
  readonly path: string;
  readonly #loop: MonitorLoop;
  readonly #log: Log;
  readonly #heartbeat: boolean;
  readonly #expected: ProcessIdentity | undefined;
  readonly #users: QmpLinkUser[] = [];
  #state: QmpLinkState = "idle";
  #generation = 0;
  #pid = 0;
  #uid = -1;
  #version = "";
  #client: QmpClient | null = null;
  #connection: QmpConnection | null = null;
  #pidfd: OwnedFd | null = null;
  #loss: QmpLoss | null = null;
  readonly #toldReasons = new Set<number>();
  #watchingPidfd = false;
  #armedNs = NEVER;
  #dueNs = NEVER;
  #heardNs = 0;
  #upNs = 0;
  #pauseNs = PAUSE_FIRST_NS;
  #floodPauseNs = FLOOD_PAUSE_FIRST_NS;
  #gauge = new EventGauge();
  #heartbeatSentNs = 0;

  /** Makes one that rests until it is used. */
  constructor(options: QmpLinkOptions) {
    this.path = options.path;
    this.#loop = options.loop;
    this.#log = options.log ?? SILENT;
    this.#heartbeat = options.heartbeat ?? true;
    this.#expected = options.expected;
  }

  /** Where it stands. */
  get state(): QmpLinkState {
    return this.#state;
  }
  /** Whether commands reach QEMU. */
  get isUp(): boolean {
    return this.#state === "up";
  }
  /** How often it has come up: state learnt under another generation is stale. */
  get generation(): number {
    return this.#generation;
  }
  /** QEMU's process while connected, 0 when unknown. */
  get pid(): number {
    return this.#pid;
  }
  /** Who made the monitor listen, by the kernel's word; -1 before the first connection. */
  get monitorUid(): number {
    return this.#uid;
  }
  /**
   * Whether the process at the other end lives: only then is its number no other's. One that cannot be seen
   * counts as living.
   */
  get processLives(): boolean {
    return this.#pidfd === null || pollNow(this.#pidfd.fd, IN) === 0;
  }
  /** QEMU's version as it greeted: "7.2.22". */
  get version(): string {
    return this.#version;
  }
  /** Commands under way or waiting. */
  get load(): number {
    return this.#client === null ? 0 : this.#client.inFlight + this.#client.queued;
  }

  /** Joins. The user is told at once when the link is up, or known to be down. */
  use(user: QmpLinkUser): void {
    assert(!this.#users.includes(user), "a link's user joins once");
    this.#users.push(user);
    if (this.#state === "idle") this.#connect();
    else if (this.#state !== "up" && this.#loss !== null) user.onLinkDown(this.#loss);
    else if (this.#state === "up") this.#askStatus((status) => this.#tellUp(user, status));
  }

  /** Leaves; is told nothing more. With the last user the connection ends. */
  leave(user: QmpLinkUser): void {
    const at = this.#users.indexOf(user);
    if (at < 0) return;
    this.#users.splice(at, 1);
    if (this.#users.length > 0) return;
    this.#drop();
    this.#state = "idle";
    this.#loss = null;
    this.#toldReasons.clear();
    this.#pauseNs = PAUSE_FIRST_NS;
  }

  /**
   * Sends a command, behind all that were sent before it. The handler is told its reply exactly once, maybe
   * before this returns (`unsent` when the link is down).
   *
   * @param args plain JSON
   * @throws {Fault} `bad-argument` for more descriptors than {@linkcode MAX_QMP_FDS}; {@linkcode OsError}
   *   EMFILE when there is no descriptor left for a copy: nothing is sent, and the handler is not told
   */
  execute(
    command: string,
    args: object | undefined,
    handler: QmpReplyHandler,
    { tag = 0, timeoutNs, fds = NO_FDS }: QmpCommandOptions,
  ): void {
    const client = this.#client;
    if (client === null || this.#state !== "up") {
      handler({ outcome: "unsent" }, tag);
      return;
    }
    this.#gauge.noteCommand(command);
    const deadlineNs = this.#loop.clock.nowNs() + timeoutNs;
    const descriptors = fds.length === 0 ? null : SentDescriptors.copyOf(fds);
    try {
      client.execute(command, args, handler, { tag, deadlineNs, descriptors });
    } catch (error) {
      // The kernel takes no more descriptors (ETOOMANYREFS): the command is in flight for the client only.
      if (!(error instanceof OsError)) throw error;
      return this.onFault(error);
    }
    if (deadlineNs < this.#armedNs) this.#rearm();
  }

  /** Called by the loop. */
  onTimer(nowNs: number): void {
    this.#armedNs = NEVER;
    this.#client?.tick(nowNs);
    if (nowNs >= this.#dueNs) this.#onDue(nowNs);
    this.#rearm();
  }

  /** For the log, when something of its threw. */
  faultAccount(): { readonly name: string } {
    return { name: `monitor ${this.path}` };
  }

  /**
   * Something that was done for it threw, here or in one of its users: its connection is lost, as by a
   * protocol error, and tried again.
   */
  onFault(error: unknown): void {
    if (this.#state !== "idle") this.#lose(protocolLoss(messageOf(error)));
  }

  #onDue(nowNs: number): void {
    this.#dueNs = NEVER;
    switch (this.#state) {
      case "pausing":
        return this.#connect();
      case "opening":
        // The connection stays: QEMU greets when the other client leaves, answers when it runs again.
        return this.#fallSilent(this.#client?.state === "greeting" ? HELD : STALE);
      case "ending":
        return this.#lose(PEER_CLOSED);
      case "up":
        return this.#checkPulse(nowNs);
      default:
        return;
    }
  }

  #connect(): void {
    assert(this.#connection === null, "a link has one connection");
    let socket: OwnedFd;
    try {
      socket = connectUnix(this.path, SOCKET.STREAM);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return this.#lose(connectLoss(error, isSocket(this.path)));
    }
    const { pid } = peerCredentials(socket.fd);
    if (this.#expected !== undefined && !isProcess(socket.fd, pid, this.#expected)) {
      socket.close();
      return this.#refuse(impostorLoss(pid, this.#expected.pid));
    }
    this.#pid = pid;
    this.#pidfd = openPidfd(socket.fd, pid);
    this.#state = "opening";
    this.#uid = peerCredentials(socket.fd).uid;
    const connection = new QmpConnection(socket, this.#loop, {
      onBytes: (bytes, length) => this.#onBytes(bytes, length),
      onEnd: () => this.#onEnd(),
      onFault: (error) => this.onFault(error),
    });
    this.#connection = connection;
    this.#client = new QmpClient(connection, {
      onGreeting: (version) => {
        this.#version = version;
        if (this.#state === "held") this.#state = "opening";
        this.#due(this.#loop.clock.nowNs() + FIRST_ANSWER_NS);
      },
      onReady: () => this.#askStatus((status) => this.#comeUp(status)),
      onEvent: (event) => this.#onEvent(event),
      onProtocolError: (why) => this.#lose(protocolLoss(why)),
    });
    this.#due(this.#loop.clock.nowNs() + GREETING_NS);
  }

  #onBytes(bytes: Uint8Array, length: number): void {
    this.#heardNs = this.#loop.clock.nowNs();
    const client = this.#client;
    client?.receive(bytes, length);
    // It speaks again: what it said while it was given up is old, so its state is asked for anew.
    if (this.#state === "stale" && this.#client === client && client?.state === "ready") {
      this.#state = "opening";
      this.#due(this.#heardNs + FIRST_ANSWER_NS);
      this.#askStatus((status) => this.#comeUp(status));
    }
  }

  #onEvent(event: QmpEvent): void {
    if (this.#state !== "up") return;
    if (!this.#gauge.admits(event.name, this.#heardNs)) return this.#lose(FLOOD);
    for (const user of [...this.#users]) user.onQmpEvent(event);
  }

  #askStatus(then: (status: string) => void): void {
    const client = this.#client;
    client?.execute("query-status", undefined, (reply: QmpReply) => {
      if (reply.outcome !== "done" || this.#client !== client) return;
      then(statusOf(reply));
    });
  }

  #comeUp(status: string): void {
    if (this.#state !== "opening" && this.#state !== "held") return;
    this.#state = "up";
    this.#generation++;
    this.#loss = null;
    this.#toldReasons.clear();
    this.#upNs = this.#loop.clock.nowNs();
    this.#gauge = new EventGauge();
    this.#due(this.#heartbeat ? onGrid(this.#upNs + QUIET_NS) : NEVER);
    this.#log.info("monitor up", { path: this.path, pid: this.#pid, qemu: this.#version, status });
    for (const user of [...this.#users]) this.#tellUp(user, status);
  }

  #tellUp(user: QmpLinkUser, status: string): void {
    if (this.#state === "up" && this.#users.includes(user)) user.onLinkUp(status, this.#pid);
  }

  // Sends a heartbeat after some quiet, or gives QEMU up after a long one.
  #checkPulse(nowNs: number): void {
    if (nowNs - this.#heardNs < QUIET_NS) return this.#due(onGrid(this.#heardNs + QUIET_NS));
    if (this.#heartbeatSentNs <= this.#heardNs) {
      this.#heartbeatSentNs = nowNs;
      this.#client?.execute("query-status", undefined, noOp);
      return this.#due(onGrid(nowNs + QUIET_NS));
    }
    const staleNs = Math.max(this.#heardNs + STALE_NS, this.#heartbeatSentNs + HEARTBEAT_ANSWER_NS);
    if (nowNs < staleNs) return this.#due(staleNs);
    // What has come in since belongs to the verdict: the loop itself may have been away.
    this.#connection?.drain();
    if (this.#state !== "up") return;
    if (this.#heardNs >= this.#heartbeatSentNs) return this.#due(onGrid(this.#heardNs + QUIET_NS));
    this.#fallSilent(STALE);
  }

  #fallSilent(loss: QmpLoss): void {
    // While it opens, the handshake's own commands stay: their late answer is what brings it up.
    const wasUp = this.#state === "up";
    this.#state = loss === HELD ? "held" : "stale";
    this.#due(NEVER);
    if (wasUp) this.#client?.abandon();
    this.#tellDown(loss);
  }

  #onEnd(): void {
    this.#connection = null;
    const pidfd = this.#pidfd;
    const client = this.#client;
    this.#state = "ending";
    client?.close();
    if (this.#state !== "ending") return;
    if (pidfd === null) return this.#lose(hasEnded(this.#pid) ? PROCESS_GONE : PEER_CLOSED);
    const watcher: ReadyHandler = {
      onReady: () => this.#lose(PROCESS_GONE),
      onFault: (error) => this.onFault(error),
    };
    this.#loop.watch(pidfd.fd, IN, watcher);
    this.#watchingPidfd = true;
    this.#due(this.#loop.clock.nowNs() + PROCESS_END_NS);
  }

  // Whoever listens is not the process that named the path. It may yet be: a VM that is just started takes
  // over the path of the one before it.
  #refuse(loss: QmpLoss): void {
    this.#state = "pausing";
    this.#pauseNs = Math.max(this.#pauseNs, REFUSED_FIRST_NS);
    this.#due(this.#loop.clock.nowNs() + this.#pauseNs);
    this.#pauseNs = Math.min(2 * this.#pauseNs, REFUSED_LONGEST_NS);
    this.#tellDown(loss);
  }

  #lose(loss: QmpLoss): void {
    const steady = this.#generation > 0 && this.#upNs > 0 &&
      this.#loop.clock.nowNs() - this.#upNs >= STEADY_NS;
    const long = this.#upNs > 0 && this.#loop.clock.nowNs() - this.#upNs >= FLOOD_PAUSE_LONGEST_NS;
    this.#drop();
    // What a pause for somebody else's monitor has grown to does not count for ours.
    this.#pauseNs = steady ? PAUSE_FIRST_NS : Math.min(this.#pauseNs, PAUSE_LONGEST_NS);
    if (long) this.#floodPauseNs = FLOOD_PAUSE_FIRST_NS;
    if (loss === FLOOD) {
      this.#pauseNs = this.#floodPauseNs;
      this.#floodPauseNs = Math.min(2 * this.#floodPauseNs, FLOOD_PAUSE_LONGEST_NS);
    }
    this.#state = "pausing";
    this.#due(this.#loop.clock.nowNs() + this.#pauseNs);
    this.#pauseNs = Math.min(2 * this.#pauseNs, PAUSE_LONGEST_NS);
    this.#tellDown(loss);
  }

  #tellDown(loss: QmpLoss): void {
    // Once a reason, until it has been up again: the tries that follow find the same in other words.
    if (this.#toldReasons.has(loss.reason)) return;
    this.#toldReasons.add(loss.reason);
    this.#loss = loss;
    this.#log.warn(loss.text, { path: this.path, pid: this.#pid, remedy: loss.remedy });
    for (const user of [...this.#users]) if (this.#users.includes(user)) user.onLinkDown(loss);
  }

  #drop(): void {
    this.#upNs = 0;
    const client = this.#client;
    this.#client = null;
    this.#due(NEVER);
    this.#connection?.close();
    this.#connection = null;
    if (this.#pidfd !== null) {
      if (this.#watchingPidfd) this.#loop.unwatch(this.#pidfd.fd);
      this.#watchingPidfd = false;
      this.#pidfd.close();
      this.#pidfd = null;
    }
    // Down before the answers: whoever asks again from inside one is told `unsent`.
    this.#state = "pausing";
    client?.close();
  }

  #due(deadlineNs: number): void {
    this.#dueNs = deadlineNs;
    this.#rearm();
  }

  // The timer is moved only to fire earlier: one that fires too early looks again, and costs less than moving
  // it each time.
  #rearm(): void {
    const wanted = Math.min(this.#dueNs, this.#client?.deadlineNs ?? NEVER);
    if (wanted === NEVER) {
      if (this.#armedNs !== NEVER) this.#loop.disarm(this);
      this.#armedNs = NEVER;
    } else if (wanted < this.#armedNs) {
      this.#armedNs = wanted;
      this.#loop.arm(this, wanted);
    }
  }
}

function noOp(): void {}

function onGrid(ns: number): number {
  return Math.ceil(ns / GRID_NS) * GRID_NS;
}

/** The run state in query-status's reply; "" when it has none. */
export function statusOf(reply: QmpReply): string {
  const value = reply.outcome === "done" ? reply.value : undefined;
  return isObject(value) && typeof value["status"] === "string" ? value["status"] : "";
}

function isSocket(path: string): boolean {
  try {
    return Deno.statSync(path).isSocket !== false;
  } catch (error) {
    // Gone meanwhile, or out of reach: connect has said what there is to say.
    if (error instanceof Error) return true;
    throw error;
  }
}
