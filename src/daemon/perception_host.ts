/**
 * The main thread's side of perception: starts its Worker when there is a guest to look into, starts it again
 * when it fails or hangs, and ends it with the daemon. The Worker is a control like any other, behind the
 * control socket: a daemon without guests does not pay for it, and one whose Worker stalls does not notice.
 *
 * A Worker hangs when it has sent no heartbeat for a while. It cannot be unwound: its connection is ended
 * from here, and the memory that it had mapped stays until the daemon ends. That is the price of a defect,
 * and it is told and counted.
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
/** How often the Worker's heartbeat is checked. */
const CHECK_MS = 5000;
/**
 * So many looks in a row at a silent Worker: it hangs. They are counted rather than timed, because a main
 * thread that was held up itself makes one look of many, and then has not yet heard what the Worker said
 * meanwhile.
 */
const SILENT_CHECKS = 4;
/** How long a Worker may take until its first heartbeat, ms. */
const START_MS = 60_000;

/** What a test sets otherwise. */
export interface PerceptionHostOptions {
  /** The Worker's module. */
  readonly workerUrl?: URL;
  /** How often it is looked whether it hangs, ms. */
  readonly checkMs?: number;
  /** How long it rests after a failure, ms. */
  readonly restartMs?: number;
}

/** A Worker with what ends it. */
interface Running {
  readonly worker: Worker;
  /**
   * One of its own, so that one that hangs is rung for without its successor. It stays open: the Worker may
   * still look at it.
   */
  readonly bell: EventFd;
  /** Its connection to the daemon, once it has one. */
  connection: { readonly fd: number; readonly ino: number } | undefined;
  /** When it was started, ms; 0 after its first heartbeat, from which its time counts. */
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

  /** Makes one; its Worker starts with {@linkcode want}. */
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

  /** How many Workers failed or hung, and were replaced. */
  get replaced(): number {
    return this.#replaced;
  }

  /** Says once that these rules leave perception without what it needs; called with each new set of them. */
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

  /** There is a guest to look into. Starts the Worker when it does not run. */
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
    // It sits in epoll_wait, which terminate() does not end. The bell stays open: the Worker may still be
    // looking at it.
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
    // A busy machine takes its time to load a Worker; one that is ended meanwhile may have joined, and not
    // said so yet.
    if (running.startedMs > 0 && performance.now() - running.startedMs < START_MS) return;
    if (running.startedMs === 0 && ++running.silent < SILENT_CHECKS) return;
    this.#failed(running, "it hangs, and is replaced; memory that it had mapped stays until the daemon ends");
    // The daemon takes it off the bus now. Its descriptor is closed when the thread has surely ended.
    onConnection(running, (fd) => shutdown(fd, SHUTDOWN.BOTH));
  }

  #failed(running: Running, told: string): void {
    // A Worker that throws may report it both ways; one that was replaced is ignored.
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

/** Does something to a Worker's connection, unless there is none or its number is something else's by now. */
function onConnection({ connection }: Running, act: (fd: number) => void): void {
  if (connection === undefined) return;
  try {
    if (statFd(connection.fd).ino === connection.ino) act(connection.fd);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
  }
}
