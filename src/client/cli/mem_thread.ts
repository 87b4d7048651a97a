/**
 * The thread on which `vmsig join` answers queries about guests' memory (asked_worker.ts): reading a large
 * guest takes seconds of processor time, during which the host's heartbeats must be sent and other users'
 * commands carried out.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { AskedWorker } from "../../base/asked_worker.ts";
import { Fault, type FaultCode } from "../../base/fault.ts";
import type { MemoryQuestion } from "../../nats/join/bridge_session.ts";
import type { MemoryOrder, MemoryReport } from "./mem_thread_messages.ts";

/** How long the thread is kept without a query, ms. */
const IDLE_MS = 60_000;
/** Time limit of an answer, ms. */
const HANGS_MS = 60_000;

/** The thread. */
export class MemoryThread implements Disposable {
  readonly #socketPath: string;
  readonly #open = new Map<number, PromiseWithResolvers<object>>();
  readonly #worker = new AskedWorker<MemoryOrder, MemoryReport>({
    start: () => new Worker(new URL("./mem_thread_worker.ts", import.meta.url), { type: "module" }),
    limitMs: HANGS_MS,
    idleMs: IDLE_MS,
    onAnswer: (report) => this.#answer(report),
    onFailed: (ids, why) => this.#onFailed(ids, why),
    // It closes its clients and unmaps what it has mapped.
    onIdle: (worker) => worker.postMessage("stop"),
  });
  #last = 0;

  /** Starts without a thread. @param socketPath the daemon's control socket */
  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Answers a query. @throws {Fault} */
  async ask({ user, name, endpoint, body }: MemoryQuestion): Promise<object> {
    const id = ++this.#last;
    const answer = Promise.withResolvers<object>();
    this.#open.set(id, answer);
    this.#worker.ask({ id, socketPath: this.#socketPath, user, name, endpoint, body });
    return await answer.promise;
  }

  /** Ends the thread; open queries fail. */
  [Symbol.dispose](): void {
    this.#worker.fail("this host leaves");
  }

  #answer(report: MemoryReport): void {
    const answer = this.#open.get(report.id);
    assert(answer !== undefined, "what is answered was asked");
    this.#open.delete(report.id);
    if (report.is === "answered") answer.resolve(report.lines);
    else answer.reject(new Fault(report.code as FaultCode, report.text));
  }

  #onFailed(ids: readonly number[], why: string): void {
    const fault = new Fault("timed-out", `Cannot read that memory: ${why}`);
    for (const id of ids) {
      this.#open.get(id)?.reject(fault);
      this.#open.delete(id);
    }
  }
}
