/**
 * Opens QEMUs' RAM on threads that may block: the owner of a QEMU can make reading its /proc entries
 * arbitrarily slow (with a FUSE file under its command line).
 *
 * Every request is answered exactly once: by its worker, or as `timed-out` when that takes too long. A worker
 * that hangs is abandoned and replaced; if it returns after all, whatever it has opened is closed, and it
 * ends. A call that hangs in the kernel cannot be interrupted from here, so a VM whose last request still
 * hangs gets no further request, and when too many hang, no VM does. One worker is kept while there are
 * requests, and ends after a while without any.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { RamAnswer } from "../adapters/memctx/scan_port.ts";
import { MAX_RAM_OPENERS } from "../base/limits.ts";
import type { Log } from "../base/log.ts";
import type { RamCall, RamReturn } from "./scan_client.ts";

/** Time limit of one opening, ms: 2 is usual, a QEMU that is swapped out takes a second. */
const LIMIT_MS = 5000;
/** Time limit for a thread to start on a busy machine, ms. */
const START_MS = 30_000;
/** How long a request waits behind others before it gets a thread of its own, ms. */
const PATIENCE_MS = 100;
/** How long a worker may be idle before it ends, ms. */
const IDLE_MS = 10_000;

/** Messages from a worker: it has started, then an answer per request. */
export type RamWorkerSays = "ready" | RamReturn;

/** The options of an opener. */
export interface RamOpenerOptions {
  /** Called with the answer to a request, exactly once. The receiver owns the descriptors. */
  readonly answer: (opened: RamReturn) => void;
  /** Closes descriptors that are no longer wanted. */
  readonly closeRam: (fds: readonly number[]) => void;
  /** Logs workers that hang. */
  readonly log: Log;
  /** Makes a worker; replaced by tests. */
  readonly makeWorker?: () => Worker;
  /** Instead of {@linkcode LIMIT_MS}. */
  readonly limitMs?: number;
  /** Instead of {@linkcode IDLE_MS}. */
  readonly idleMs?: number;
}

/** A worker and its requests. */
interface Opener {
  readonly worker: Worker;
  /** Whether it has started. */
  ready: boolean;
  /** Its current request; null when idle. */
  call: RamCall | null;
  /** Whether that request has already been answered as timed-out. */
  late: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Opens RAM. */
export class RamOpener implements Disposable {
  readonly #options: RamOpenerOptions;
  readonly #openers = new Set<Opener>();
  #queue: RamCall[] = [];
  #patience: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Makes one; its worker is started by the first request. */
  constructor(options: RamOpenerOptions) {
    this.#options = options;
  }

  /** Number of workers, including those that hang. */
  get workers(): number {
    return this.#openers.size;
  }

  /** Takes a request. */
  take(call: RamCall): void {
    if (this.#closed) return;
    this.#queue.push(call);
    this.#refuseHopeless();
    this.#next();
  }

  /** Ends the workers; one that hangs ends with the process. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#queue = [];
    clearTimeout(this.#patience);
    for (const opener of this.#openers) this.#end(opener);
  }

  /**
   * Assigns requests to workers; the requests of one VM run one after the other, so that a VM takes at most
   * one thread.
   */
  #next(): void {
    for (let call = this.#ready(); call !== undefined; call = this.#ready()) {
      const openers = [...this.#openers];
      const rests = openers.find((opener) => opener.call === null);
      if (rests === undefined && openers.some((opener) => !opener.late)) break;
      this.#begin(rests ?? this.#start(), call);
    }
    if (this.#patience !== undefined || this.#ready() === undefined) return;
    // All workers are busy, mostly for another 2 ms.
    this.#patience = setTimeout(() => this.#helpOut(), PATIENCE_MS);
  }

  #helpOut(): void {
    this.#patience = undefined;
    const call = this.#ready();
    if (call !== undefined && this.#openers.size < 2 * MAX_RAM_OPENERS) this.#begin(this.#start(), call);
    this.#next();
  }

  /** The oldest request of a VM that has none running. */
  #ready(): RamCall | undefined {
    const busy = new Set([...this.#openers].map((opener) => opener.call?.request.name));
    return this.#queue.find((call) => !busy.has(call.request.name));
  }

  /** Requests of VMs whose worker hangs. */
  #refuseHopeless(): void {
    const hanging = [...this.#openers].filter((opener) => opener.late);
    const names = new Set(hanging.map((opener) => opener.call?.request.name));
    const isFull = hanging.length >= MAX_RAM_OPENERS;
    const hopeless = this.#queue.filter((call) => isFull || names.has(call.request.name));
    if (hopeless.length === 0) return;
    this.#queue = this.#queue.filter((call) => !hopeless.includes(call));
    for (const call of hopeless) {
      const own = names.has(call.request.name);
      this.#fail(
        call,
        own
          ? "an earlier request for it is still blocked"
          : "too many requests for other processes are blocked",
      );
    }
  }

  #start(): Opener {
    assert(this.#openers.size < 2 * MAX_RAM_OPENERS, "no more threads open RAM than may");
    const { makeWorker = startWorker } = this.#options;
    const opener: Opener = { worker: makeWorker(), ready: false, call: null, late: false, timer: undefined };
    opener.worker.onmessage = ({ data }: MessageEvent<RamWorkerSays>) => {
      if (data === "ready") this.#onReady(opener);
      else this.#onAnswer(opener, data);
    };
    opener.worker.onerror = (event) => {
      event.preventDefault();
      this.#onDeath(opener, event.message);
    };
    this.#openers.add(opener);
    return opener;
  }

  #begin(opener: Opener, call: RamCall): void {
    assert(opener.call === null && !opener.late, "an opener opens for one VM at a time");
    this.#queue = this.#queue.filter((other) => other !== call);
    opener.call = call;
    this.#limit(opener, opener.ready ? 0 : START_MS);
    opener.worker.postMessage(call);
  }

  #onReady(opener: Opener): void {
    opener.ready = true;
    if (opener.call !== null && !opener.late) this.#limit(opener, 0);
  }

  #limit(opener: Opener, moreMs: number): void {
    const { limitMs = LIMIT_MS } = this.#options;
    clearTimeout(opener.timer);
    opener.timer = setTimeout(() => this.#giveUp(opener), limitMs + moreMs);
  }

  #onAnswer(opener: Opener, { id, answer }: RamReturn): void {
    if (opener.late || this.#closed || id !== opener.call?.id) {
      // It was answered already, or its receiver is gone.
      if (answer.outcome === "open") this.#options.closeRam(answer.ram.fds);
      if (opener.late) {
        this.#options.log.info("a QEMU whose RAM was slow to open has answered", {
          vm: opener.call?.request.name,
        });
        this.#end(opener);
      }
      return;
    }
    this.#rest(opener);
    this.#options.answer({ id, answer });
    this.#next();
  }

  #rest(opener: Opener): void {
    assert(opener.call !== null && !opener.late, "a thread rests when it has answered in time");
    clearTimeout(opener.timer);
    opener.call = null;
    opener.timer = setTimeout(() => this.#end(opener), this.#options.idleMs ?? IDLE_MS);
    Deno.unrefTimer(opener.timer);
  }

  #giveUp(opener: Opener): void {
    const { call } = opener;
    if (call === null) return;
    opener.late = true;
    this.#fail(call, "its process cannot be inspected");
    this.#refuseHopeless();
    this.#next();
  }

  #onDeath(opener: Opener, why: string): void {
    const { call, late } = opener;
    this.#options.log.error("a thread that opens RAM is replaced", { why, vm: call?.request.name });
    this.#end(opener);
    if (call !== null && !late) this.#answer(call, { outcome: "failed", code: "refused", detail: why });
    this.#next();
  }

  #end(opener: Opener): void {
    clearTimeout(opener.timer);
    this.#openers.delete(opener);
    opener.worker.terminate();
  }

  #fail(call: RamCall, why: string): void {
    const { name, pid } = call.request;
    this.#options.log.error("RAM cannot be opened in time", { vm: name, pid, why });
    const detail = `Cannot open the RAM of QEMU ${pid} in time: ${why}`;
    this.#answer(call, { outcome: "failed", code: "timed-out", detail });
  }

  #answer({ id }: RamCall, answer: RamAnswer): void {
    this.#options.answer({ id, answer });
  }
}

function startWorker(): Worker {
  return new Worker(new URL("./ram_worker.ts", import.meta.url), { type: "module" });
}
