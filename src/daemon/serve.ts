/**
 * `vmsig serve`: the main thread of the daemon. It makes the loop's thread, handles signals, and does
 * everything that the loop must not do (asynchronous or slow work).
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import { reserveDescriptors } from "../../ffi/owned_fd.ts";
import { Fault, type FaultCode, messageOf } from "../base/fault.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { stderrSink } from "../base/local_time.ts";
import { Log } from "../base/log.ts";
import { oneLine } from "../base/printable.ts";
import { SharedRing } from "../context/shared_ring.ts";
import { DiscoveryUsers } from "./discovery_users.ts";
import { FirstLook } from "./first_look.ts";
import type { HostWatch } from "./host_watch.ts";
import { MetricsServer } from "./metrics_server.ts";
import { PerceptionHost } from "./perception_host.ts";
import { ServiceManager } from "./service_manager.ts";
import { configMessages } from "./config_messages.ts";
import { InboxWriter } from "./inbox_writer.ts";
import { LatePart } from "./late_part.ts";
import type { LoopThread } from "./loop_thread.ts";
import { RuntimeLock } from "./runtime_lock.ts";
import { readConfig } from "./serve_plan.ts";
import { limitStop } from "./stop_limit.ts";
import { systemUsers } from "./system_users.ts";
import { INBOX, type LoopPlan, type LoopReport, type ServeOptions } from "./plan.ts";

const INBOX_BYTES = 1 << 20;
/** Limit of messages queued for the loop, above which pages of metrics are refused. */
const MAX_WAITING = 1024;
/**
 * Descriptors per VM: a monitor, a few files of RAM for reading and writing, the held record, three uinput
 * devices; and the same again while it is replaced.
 */
const FDS_PER_ENDPOINT = 24;
/** Descriptors that Deno and the daemon's own threads have open. */
const OWN_FDS = 256;
const LOCK_RETRY_MS = 1000;

/**
 * Serves until SIGTERM or SIGINT.
 *
 * @param options what to serve
 * @param onReady called when the control socket and the metrics socket listen, and the VMs found by the first
 *   probe are in the roster
 * @param thread the loop's thread, without a plan; it ends with the daemon
 * @throws {Fault} when it cannot start
 */
export async function serve(
  options: ServeOptions,
  onReady: (socketPath: string) => void,
  thread: LoopThread,
): Promise<void> {
  const { config, configPath, socketPath, runtimeDir, stub } = options;
  // Locked until everything in the directory has been removed.
  using lock = new RuntimeLock(runtimeDir);
  using bell = EventFd.create();
  const inbox = SharedRing.create(INBOX_BYTES, bell.fd);
  using writer = new InboxWriter(inbox);
  const journal = (Deno.env.get("JOURNAL_STREAM") ?? "") !== "";
  const plan: LoopPlan = { config, socketPath, runtimeDir, stub, inbox: inbox.handle, journal };
  const log = new Log("vmsig", config.daemon.log, stderrSink(journal), journal);
  const manager = new ServiceManager((name) => Deno.env.get(name), log);
  const ownUid = Deno.uid() ?? -1;
  const users = new DiscoveryUsers(config.discovery.users, systemUsers(monotonicClock), ownUid, log);
  const ended = Promise.withResolvers<void>();
  const fail = (message: string): void => ended.reject(new Fault("refused", `Cannot continue: ${message}`));
  const firstLook = new FirstLook();
  using hostWatch = new LatePart(async () => {
    const { HostWatch } = await import("./host_watch.ts");
    return new HostWatch({
      tell: (found) => {
        writer.replace([[INBOX.PROBED, new TextEncoder().encode(JSON.stringify(found))]]);
        firstLook.told();
        return true;
      },
      users: () => users.uids(),
      log,
    });
  }, fail);
  // The loop's thread takes longer to load.
  if (config.discovery.probe) hostWatch.do(() => {});
  await using metrics = new MetricsServer(`${runtimeDir}/metrics.sock`, (id) => {
    // With this many unread pages queued, another one would come too late as well.
    if (writer.waiting >= MAX_WAITING) return false;
    writer.send(INBOX.METRICS, new Uint8Array(new Uint32Array([id]).buffer));
    return true;
  });
  const serving = `STATUS=serving on ${socketPath}`;
  let watchdog: ReturnType<typeof setInterval> | undefined;
  let isStopping = false;
  const ready = async (): Promise<void> => {
    metrics.start(log);
    // It takes 10 to 30 ms, which would delay the start or the loop: so it runs while the host is probed, or
    // afterwards.
    const reserve = () =>
      reserveDescriptors(config.daemon.maxControls + MAX_ENDPOINTS * FDS_PER_ENDPOINT + OWN_FDS);
    const look = config.discovery.probe ? looked(hostWatch) : undefined;
    if (look !== undefined) reserve();
    if (!await firstLook.done(look)) {
      log.warn(
        "the first scan for this host's VMs takes long; the daemon is ready, and attaches them as it finds them",
      );
    }
    if (isStopping) return;
    onReady(socketPath);
    if (look === undefined) reserve();
    manager.notify("READY=1", serving);
    if (manager.watchdogMs > 0) {
      watchdog = setInterval(() => writer.sendFirst(INBOX.PING), manager.watchdogMs);
      Deno.unrefTimer(watchdog);
    }
  };
  using perception = new PerceptionHost(socketPath, config.daemon.log, journal, log);
  perception.warnIfUnderprivileged(config.admission);
  using scanHost = new LatePart(async () => {
    const { ScanHost } = await import("./scan_host.ts");
    return new ScanHost(inbox, log);
  }, fail);
  const stop = (): void => {
    isStopping = true;
    manager.notify("STOPPING=1");
    writer.sendFirst(INBOX.STOP);
    limitStop();
  };
  let reloads = 0;
  const reload = (): void => {
    // A large config occupies this thread, which forwards the loop's heartbeats, for some time.
    if (manager.watchdogMs > 0) manager.notify("WATCHDOG=1");
    manager.notify("RELOADING=1", `MONOTONIC_USEC=${Math.round(monotonicClock.nowNs() / 1000)}`);
    try {
      const next = readConfig(configPath, true);
      // The loop answers the last piece with "reloaded".
      writer.replace(configMessages(next, ++reloads));
      perception.warnIfUnderprivileged(next.admission);
      users.replace(next.discovery.users);
      if (config.discovery.probe) hostWatch.do((watch) => void watch.look());
    } catch (error) {
      // The old config stays in force as a whole.
      log.error(messageOf(error));
      manager.notify(
        "READY=1",
        `STATUS=the config was not reloaded, the old one stays in effect: ${oneLine(messageOf(error))}`,
      );
    }
  };
  // The folder exists again: lock it unless another daemon has done so meanwhile; in that case try again
  // until that one ends.
  let toldOfLock = "";
  const comeBack = (): void => {
    try {
      lock.renew();
      toldOfLock = "";
      void metrics.restart(log);
    } catch (error) {
      const why = messageOf(error);
      if (why !== toldOfLock) log.error(why);
      toldOfLock = why;
      Deno.unrefTimer(setTimeout(comeBack, LOCK_RETRY_MS));
    }
  };
  const onReport = (data: LoopReport): void => {
    switch (data.type) {
      case "ready":
        return void ready().catch((error) => ended.reject(error));
      case "probed":
        return firstLook.probed();
      case "failed":
        return ended.reject(new Fault(data.code as FaultCode, data.message));
      case "stopped":
        return ended.resolve();
      case "alive":
        return manager.notify("WATCHDOG=1");
      case "reloaded":
        return manager.notify("READY=1", serving);
      case "listening-again":
        return comeBack();
      case "metrics":
        return metrics.take(data.id, data.text + perceptionMetrics(perception.replaced));
      case "frames-wanted":
        return perception.want();
      case "scan":
        // A guest whose memory is scanned may have a screen as well.
        perception.want();
        return scanHost.do((host) => host.take(data.call));
      case "open-ram":
        return scanHost.do((host) => host.openRam(data.call));
      case "close-ram":
        return scanHost.do((host) => host.closeRam(data.fds));
    }
  };
  Deno.addSignalListener("SIGTERM", stop);
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGHUP", reload);
  try {
    thread.run(plan, onReport, (message) => {
      fail(`the loop's thread failed: ${message}`);
    });
    await ended.promise;
  } finally {
    isStopping = true;
    Deno.removeSignalListener("SIGTERM", stop);
    Deno.removeSignalListener("SIGINT", stop);
    Deno.removeSignalListener("SIGHUP", reload);
    if (watchdog !== undefined) clearInterval(watchdog);
    thread[Symbol.dispose]();
  }
}

/** Starts watching the host; resolves when the first probe is done. */
function looked(hostWatch: LatePart<HostWatch>): Promise<void> {
  return new Promise((resolve) => hostWatch.do((watch) => resolve(watch.start())));
}

/** Metrics that the loop's thread does not have, in the format of its page. */
function perceptionMetrics(replaced: number): string {
  const name = "vmsig_perception_replaced_total";
  return `# HELP ${name} Perception workers that failed or hung, and were replaced.\n# TYPE ${name} counter\n${name} ${replaced}\n`;
}
