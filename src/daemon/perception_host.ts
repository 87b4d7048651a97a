/**
 * The main thread's side of perception: starts its Worker when there is a guest to look into, starts it again when it fails, and ends it with the daemon. The Worker is a control like any
 * other, behind the control socket: a daemon without guests does not pay for it, and one whose Worker stalls does not notice.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import type { AdmissionRule } from "../access/admission.ts";
import type { Log, LogLevel } from "../base/log.ts";
import { perceptionLacks } from "./perception_rights.ts";
import type { PerceptionPlan, PerceptionReport } from "./perception_worker.ts";
import { systemUsers } from "./system_users.ts";

const RESTART_MS = 5000;

/** Keeps perception running. */
export class PerceptionHost implements Disposable {
  readonly #socketPath: string;
  readonly #level: LogLevel;
  readonly #journal: boolean;
  readonly #log: Log;
  readonly #bell: EventFd = EventFd.create();
  #worker: Worker | null = null;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Makes one; its Worker starts with {@linkcode want}. */
  constructor(socketPath: string, level: LogLevel, journal: boolean, log: Log) {
    this.#socketPath = socketPath;
    this.#level = level;
    this.#journal = journal;
    this.#log = log.for("perception");
  }

  /** Says once that these rules leave perception without what it needs; called with each new set of them. */
  tellOfRules(rules: readonly AdmissionRule[]): void {
    const uid = Deno.uid() ?? -1;
    const lacks = perceptionLacks(rules, { uid, gid: Deno.gid() ?? -1 }, systemUsers(monotonicClock));
    if (lacks.length === 0) return;
    this.#log.warn(
      "it reports no frames and cursors: the first [[admission]] rule that fits the daemon's own user takes from it what it needs; " +
        "give it there, or put a rule for that user in front",
      { uid, lacks: lacks.join(", ") },
    );
  }

  /** There is a guest to look into. Starts the Worker when it does not run. */
  want(): void {
    if (this.#closed || this.#worker !== null || this.#restart !== undefined) return;
    const worker = new Worker(new URL("./perception_worker.ts", import.meta.url), { type: "module" });
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<PerceptionReport>) => {
      if (data.type === "failed") this.#failed(data.message);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#failed(event.message);
    };
    const plan: PerceptionPlan = {
      socketPath: this.#socketPath,
      bellFd: this.#bell.fd,
      ring: true,
      log: this.#level,
      journal: this.#journal,
    };
    worker.postMessage(plan);
  }

  /** Ends the Worker. */
  [Symbol.dispose](): void {
    this.#closed = true;
    if (this.#restart !== undefined) clearTimeout(this.#restart);
    // It sits in epoll_wait, which terminate() does not end. The bell stays open: the Worker may still be looking at it.
    this.#bell.signal();
    this.#worker?.terminate();
  }

  #failed(message: string): void {
    // A Worker that throws may tell of it both ways.
    if (this.#closed || this.#restart !== undefined) return;
    this.#log.error(`it failed, and is started again: ${message}`);
    this.#worker?.terminate();
    this.#worker = null;
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      this.want();
    }, RESTART_MS);
    Deno.unrefTimer(this.#restart);
  }
}
