/**
 * The main thread's side of perception: starts its Worker when there is a guest whose screen can be read,
 * restarts it when it fails or hangs, and ends it with the daemon. The Worker is a control like any other,
 * behind the control socket: a daemon without guests does not start it, and one whose Worker stalls is not
 * affected.
 *
 * A Worker counts as hanging when it has sent no heartbeat for some time. It cannot be terminated cleanly:
 * its connection is shut down from here, and its mapped memory stays until the daemon ends. This happens only
 * through a defect, and is logged and counted.
 * @module
 */
import { assert } from "../base/assert.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import { statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import { closeFd } from "../../ffi/owned_fd.ts";
import { SHUTDOWN, shutdown } from "../../ffi/unix_socket.ts";
import type { AdmissionRule } from "../access/admission.ts";
import type { Log, LogLevel } from "../base/log.ts";
import { perceptionLacks } from "./perception_rights.ts";
import type { PerceptionPlan, PerceptionReport } from "./perception_worker.ts";
import { systemUsers } from "./system_users.ts";

const RESTART_MS = 5000;
/** Interval at which the Worker's heartbeat is checked, ms. */
const CHECK_MS = 5000;
/**
 * Checks in a row without a heartbeat after which the Worker hangs. Checks are counted and not time, because
 * a main thread that was itself delayed makes one check instead of many, and may not have received the
 * Worker's messages yet.
 */
const SILENT_CHECKS = 4;
/** Time limit until the Worker's first heartbeat, ms. */
const START_MS = 60_000;

/** Overrides for tests. */
export interface PerceptionHostOptions {
  /** The Worker's module. */
  readonly workerUrl?: URL;
  /** Interval of heartbeat checks, ms. */
  readonly checkMs?: number;
  /** Pause after a failure, ms. */
  readonly restartMs?: number;
}

/** A Worker and how to end it. */
interface Running {
  readonly worker: Worker;
  /**
   * Each Worker has its own eventfd, so that ending a hanging one does not end its successor. It stays open,
   * because the Worker may still use it.
   */
  readonly bell: EventFd;
  /** Its connection to the daemon, if it has one. */
  connection: { readonly fd: number; readonly ino: number } | undefined;
  /** When it was started, ms; 0 after its first heartbeat. */
  startedMs: number;
  silent: number;
}

/** Keeps perception running. */
export class PerceptionHost implements Disposable {
  readonly #socketPath: string;
  readonly #level: LogLevel;
  readonly #journal: boolean;
  readonly #log: Log;
  readonly #options: PerceptionHostOptions;
  #running: Running | null = null;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #check: ReturnType<typeof setInterval> | undefined;
  #replaced = 0;
  #closed = false;

  /** Makes one; its Worker is started by {@linkcode want}. */
  constructor(
    socketPath: string,
    level: LogLevel,
    journal: boolean,
    log: Log,
    options: PerceptionHostOptions = {},
  ) {
    this.#socketPath = socketPath;
    this.#level = level;
    this.#journal = journal;
    this.#log = log.for("perception");
    this.#options = options;
  }

  /** Number of Workers that failed or hung and were replaced. */
  get replaced(): number {
    return this.#replaced;
  }

  /** Warns once if the rules do not give perception what it needs; called with each new set of rules. */
  warnIfUnderprivileged(rules: readonly AdmissionRule[]): void {
    const uid = Deno.uid() ?? -1;
    const lacks = perceptionLacks(rules, { uid, gid: Deno.gid() ?? -1 }, systemUsers(monotonicClock));
    if (lacks.length === 0) return;
    this.#log.warn(
      "it reports no frames and cursors: the first [[admission]] rule that matches the daemon's own user does not grant what it needs; " +
        "grant it there, or put a rule for that user first",
      { uid, lacks: lacks.join(", ") },
    );
  }

  /** A guest's screen can be read: starts the Worker if it does not run. */
  want(): void {
    if (this.#closed || this.#running !== null || this.#restart !== undefined) return;
    const url = this.#options.workerUrl ?? new URL("./perception_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const running: Running = {
      worker,
      bell: EventFd.create(),
      connection: undefined,
      startedMs: performance.now(),
      silent: 0,
    };
    this.#running = running;
    worker.onmessage = ({ data }: MessageEvent<PerceptionReport>) => this.#take(running, data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#failed(running, `it failed, and is started again: ${event.message}`);
    };
    const plan: PerceptionPlan = {
      socketPath: this.#socketPath,
      bellFd: running.bell.fd,
      ring: true,
      log: this.#level,
      journal: this.#journal,
    };
    worker.postMessage(plan);
    this.#check = setInterval(() => this.#look(running), this.#options.checkMs ?? CHECK_MS);
    Deno.unrefTimer(this.#check);
  }

  /** Ends the Worker. */
  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#restart);
    clearInterval(this.#check);
    // It sits in epoll_wait, which terminate() does not interrupt. The eventfd stays open, because the Worker
    // may still use it.
    this.#running?.bell.signal();
    this.#running?.worker.terminate();
  }

  #take(running: Running, report: PerceptionReport): void {
    running.startedMs = running.silent = 0;
    if (report.type === "joined") running.connection = report;
    else if (report.type === "failed") {
      this.#failed(running, `it failed, and is started again: ${report.message}`);
    }
  }

  #look(running: Running): void {
    // A busy machine is slow to load a Worker; one that is ended meanwhile may have joined without having
    // reported it.
    if (running.startedMs > 0 && performance.now() - running.startedMs < START_MS) return;
    if (running.startedMs === 0 && ++running.silent < SILENT_CHECKS) return;
    this.#failed(running, "it hangs, and is replaced; memory that it had mapped stays until the daemon ends");
    // The daemon removes it from the bus now. Its descriptor is closed once the thread has certainly ended.
    onConnection(running, (fd) => shutdown(fd, SHUTDOWN.BOTH));
  }

  #failed(running: Running, told: string): void {
    // A Worker that throws may be reported in two ways; one that was already replaced is ignored.
    if (this.#closed || this.#running !== running) return;
    this.#replaced++;
    this.#log.error(told, { replaced: this.#replaced });
    clearInterval(this.#check);
    running.bell.signal();
    running.worker.terminate();
    this.#running = null;
    assert(this.#restart === undefined, "one Worker at a time is started again");
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      onConnection(running, closeFd);
      this.want();
    }, this.#options.restartMs ?? RESTART_MS);
    Deno.unrefTimer(this.#restart);
  }
}

/** Acts on a Worker's connection, unless it has none or the descriptor's number has been reused. */
function onConnection({ connection }: Running, act: (fd: number) => void): void {
  if (connection === undefined) return;
  try {
    if (statFd(connection.fd).ino === connection.ino) act(connection.fd);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
  }
}
