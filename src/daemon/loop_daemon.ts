/**
 * The daemon on the loop's thread: the composition root. It makes the loop, the core, the control socket and
 * the roster, attaches what the config names, and takes them down in the right order: no new commands,
 * endpoints detached (held keys released, epochs invalidated), answers flushed, controls closed, sockets
 * gone.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { setThreadRealtime, threadCpuNs } from "../../ffi/scheduler.ts";
import { IN } from "../../ffi/poller.ts";
import { MS } from "../base/clock.ts";
import { localTime } from "../base/local_time.ts";
import { Log } from "../base/log.ts";
import { SharedRing } from "../context/shared_ring.ts";
import { SocketListener } from "../controls/socket/socket_listener.ts";
import { Core } from "../core/core.ts";
import { Loop } from "../core/loop.ts";
import { PASS_THROUGH } from "../context/policy.ts";
import { DIR } from "../event/defaults.ts";
import { CLASS, kindClass } from "../event/kind.ts";
import { SOURCE, SOURCE_MAX } from "../event/source.ts";
import { type Config, parseEndpointTable } from "./config.ts";
import { ConfigIntake } from "./config_courier.ts";
import { checkFrame, decodeFrame } from "../protocol/frame.ts";
import { Desired, TRUST } from "../roster/desired.ts";
import { Roster } from "../roster/roster.ts";
import { TriggerDirectory } from "../roster/trigger_directory.ts";
import { ChannelServers } from "./channel_server.ts";
import { EndpointMaker, type PlannedEndpoint } from "./endpoint_maker.ts";
import { sweepHeld } from "./held_sweep.ts";
import { LogWriter } from "./log_writer.ts";
import { LoopScanner } from "./loop_scanner.ts";
import { PeerAdmission } from "./peer_admission.ts";
import type { FoundVm } from "./host_watch.ts";
import { renderMetrics } from "./metrics.ts";
import { OneATurn } from "./one_a_turn.ts";
import { Regranter } from "./regranter.ts";
import { SocketPlace } from "./socket_place.ts";
import { INBOX, type LoopPlan, type LoopReport } from "./plan.ts";

/** How long detaching may take before the daemon stops without it. */
const DETACH_LIMIT_MS = 1500;
const STDERR = 2;
/** Messages of the main thread that are taken in one turn: a config comes in hundreds of pieces. */
const MESSAGES_A_TURN = 16;

/** The daemon's loop side. */
export class LoopDaemon {
  readonly #plan: LoopPlan;
  readonly #report: (report: LoopReport) => void;
  readonly #logWriter: LogWriter;
  readonly #log: Log;
  readonly #loop: Loop;
  readonly #core: Core;
  readonly #roster: Roster;
  readonly #peerAdmission: PeerAdmission;
  readonly #maker: EndpointMaker;
  readonly #scanner: LoopScanner;
  readonly #inbox: SharedRing;
  readonly #intake = new ConfigIntake();
  readonly #place: SocketPlace;
  readonly #reloading: OneATurn;
  readonly #probing: OneATurn;
  readonly #regranter: Regranter;
  readonly #listener: SocketListener;
  readonly #desired: Desired<PlannedEndpoint>;
  readonly #triggers: TriggerDirectory;
  readonly #channels: ChannelServers;
  #config: Config;
  #stopping = false;

  /**
   * Makes everything and listens; nothing runs yet.
   *
   * @param plan what to serve
   * @param report to the main thread
   * @throws {Fault} when the socket cannot be had, before anything else was touched
   */
  constructor(plan: LoopPlan, report: (report: LoopReport) => void) {
    this.#plan = plan;
    this.#config = plan.config;
    this.#report = report;
    const { daemon } = plan.config;
    const stamp = plan.journal ? () => "" : () => `${localTime()} `;
    this.#logWriter = new LogWriter(STDERR, plan.journal, monotonicClock, stamp);
    this.#log = new Log(
      "vmsig",
      daemon.log,
      (line, isRecord) => this.#logWriter.write(line, isRecord),
      plan.journal,
    );
    this.#peerAdmission = new PeerAdmission({
      rules: plan.config.admission,
      ownUid: Deno.uid() ?? -1,
      clock: monotonicClock,
      log: this.#log.for("users"),
      maxControls: daemon.maxControls,
      idOf: (name) => this.#roster.idOf(name),
    });
    this.#place = new SocketPlace(plan.socketPath, this.#peerAdmission.admitsOthers, this.#log.for("socket"));
    this.#loop = new Loop({
      clock: monotonicClock,
      log: this.#log,
      spinNs: daemon.spinUs * 1000,
      ...daemon.realtime ? { scheduling: { setRealtime: setThreadRealtime, cpuNs: threadCpuNs } } : {},
    });
    if (this.#loop.priority?.permitted === false) {
      this.#log.debug("the loop is scheduled like any other thread; vmsig doctor tells the remedy");
    }
    this.#logWriter.watchOn(this.#loop);
    this.#core = new Core({ loop: this.#loop, log: this.#log, barrier: this.#loop.barrier });
    this.#loop.setHook(this.#core);
    this.#reloading = new OneATurn(this.#loop);
    this.#probing = new OneATurn(this.#loop);
    this.#roster = new Roster(this.#core, this.#log, () => this.#regranter.run());
    this.#listener = new SocketListener({
      listener: this.#place.socket,
      core: this.#core,
      loop: this.#loop,
      log: this.#log.for("socket"),
      admission: this.#peerAdmission,
      maxControls: daemon.maxControls,
      queueEvents: daemon.queueEvents,
    });
    this.#regranter = new Regranter({
      loop: this.#loop,
      members: () => this.#listener.controls.values(),
      grantOf: (peer) => this.#peerAdmission.grantOf(peer),
      present: (id) => this.#core.fanOut.controls.get(id)?.grant,
      regrant: (id, grant) => this.#core.regrant(id, grant),
    });
    this.#scanner = new LoopScanner({
      scan: (call) => report({ type: "scan", call }),
      openRam: (call) => report({ type: "open-ram", call }),
      closeRam: (fds) => report({ type: "close-ram", fds }),
    }, this.#log.for("scan"));
    this.#maker = new EndpointMaker(plan, this.#loop, this.#log, this.#scanner);
    this.#desired = new Desired(this.#roster, (endpoint) => this.#maker.request(endpoint), this.#log);
    this.#triggers = this.#watchTriggers();
    this.#channels = new ChannelServers(plan.runtimeDir, this.#loop, this.#peerAdmission.users, this.#log);
    this.#inbox = new SharedRing(plan.inbox);
    this.#loop.watch(plan.inbox.eventFd, IN, {
      onReady: () => this.#readInbox(),
      // Each message is contained by itself; what fails before one is read is tried again.
      faultAccount: () => ({ name: "the inbox" }),
      onFault: () => {},
    });
    this.#setPolicies(plan.config);
    this.#place.watch(this.#loop, { onListening: (socket) => this.#listenAgain(socket) });
  }

  /** Attaches what the plan names, says that it is ready, and serves until it is told to stop. */
  run(): void {
    sweepHeld(this.#plan.runtimeDir, this.#log.for("input"));
    for (const request of this.#maker.stubs()) {
      const outcome = this.#roster.attach(request);
      if (!outcome.ok) this.#log.error(`cannot attach ${request.name}: ${outcome.reason}`);
    }
    for (const task of this.#configured()) task();
    this.#channels.serve(this.#config.channels);
    this.#report({ type: "ready" });
    this.#loop.run();
    this.#dispose();
    this.#report({ type: "stopped" });
  }

  #readInbox(): void {
    this.#inbox.drain((tag, message) => {
      try {
        this.#take(tag, message);
      } catch (error) {
        this.#loop.barrier.contain("message", error, {
          faultAccount: () => ({ name: `message ${tag} of the inbox` }),
        });
      }
    }, MESSAGES_A_TURN);
  }

  #take(tag: number, message: Uint8Array): void {
    switch (tag) {
      case INBOX.STOP:
        return this.#stop();
      case INBOX.CONFIG_PIECE:
        return this.#intake.piece(message);
      case INBOX.CONFIG: {
        const config = this.#intake.whole(message);
        if (config !== undefined) this.#reload(config);
        return;
      }
      case INBOX.SCANNED:
        return this.#scanner.onMessage(message);
      case INBOX.RAM:
        return this.#scanner.onRam(message);
      case INBOX.FRAME:
        return this.#submitForeign(message);
      case INBOX.METRICS:
        return this.#report({
          type: "metrics",
          id: new DataView(message.buffer).getUint32(0, true),
          text: renderMetrics(this.#core, this.#loop, this.#listener),
        });
      case INBOX.PROBED:
        return this.#wantFound(JSON.parse(new TextDecoder().decode(message)) as FoundVm[]);
      case INBOX.PING:
        return this.#report({ type: "alive" });
      default:
        this.#log.error("unknown message in the inbox", { tag });
    }
  }

  /** An event from another thread of this process, as a wire frame. */
  #submitForeign(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const defect = checkFrame(view, 0, bytes.length, 0);
    if (defect !== "") return this.#log.error("foreign frame refused", { defect });
    const event = this.#core.bus.pool.acquire();
    decodeFrame(event, bytes, view, 0);
    if (kindClass(event.kind) !== CLASS.UP || event.source >= SOURCE_MAX || event.source === SOURCE.NONE) {
      this.#log.error("foreign frame refused", { kind: event.kind, source: event.source });
      return event.release();
    }
    // Its stamp is the time of submission here: the context paces by it.
    event.tsNs = this.#loop.clock.nowNs();
    this.#core.bus.up(event);
  }

  #setPolicies(config: Config): void {
    for (let source = 1; source < SOURCE_MAX; source++) {
      for (const dir of [DIR.UP, DIR.DOWN]) {
        const rule = config.policy.find((each) => each.source === source && each.dir === dir);
        this.#core.setPolicy(source, dir, rule?.policy ?? PASS_THROUGH);
      }
    }
  }

  /**
   * A new config, validated whole by the main thread: rules, policies and endpoints change at once, the rest
   * at the next start.
   */
  #reload(config: Config): void {
    this.#peerAdmission.replace(config.admission);
    this.#place.admitOthers(this.#peerAdmission.admitsOthers);
    this.#setPolicies(config);
    this.#config = config;
    this.#maker.setConfig(config);
    this.#reloading.replace(this.#configured());
    this.#channels.serve(config.channels);
    this.#regranter.run();
    this.#log.info("config reloaded", { endpoints: config.endpoints.length, rules: config.admission.length });
    this.#report({ type: "reloaded" });
  }

  /**
   * What there is to do so that the config's endpoints are there, and no others of an older one: each
   * attaches or detaches one.
   */
  #configured(): (() => void)[] {
    const tasks: (() => void)[] = [];
    const askers = new Set(this.#config.endpoints.map((endpoint) => `config:${endpoint.name}`));
    for (const asker of this.#desired.askers()) {
      if (asker.startsWith("config:") && !askers.has(asker)) tasks.push(() => this.#desired.drop(asker));
    }
    for (const endpoint of this.#config.endpoints) {
      tasks.push(() => this.#desired.want(`config:${endpoint.name}`, endpoint));
    }
    return tasks;
  }

  /**
   * Attaches what the host probe found, unless somebody named it already, and lets go of what has ended; one
   * VM a turn.
   */
  #wantFound(found: readonly FoundVm[]): void {
    if (this.#stopping) return;
    const running = new Map(found.map((vm) => [askerOf(vm), vm]));
    const tasks: (() => void)[] = [];
    for (const asker of this.#desired.askers()) {
      if (!asker.startsWith("probe:")) continue;
      // One that goes by another name now (it has left root's rights) is another endpoint.
      if (running.get(asker)?.name !== this.#desired.wantedBy(asker)?.name) {
        tasks.push(() => this.#desired.drop(asker));
      }
    }
    for (const vm of found) {
      if (vm.qmp !== "" && this.#desired.wantedBy(askerOf(vm))?.name !== vm.name) {
        tasks.push(() => this.#wantFoundOne(vm));
      }
    }
    this.#probing.replace(tasks);
  }

  #wantFoundOne(vm: FoundVm): void {
    // A VM that the config or a trigger file names has a monitor there, whichever of its monitors is free.
    const isThis = (endpoint: PlannedEndpoint) => endpoint.qmp === vm.qmp || endpoint.name === vm.name;
    if (this.#desired.some(isThis, TRUST.NAMED)) return;
    const endpoint: PlannedEndpoint = {
      name: vm.name,
      vmid: 0,
      qmp: vm.qmp,
      memory: vm.hasMemory ? "auto" : "none",
      input: "qmp",
      guest: "auto",
      expected: { pid: vm.pid, started: vm.started },
    };
    this.#desired.want(askerOf(vm), endpoint, vm.trusted ? TRUST.OWN : TRUST.FOUND);
  }

  #watchTriggers(): TriggerDirectory {
    const path = this.#config.discovery.triggerDir ?? `${this.#plan.runtimeDir}/endpoints.d`;
    return new TriggerDirectory({
      path,
      loop: this.#loop,
      log: this.#log,
      ownUid: Deno.uid() ?? -1,
      listener: {
        onFile: (name, text) =>
          this.#desired.want(`file:${name}`, parseEndpointTable(text, `${path}/${name}`)),
        onGone: (name) => this.#desired.drop(`file:${name}`),
      },
    });
  }

  /**
   * The socket's folder was removed and is there again: what else belongs in it is made anew, and looked at.
   */
  #listenAgain(socket: OwnedFd): void {
    this.#listener.listenOn(socket);
    if (this.#config.discovery.triggerDir === undefined) {
      Deno.mkdirSync(`${this.#plan.runtimeDir}/endpoints.d`, { recursive: true, mode: 0o755 });
    }
    this.#triggers.lookAgain();
    this.#report({ type: "listening-again" });
  }

  #stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#log.info("stopping");
    this.#listener.close();
    this.#place.leave();
    this.#probing.replace([]);
    this.#regranter.stop();
    this.#triggers.close();
    this.#channels.close();
    const names = this.#roster.names();
    let left = names.length;
    const done = () => {
      if (--left <= 0) this.#loop.defer(() => this.#closeControls());
    };
    // A VM that does not answer must not keep the daemon: its keys are released by the next one.
    const limit = { onTimer: () => this.#closeControls(), onFault: () => this.#loop.stop() };
    this.#loop.arm(limit, this.#loop.clock.nowNs() + DETACH_LIMIT_MS * MS);
    if (names.length === 0) this.#loop.defer(() => this.#closeControls());
    this.#reloading.replace(names.map((name) => () => this.#roster.detach(name, "shutting-down", done)));
  }

  #closeControls(): void {
    if (this.#loop.stopped) return;
    this.#core.turn(this.#loop.clock.nowNs());
    for (const slot of this.#core.fanOut.controls.values()) this.#core.leave(slot, "the daemon stops");
    this.#stopWhenEmpty();
  }

  /** Controls are taken off a few dozen a turn. */
  #stopWhenEmpty(): void {
    if (this.#core.fanOut.controls.size === 0) this.#loop.stop();
    else this.#loop.defer(() => this.#stopWhenEmpty());
  }

  #dispose(): void {
    this.#loop.unwatch(this.#plan.inbox.eventFd);
    this.#place.close();
    this.#triggers[Symbol.dispose]();
    this.#listener.dispose();
    this.#core.dispose();
    this.#logWriter[Symbol.dispose]();
    this.#loop[Symbol.dispose]();
    EventFd.borrow(this.#plan.inbox.eventFd).drain();
  }
}

/** A process, whoever had its number before. */
function askerOf(vm: FoundVm): string {
  return `probe:${vm.pid}:${vm.started}`;
}
