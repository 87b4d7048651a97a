/**
 * The thread on which `vmsig join` has questions about guests' memory answered: to read a large guest takes
 * seconds of a processor, and meanwhile the host must be heard of, and other people's commands done. It
 * begins with the first question and ends when none has come for a while; one that hangs is ended, and says
 * so.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault, type FaultCode } from "../../base/fault.ts";
import type { MemoryQuestion } from "../../nats/join/bridge_session.ts";
import type { MemoryOrder, MemoryReport } from "./mem_thread_messages.ts";

/** Without a question for so long it ends, ms. */
const IDLE_MS = 60_000;
/** Longer than any answer may take, ms. */
const HANGS_MS = 60_000;

/** The thread. */
export class MemoryThread implements Disposable {
  readonly #socketPath: string;
  readonly #open = new Map<number, PromiseWithResolvers<object>>();
  #worker: Worker | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #last = 0;

  /** Starts nothing yet. @param socketPath the daemon's */
  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Has a question answered. @throws {Fault} */
  async ask({ user, name, endpoint, body }: MemoryQuestion): Promise<object> {
    clearTimeout(this.#idle);
    const worker = this.#worker ??= this.#start();
    const id = ++this.#last;
    const answer = Promise.withResolvers<object>();
    this.#open.set(id, answer);
    const timer = setTimeout(() => this.#end(`no answer within ${HANGS_MS / 1000} s`), HANGS_MS);
    const order: MemoryOrder = { id, socketPath: this.#socketPath, user, name, endpoint, body };
    worker.postMessage(order);
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      assert(!this.#open.has(id), "what is answered is not open");
      if (this.#open.size === 0) this.#idle = setTimeout(() => this.#stop(), IDLE_MS);
    }
  }

  /** Ends it; what is open is answered so. */
  [Symbol.dispose](): void {
    this.#end("this host leaves");
  }

  #start(): Worker {
    const worker = new Worker(new URL("./mem_thread_worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<MemoryReport>) => {
      const answer = this.#open.get(data.id);
      this.#open.delete(data.id);
      if (data.is === "answered") answer?.resolve(data.lines);
      else answer?.reject(new Fault(data.code as FaultCode, data.text));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(event.message);
    };
    return worker;
  }

  /** Nobody asks any more: it ends in order, with what it has mapped. */
  #stop(): void {
    assert(this.#open.size === 0, "a thread that is asked is not idle");
    this.#worker?.postMessage("stop");
    this.#worker = undefined;
  }

  #end(why: string): void {
    clearTimeout(this.#idle);
    this.#worker?.terminate();
    this.#worker = undefined;
    const fault = new Fault("timed-out", `Cannot read that memory: ${why}`);
    for (const { reject } of this.#open.values()) reject(fault);
    this.#open.clear();
  }
}
