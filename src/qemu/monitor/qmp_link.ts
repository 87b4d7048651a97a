/**
 * One monitor, shared by an endpoint's adapters: connects, keeps the connection, notices a loss and its
 * cause, and reconnects after growing pauses. It starts with its first user and ends with its last.
 *
 * - `up` means: greeting received, capabilities negotiated, and query-status answered, because earlier events
 *   are lost. Each time it comes up it has a new generation.
 * - A silent QEMU (SIGSTOP) keeps its connection: the link is down until QEMU sends something, and then up
 *   again. The same applies to a monitor that another client uses: QEMU greets as soon as that one leaves,
 *   and no timer runs until then.
 * - Where QEMU is the client (`arrivals` of the transport), the link waits without a timer until it connects.
 *   Somebody who connects and never greets makes room for the next one.
 *
 * Its parts: states (link_stage.ts), connecting (link_connector.ts, qmp_transport.ts), one connection
 * (qmp_session.ts), users (link_users.ts), commands (link_commands.ts), heartbeats (link_pulse.ts), pauses
 * (link_pauses.ts).
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import { type Log, SILENT } from "../../base/log.ts";
import { hasEnded } from "../../ram/process_end.ts";
import { HMP_COMMAND, HMP_TEXT_CHARS, type HmpReplyHandler, hmpReplyOf } from "../protocol/hmp.ts";
import type { QmpReplyHandler } from "../protocol/qmp_client.ts";
import type { QmpEvent } from "../protocol/qmp_message.ts";
import { LinkCommands } from "./link_commands.ts";
import { LinkConnector } from "./link_connector.ts";
import type { QmpCommandOptions, QmpLinkOptions } from "./link_options.ts";
import { LinkOutlook } from "./link_outlook.ts";
import { LinkPauses } from "./link_pauses.ts";
import { LinkPulse, QUIET_NS } from "./link_pulse.ts";
import { doorOf, LIMIT_NS, type LinkStage, type QmpLinkState, silenceOf, STAGE } from "./link_stage.ts";
import { LinkUsers, type QmpLinkUser } from "./link_users.ts";
import type { DeadlineHandler, MonitorLoop } from "./monitor_loop.ts";
import {
  AWAITED,
  FLOOD,
  PEER_CLOSED,
  PROCESS_GONE,
  protocolLoss,
  type QmpLoss,
  TCP_SILENT,
} from "./qmp_loss.ts";
import { QmpSession, type QmpWay } from "./qmp_session.ts";
import { type QmpPeer, type QmpTransport, UNKNOWN_PEER } from "./qmp_transport.ts";
import { UnixTransport } from "./unix_transport.ts";
import type { VmWays } from "./vm_ways.ts";

export type { QmpCommandOptions, QmpLinkOptions } from "./link_options.ts";
export type { QmpLinkState } from "./link_stage.ts";
export type { QmpLinkUser } from "./link_users.ts";

/** A monitor. */
export class QmpLink implements DeadlineHandler {
  /** What its users know that explains its behaviour. */
  readonly outlook = new LinkOutlook();
  readonly #transport: QmpTransport;
  readonly #loop: MonitorLoop;
  readonly #log: Log;
  readonly #options: QmpLinkOptions;
  readonly #connector: LinkConnector;
  readonly #commands: LinkCommands;
  readonly #users = new LinkUsers();
  readonly #pulse: LinkPulse;
  readonly #pauses = new LinkPauses();
  #stage: LinkStage = STAGE.IDLE;
  #generation = 0;
  #peer: QmpPeer = UNKNOWN_PEER;
  #version = "";
  #upNs = 0;
  #armedNs = NEVER;
  #dueNs = NEVER;

  /** Starts idle, until it has a user. */
  constructor(options: QmpLinkOptions) {
    this.#transport = typeof options.path === "string" ? new UnixTransport(options.path) : options.path;
    this.#loop = options.loop;
    this.#pulse = new LinkPulse(this.outlook, () => this.#transport.quietNs?.() ?? QUIET_NS);
    this.#log = options.log ?? SILENT;
    this.#options = options;
    const onFault = (error: unknown) => this.onFault(error);
    this.#connector = new LinkConnector(this.#transport, this.#loop, options.expected, {
      onConnected: (way, peer) => this.#open(way, peer),
      onImpostor: (loss) => this.#refuse(loss),
      onFailed: (loss) => this.#lose(loss),
      onAwaited: () => {
        this.#stage = STAGE.WAITING;
        this.#due(NEVER);
        this.#tellDown(this.outlook.explained(AWAITED));
      },
      onFault,
    });
    const client = () => this.#stage.at === "up" ? this.#stage.session.client : undefined;
    this.#commands = new LinkCommands(this.#transport, this.#loop.clock, client, onFault);
  }

  /** The monitor's address: a path, "tcp:127.0.0.1:4444". */
  get name(): string {
    return this.#transport.name;
  }
  /** Whether descriptors can be sent with a command. */
  get passesDescriptors(): boolean {
    return this.#transport.passesDescriptors;
  }
  /** The access of the VM's manager besides the monitor; undefined if there is no manager. */
  get ways(): VmWays | undefined {
    return this.#transport.ways ?? this.#options.waysOf?.(this.pid);
  }
  /** Its state. */
  get state(): QmpLinkState {
    return this.#stage.at;
  }
  /** Whether commands reach QEMU. */
  get isUp(): boolean {
    return this.#stage.at === "up";
  }
  /** Number of times that it has come up: state from another generation is stale. */
  get generation(): number {
    return this.#generation;
  }
  /** QEMU's process as of the last connection, 0 when unknown. */
  get pid(): number {
    return this.#peer.pid;
  }
  /** The uid that made the monitor listen, from the kernel; -1 if unknown, or before a connection. */
  get monitorUid(): number {
    return this.#peer.uid;
  }
  /** Whether the process at the other end is alive (not another with its pid), or is not visible. */
  get processLives(): boolean {
    return this.#session?.processLives ?? true;
  }
  /** QEMU's version from its greeting: "7.2.22". */
  get version(): string {
    return this.#version;
  }
  /** Number of open and queued commands. */
  get load(): number {
    const client = this.#session?.client;
    return client === undefined ? 0 : client.inFlight + client.queued;
  }

  get #session(): QmpSession | undefined {
    return "session" in this.#stage ? this.#stage.session : undefined;
  }

  /** Adds a user, which is told at once if the link is up, or known to be down. */
  use(user: QmpLinkUser): void {
    this.#users.add(user);
    const { loss } = this.#users;
    if (this.#stage.at === "idle") this.#begin();
    else if (this.#stage.at === "up") {
      this.#stage.session.askStatus((status) => this.#tellUp(user, status));
    } else if (loss !== null) user.onLinkDown(loss);
  }

  /** Removes a user, which is told nothing more. With the last one, the connection is closed. */
  leave(user: QmpLinkUser): void {
    if (!this.#users.remove(user) || !this.#users.isEmpty) return;
    this.#drop();
    this.#transport.arrivals?.end();
    this.#stage = STAGE.IDLE;
    this.#users.forgetLoss();
    this.#pauses.reset();
  }

  /**
   * Sends a command, behind all earlier ones. The handler gets its reply exactly once, possibly before this
   * returns (`unsent` if the link is down; an error for descriptors if the transport cannot send any).
   *
   * @param args plain JSON
   * @throws {Fault} `bad-argument` for more descriptors than QEMU takes; {@linkcode OsError} EMFILE if none
   *   is left for a copy: nothing is sent, and the handler is not called
   */
  execute(
    command: string,
    args: object | undefined,
    handler: QmpReplyHandler,
    options: QmpCommandOptions,
  ): void {
    if (this.#commands.execute(command, args, handler, options) < this.#armedNs) this.#rearm();
  }

  /**
   * Runs a line of the human monitor, such as `info pci`; the handler is called with the answer exactly once,
   * with at most `maxChars` characters. A failure of the line is reported by QEMU as text like any other.
   */
  hmp(line: string, handler: HmpReplyHandler, timeoutNs: number, maxChars: number = HMP_TEXT_CHARS): void {
    const args = { "command-line": line };
    this.execute(HMP_COMMAND, args, (reply) => handler(hmpReplyOf(reply, maxChars)), { timeoutNs });
  }

  /** Called by the loop. */
  onTimer(nowNs: number): void {
    this.#armedNs = NEVER;
    this.#session?.client.tick(nowNs);
    if (nowNs >= this.#dueNs) this.#onDue(nowNs);
    this.#rearm();
  }

  /** For the log. */
  faultAccount(): { readonly name: string } {
    return { name: `monitor ${this.name}` };
  }

  /**
   * Something that it did, or a call to one of its users, threw: the connection is closed, as after a
   * protocol error, and made again.
   */
  onFault(error: unknown): void {
    if (this.#stage.at !== "idle") this.#lose(protocolLoss(messageOf(error)));
  }

  #onDue(nowNs: number): void {
    this.#dueNs = NEVER;
    const stage = this.#stage;
    switch (stage.at) {
      case "pausing":
        return this.#connect();
      case "connecting":
        return this.#lose(TCP_SILENT);
      case "opening":
        // The connection is kept: QEMU greets when the other client leaves, or answers when it resumes.
        return this.#fallSilent(stage.session, stage.session.client.state === "greeting" ? "held" : "stale");
      case "ending":
        return this.#lose(PEER_CLOSED);
      case "up":
        return this.#checkPulse(stage.session, nowNs);
    }
  }

  #begin(): void {
    const door = doorOf(() => this.state, () => this.#connect(), (loss) => this.#lose(loss));
    this.#transport.arrivals?.begin(door);
    this.#connect();
  }

  #connect(): void {
    assert(this.#session === undefined, "a link has one connection");
    this.#stage = STAGE.CONNECTING;
    this.#due(this.#loop.clock.nowNs() + LIMIT_NS.CONNECT);
    this.#connector.start();
  }

  #open(way: QmpWay, peer: QmpPeer): void {
    this.#peer = peer;
    const session = new QmpSession(way, peer, this.#loop, {
      onHeard: () => this.#pulse.heard(this.#loop.clock.nowNs()),
      onTaken: () => this.#onTaken(session),
      onGreeting: (version) => {
        this.#version = version;
        if (this.#stage.at === "held") this.#stage = { at: "opening", session };
        this.#due(this.#loop.clock.nowNs() + LIMIT_NS.FIRST_ANSWER);
      },
      onReady: () => session.askStatus((status) => this.#comeUp(session, status)),
      onEvent: (event) => this.#onEvent(event),
      onProtocolError: (why) => this.#lose(protocolLoss(why)),
      onEnd: () => this.#onEnd(session),
      onFault: (error) => this.onFault(error),
    });
    this.#stage = { at: "opening", session };
    this.#due(this.#loop.clock.nowNs() + LIMIT_NS.GREETING);
  }

  #onTaken(session: QmpSession): void {
    // It responds again: earlier output is outdated, so its state is queried again.
    const stage = this.#stage;
    if (stage.at !== "stale" || stage.session !== session || session.client.state !== "ready") return;
    this.#stage = { at: "opening", session };
    this.#due(this.#pulse.heardNs + LIMIT_NS.FIRST_ANSWER);
    session.askStatus((status) => this.#comeUp(session, status));
  }

  #onEvent(event: QmpEvent): void {
    if (this.#stage.at !== "up") return;
    if (!this.#commands.admitsEvent(event.name, this.#pulse.heardNs)) return this.#lose(FLOOD);
    this.#users.tellEvent(event);
  }

  #comeUp(session: QmpSession, status: string): void {
    if (this.#stage.at !== "opening" && this.#stage.at !== "held") return;
    this.#stage = { at: "up", session };
    this.#generation++;
    this.#users.forgetLoss();
    this.#upNs = this.#loop.clock.nowNs();
    this.#commands.comeUp();
    this.#due(this.#options.heartbeat !== false ? this.#pulse.firstLookNs(this.#upNs) : NEVER);
    this.#log.info("monitor up", { path: this.name, pid: this.pid, qemu: this.#version, status });
    this.#users.tellAll((user) => {
      this.#tellUp(user, status);
      return this.isUp;
    });
  }

  #tellUp(user: QmpLinkUser, status: string): void {
    if (this.isUp && this.#users.has(user)) user.onLinkUp(status, this.pid);
  }

  // Sends a heartbeat after some silence, or reports a loss after a long one.
  #checkPulse(session: QmpSession, nowNs: number): void {
    const finding = this.#pulse.check(nowNs);
    if (finding.act !== "silent") {
      if (finding.act === "ask") session.client.execute("query-status", undefined, () => {});
      return this.#due(finding.untilNs);
    }
    // Data that has arrived since is taken into account, because the loop itself may have been delayed.
    session.drain();
    if (!this.isUp) return;
    const againNs = this.#pulse.secondLookNs();
    if (againNs === undefined) this.#fallSilent(session, "stale");
    else this.#due(againNs);
  }

  #fallSilent(session: QmpSession, at: "held" | "stale"): void {
    // While it opens, the handshake's commands stay open: their late answer brings it up.
    const wasUp = this.isUp;
    this.#stage = { at, session };
    this.#due(NEVER);
    const loss = this.outlook.explained(silenceOf(at, this.#transport));
    if (wasUp) session.client.abandon();
    this.#tellDown(loss);
  }

  #onEnd(session: QmpSession): void {
    this.#stage = { at: "ending", session };
    const why = this.#transport.lossNow?.();
    this.outlook.explained(why ?? PEER_CLOSED);
    session.answerAll();
    // The users were told why; one of them may have left or closed it.
    if (this.#stage.at !== "ending") return;
    if (why !== undefined) return this.#lose(why);
    const gone = {
      onReady: () => this.#lose(PROCESS_GONE),
      onFault: (error: unknown) => this.onFault(error),
    };
    if (session.awaitProcessEnd(gone)) this.#due(this.#loop.clock.nowNs() + LIMIT_NS.PROCESS_END);
    else this.#lose(hasEnded(session.peer.pid) ? PROCESS_GONE : PEER_CLOSED);
  }

  // The listener did not report the path itself. A VM that has just started may still take it over.
  #refuse(loss: QmpLoss): void {
    this.#pause(this.#pauses.afterRefusal());
    this.#tellDown(this.outlook.explained(loss));
  }

  #lose(found: QmpLoss): void {
    const loss = this.outlook.explained(found);
    const upForNs = this.#upNs > 0 ? this.#loop.clock.nowNs() - this.#upNs : 0;
    this.#drop();
    // A QEMU that connects again has paused by itself.
    if (this.#transport.arrivals !== undefined && upForNs > 0) this.#pauses.reset();
    this.#pause(this.#pauses.afterLoss(upForNs, loss === FLOOD));
    this.#tellDown(loss);
  }

  #pause(pauseNs: number): void {
    this.#stage = STAGE.PAUSING;
    this.#due(this.#transport.canReconnect ? this.#loop.clock.nowNs() + pauseNs : NEVER);
  }

  #tellDown(loss: QmpLoss): void {
    if (!this.#users.noteLoss(loss)) return;
    this.#log.warn(loss.text, { path: this.name, pid: this.pid, remedy: loss.remedy });
    this.#users.tellAll((user) => {
      user.onLinkDown(loss);
      return true;
    });
  }

  #drop(): void {
    const stage = this.#stage;
    this.#upNs = 0;
    // Down before the answers, so that a command sent from a reply handler is answered `unsent`.
    this.#stage = STAGE.PAUSING;
    this.#due(NEVER);
    this.#connector.cancel();
    if (!("session" in stage)) return;
    stage.session.close();
    stage.session.answerAll();
  }

  #due(deadlineNs: number): void {
    this.#dueNs = deadlineNs;
    this.#rearm();
  }

  // The timer is only moved to fire earlier: one that fires too early checks again, which costs less.
  #rearm(): void {
    const wanted = Math.min(this.#dueNs, this.#session?.client.deadlineNs ?? NEVER);
    if (wanted === NEVER) {
      if (this.#armedNs !== NEVER) this.#loop.disarm(this);
      this.#armedNs = NEVER;
    } else if (wanted < this.#armedNs) {
      this.#armedNs = wanted;
      this.#loop.arm(this, wanted);
    }
  }
}
