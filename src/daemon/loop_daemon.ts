/**
 * The daemon on the loop's thread: composes the bus (composition.ts), the origins of its endpoints
 * (endpoint_discovery.ts), the effects of a new config (config_reload.ts) and the shutdown (shutdown.ts), and
 * takes everything down in the right order: no new commands, endpoints detached (held keys released, epochs
 * invalidated), answers flushed, controls closed, sockets removed.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { bindNextGroup } from "../../ffi/shim.ts";
import { setThreadRealtime, threadCpuNs } from "../../ffi/scheduler.ts";
import type { UserDatabase } from "../access/user_database.ts";
import type { WriteExtent } from "../access/write_extent.ts";
import { makeStubAdapters } from "../adapters/stub/stub_adapters.ts";
import { assert } from "../base/assert.ts";
import { localTime } from "../base/local_time.ts";
import { Log } from "../base/log.ts";
import type { ChannelServers } from "./channel_server.ts";
import type { ChannelConfig } from "./config.ts";
import { compose, type Composition, disposeBus } from "./composition.ts";
import { applyPolicies, ConfigReload } from "./config_reload.ts";
import { ControlSocketFile } from "./control_socket_file.ts";
import { ControlSocketWatch } from "./control_socket_watch.ts";
import { type HostMakers, Hosts } from "../hosts/makers.ts";
import { EndpointDiscovery } from "./endpoint_discovery.ts";
import type { EndpointMaker } from "./endpoint_maker.ts";
import { PeerTrust } from "../qemu/monitor/peer_trust.ts";
import { submitForeign } from "./foreign_event.ts";
import { sweepHeld } from "./held_sweep.ts";
import type { FoundVm } from "./host_watch.ts";
import { type InboxHandlers, InboxReader } from "./inbox_reader.ts";
import { LatePart } from "./late_part.ts";
import { LogWriter } from "./log_writer.ts";
import { renderMetrics } from "./metrics.ts";
import { INBOX, type LoopPlan, type LoopReport } from "./plan.ts";
import { ScanClient } from "./scan_client.ts";
import { Shutdown } from "./shutdown.ts";

const STDERR = 2;

/** The daemon's part on the loop's thread. */
export class LoopDaemon {
  readonly #plan: LoopPlan;
  readonly #report: (report: LoopReport) => void;
  readonly #logWriter: LogWriter;
  readonly #log: Log;
  readonly #bus: Composition<ControlSocketFile>;
  readonly #socketWatch: ControlSocketWatch;
  readonly #scanner: ScanClient;
  /**
   * The code that only VMs need, which is half of the code on this thread. It is loaded when the first VM is
   * attached, which takes a tenth of a second, during which the loop runs on.
   */
  readonly #vms: LatePart<EndpointMaker>;
  readonly #discovery: EndpointDiscovery;
  readonly #hosts: Hosts;
  /** Where MEMWRITE may write, by the newest config. */
  #extents: readonly WriteExtent[];
  readonly #channels: LatePart<ChannelServers>;
  readonly #reload: ConfigReload;
  readonly #shutdown: Shutdown;
  readonly #inbox: InboxReader;

  /**
   * Makes everything and listens; nothing runs yet.
   *
   * @param plan what to serve
   * @param report sends messages to the main thread
   * @param makers the makers of the host integrations in use
   * @throws {Fault} when the socket cannot be made; nothing has been changed then
   */
  constructor(
    plan: LoopPlan,
    report: (report: LoopReport) => void,
    makers: HostMakers,
  ) {
    this.#plan = plan;
    this.#report = report;
    const { config, runtimeDir } = plan;
    const { daemon } = config;
    const stamp = plan.journal ? () => "" : () => `${localTime()} `;
    const logWriter = new LogWriter(STDERR, plan.journal, monotonicClock, stamp);
    this.#logWriter = logWriter;
    const log = new Log(
      "vmsig",
      daemon.log,
      (line, isRecord, isFollowed) => logWriter.write(line, isRecord, isFollowed),
      plan.journal,
    );
    this.#log = log;
    const scheduling = { setRealtime: setThreadRealtime, cpuNs: threadCpuNs };
    this.#bus = compose({
      rules: config.admission,
      clock: monotonicClock,
      log,
      maxControls: daemon.maxControls,
      queueEvents: daemon.queueEvents,
      loop: { spinNs: daemon.spinUs * 1000, ...daemon.realtime ? { scheduling } : {} },
      listen: (admitsOthers) => new ControlSocketFile(plan.socketPath, admitsOthers, log.for("socket")),
    });
    const { loop, core, roster, admission, regranter, listening } = this.#bus;
    if (loop.priority?.permitted === false) {
      log.debug("the loop's thread is not scheduled as realtime; vmsig doctor says how to allow it");
    }
    logWriter.watchOn(loop);
    this.#scanner = new ScanClient({
      scan: (call) => report({ type: "scan", call }),
      openRam: (call) => report({ type: "open-ram", call }),
      closeRam: (fds) => report({ type: "close-ram", fds }),
    }, log.for("scan"));
    const isTrusted = (uid: number, users: readonly string[]): boolean =>
      uid === 0 || uid === Deno.uid() || isOneOf(uid, users, admission.users);
    const trust = new PeerTrust(config.discovery.users ?? [], isTrusted);
    const hosts = new Hosts(config.hosts, makers, {
      loop,
      log,
      isTrusted,
      onVms: (host, vms) => this.#discovery.hosted(host, vms),
    });
    this.#hosts = hosts;
    this.#extents = config.write;
    const vms = new LatePart(
      async () => {
        loop.leave();
        const { EndpointMaker } = await loadEndpointMaker();
        return new EndpointMaker({
          runtimeDir,
          loop,
          log,
          scanner: this.#scanner,
          extents: () => this.#extents,
          hostTransportTo: (place) => hosts.transportTo(place),
          waysOf: (pid) => hosts.waysOf(pid),
          trust,
          onFrameWanted: () => report({ type: "frames-wanted" }),
        });
      },
      (why) =>
        report({ type: "failed", code: "refused", message: `Cannot load the modules for VMs: ${why}` }),
    );
    this.#vms = vms;
    this.#discovery = new EndpointDiscovery({
      loop,
      log,
      roster,
      vms,
      triggerDir: config.discovery.triggerDir ?? defaultTriggerDir(plan),
      ownUid: Deno.uid() ?? -1,
    });
    this.#channels = new LatePart(
      async () => {
        loop.leave();
        const { ChannelServers } = await loadChannelServers();
        return new ChannelServers(runtimeDir, loop, admission.users, log);
      },
      (why) =>
        report({ type: "failed", code: "refused", message: `Cannot load the modules for channels: ${why}` }),
    );
    this.#shutdown = new Shutdown({ loop, core, roster });
    this.#reload = new ConfigReload({
      admission: (rules) => {
        admission.replace(rules);
        listening.admitOthers(admission.admitsOthers);
      },
      policy: (rules) => applyPolicies(core, rules),
      making: (next) => {
        this.#extents = next.write;
        trust.replace(next.discovery.users ?? []);
      },
      endpoints: (endpoints) => this.#discovery.reconfigure(endpoints),
      channels: (channels) => this.#serveChannels(channels),
      grants: () => regranter.run(),
      done: () => report({ type: "reloaded" }),
    }, log);
    this.#inbox = new InboxReader(plan.inbox, loop, log, this.#handlers());
    applyPolicies(core, config.policy);
    this.#socketWatch = new ControlSocketWatch({
      file: listening,
      loop,
      log: log.for("socket"),
      onListening: (socket) => this.#listenAgain(socket),
    });
  }

  /** Attaches the plan's endpoints, reports ready, and serves until it is told to stop. */
  async run(): Promise<void> {
    const { config, runtimeDir, stub } = this.#plan;
    sweepHeld(runtimeDir, this.#log.for("input"));
    for (let i = 0; i < stub.count; i++) {
      const name = `stub${i}`;
      const make = () => makeStubAdapters(stub.rateHz);
      const outcome = this.#bus.roster.attach({ name, vmid: 0, make });
      if (!outcome.ok) this.#log.error(`cannot attach ${name}: ${outcome.reason}`);
    }
    this.#discovery.attachConfigured(config.endpoints);
    this.#hosts.start();
    this.#serveChannels(config.channels);
    await Promise.all([this.#vms.loading, this.#channels.loading]);
    this.#report({ type: "ready" });
    this.#bus.loop.defer(this.#bindShim);
    try {
      await this.#serve();
    } finally {
      // The audit trail is written however the daemon ends.
      this.#bus.core.audit.writeLines();
    }
    this.#dispose();
    this.#report({ type: "stopped" });
  }

  /** Runs the loop until it stops; while code is being loaded, one turn at a time. */
  async #serve(): Promise<void> {
    const { loop } = this.#bus;
    while (!loop.stopped) {
      loop.run();
      while ((this.#vms.loading ?? this.#channels.loading) !== undefined && !loop.stopped) {
        loop.turn(0);
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    }
  }

  #serveChannels(channels: readonly ChannelConfig[]): void {
    if (channels.length > 0 || !this.#channels.isAbsent) {
      this.#channels.do((servers) => servers.serve(channels));
    }
  }

  /** Binds the shim's remaining symbols, one group per turn, so that attaching a VM need not wait for it. */
  readonly #bindShim = (): void => {
    if (bindNextGroup()) this.#bus.loop.defer(this.#bindShim);
  };

  /** The handlers of the main thread's messages. */
  #handlers(): InboxHandlers {
    const { core, loop, listener } = this.#bus;
    return {
      [INBOX.STOP]: () => this.#stop(),
      [INBOX.CONFIG_PIECE]: (message) => this.#reload.piece(message),
      [INBOX.CONFIG]: (message) => {
        // A daemon that is stopping attaches nothing.
        if (!this.#shutdown.hasBegun) this.#reload.last(message);
      },
      [INBOX.SCANNED]: (message) => this.#scanner.onMessage(message),
      [INBOX.RAM]: (message) => this.#scanner.onRam(message),
      [INBOX.FRAME]: (message) => submitForeign(core, this.#log, message),
      [INBOX.METRICS]: (message) => {
        const id = new DataView(message.buffer).getUint32(0, true);
        this.#report({ type: "metrics", id, text: renderMetrics(core, loop, listener) });
      },
      [INBOX.PROBED]: (message) =>
        this.#discovery.probed(
          JSON.parse(new TextDecoder().decode(message)) as FoundVm[],
          () => this.#report({ type: "probed" }),
        ),
      [INBOX.PING]: () => this.#report({ type: "alive" }),
    };
  }

  /** The sockets' folder was removed and made again: its other contents are made again, and read. */
  #listenAgain(socket: OwnedFd): void {
    assert(!this.#shutdown.hasBegun, "nothing is made anew when the daemon stops");
    this.#bus.listener.listenOn(socket);
    if (this.#plan.config.discovery.triggerDir === undefined) {
      Deno.mkdirSync(defaultTriggerDir(this.#plan), { recursive: true, mode: 0o755 });
    }
    this.#discovery.lookAgain();
    this.#report({ type: "listening-again" });
  }

  #stop(): void {
    if (this.#shutdown.hasBegun) return;
    this.#log.info("stopping");
    this.#bus.listener.close();
    this.#socketWatch.stop();
    this.#bus.regranter.stop();
    this.#discovery.stop();
    this.#channels[Symbol.dispose]();
    this.#shutdown.begin();
  }

  #dispose(): void {
    this.#inbox[Symbol.dispose]();
    this.#socketWatch[Symbol.dispose]();
    this.#bus.listening.close();
    this.#hosts.stop();
    this.#vms[Symbol.dispose]();
    this.#discovery[Symbol.dispose]();
    disposeBus(this.#bus);
    this.#logWriter[Symbol.dispose]();
    this.#bus.loop[Symbol.dispose]();
  }
}

// By their URLs, because Deno loads and keeps modules of literal `import()`s before the thread starts.
function loadEndpointMaker(): Promise<typeof import("./endpoint_maker.ts")> {
  const { href } = new URL("./endpoint_maker.ts", import.meta.url);
  return import(href);
}

function loadChannelServers(): Promise<typeof import("./channel_server.ts")> {
  const { href } = new URL("./channel_server.ts", import.meta.url);
  return import(href);
}

/** Whether a uid is one of these users, given by name or number. */
function isOneOf(uid: number, users: readonly string[], lookup: UserDatabase): boolean {
  return users.some((user) => uid === (/^[0-9]+$/.test(user) ? Number(user) : lookup.uidOf(user)));
}

/** The default trigger directory. */
function defaultTriggerDir({ runtimeDir }: LoopPlan): string {
  return `${runtimeDir}/endpoints.d`;
}
