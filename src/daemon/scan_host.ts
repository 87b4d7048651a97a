/**
 * The main thread's side of the scanner: one worker for all endpoints, started with the first request, which
 * looks through guests' RAM one after the other. A worker that dies, or takes longer than any honest guest
 * makes it, is replaced; what it owed is answered as failed. One that has nothing to do for a while is ended,
 * because it keeps the memory that its last scans took.
 *
 * RAM is opened on threads of their own (ram_opener.ts): it waits for no scan, and no QEMU makes the main
 * thread wait.
 * @module
 */
import { assert } from "../base/assert.ts";
import { closeFdElsewhere } from "../../ffi/owned_fd.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { SharedRing } from "../context/shared_ring.ts";
import type { RamCall, RamReturn, ScanCall, ScanReturn } from "./scan_client.ts";
import { INBOX } from "./plan.ts";
import { RamOpener } from "./ram_opener.ts";

/**
 * How long one look may take: 16 GiB of file-backed RAM take about 2 s, and a guest chooses what is in its
 * memory.
 */
const LOOK_LIMIT_MS = 30_000;
/** How long a worker may have nothing to do. */
const IDLE_MS = 30_000;
/** The loop takes its inbox every turn; a full one is tried again. */
const RETRY_MS = 5;

const encoder = new TextEncoder();

/** Runs scans for the loop. */
export class ScanHost implements Disposable {
  readonly #inbox: SharedRing;
  readonly #log: Log;
  readonly #queue: ScanCall[] = [];
  #worker: Worker | null = null;
  #current: ScanCall | null = null;
  #limit: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  readonly #idleMs: number;
  readonly #opener: RamOpener;
  #closed = false;

  /**
   * Makes one; its worker starts with the first request.
   *
   * @param inbox where the loop takes answers
   * @param idleMs how long it keeps a worker that has nothing to do
   */
  constructor(inbox: SharedRing, log: Log, idleMs: number = IDLE_MS) {
    this.#inbox = inbox;
    this.#log = log.for("scan");
    this.#idleMs = idleMs;
    this.#opener = new RamOpener({
      answer: (opened) => this.#hand(INBOX.RAM, opened),
      closeRam: (fds) => this.closeRam(fds),
      log: this.#log,
    });
  }

  /** Whether it has a worker now. */
  get hasWorker(): boolean {
    return this.#worker !== null;
  }

  /** Takes a request of the loop's. */
  take(call: ScanCall): void {
    this.#queue.push(call);
    this.#next();
  }

  /** Has RAM opened for the loop, which owns the descriptors from then on. */
  openRam(call: RamCall): void {
    this.#opener.take(call);
  }

  /**
   * Closes descriptors of RAM, on yet another thread: the last one may have a guest's whole memory to free.
   */
  closeRam(fds: readonly number[]): void {
    for (const fd of fds) {
      closeFdElsewhere(fd).catch((error) => {
        this.#log.error("cannot close a file of RAM", { why: messageOf(error) });
      });
    }
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#opener[Symbol.dispose]();
    this.#queue.length = 0;
    this.#current = null;
    this.#endWorker();
  }

  #next(): void {
    if (this.#closed || this.#current !== null) return;
    clearTimeout(this.#idle);
    const call = this.#queue.shift();
    if (call === undefined) {
      this.#idle = setTimeout(() => this.#endWorker(), this.#idleMs);
      Deno.unrefTimer(this.#idle);
      return;
    }
    this.#current = call;
    this.#worker ??= this.#startWorker();
    this.#limit = setTimeout(() => this.#fail("it took too long"), LOOK_LIMIT_MS);
    this.#worker.postMessage(call);
  }

  #startWorker(): Worker {
    const worker = new Worker(new URL("./scan_worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<ScanReturn>) => {
      if (worker === this.#worker && data.id === this.#current?.id) this.#answer(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#fail(event.message);
    };
    return worker;
  }

  #fail(why: string): void {
    const call = this.#current;
    this.#log.error("the scanner is replaced", { why, vm: call?.request.name });
    this.#endWorker();
    if (call !== null) this.#answer({ id: call.id, answer: { outcome: "failed", detail: why } });
  }

  #answer(answer: ScanReturn): void {
    assert(this.#current?.id === answer.id, "what was asked is answered, once");
    clearTimeout(this.#limit);
    this.#current = null;
    this.#hand(INBOX.SCANNED, answer);
    this.#next();
  }

  #hand(tag: number, answer: ScanReturn | RamReturn): void {
    if (this.#closed || this.#inbox.push(tag, encoder.encode(JSON.stringify(answer)))) return;
    setTimeout(() => this.#hand(tag, answer), RETRY_MS);
  }

  #endWorker(): void {
    clearTimeout(this.#limit);
    clearTimeout(this.#idle);
    this.#worker?.terminate();
    this.#worker = null;
  }
}
