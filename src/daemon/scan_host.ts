/**
 * The main thread's side of the scanner: one worker for all endpoints (asked_worker.ts), which scans guests'
 * RAM one after the other. A scan that its worker does not answer, because it fails or takes longer than any
 * honest guest makes it, is answered as failed.
 *
 * RAM is opened on threads of their own (ram_opener.ts): it waits for no scan, and no QEMU makes the main
 * thread wait.
 * @module
 */
import { assert } from "../base/assert.ts";
import { closeFdElsewhere } from "../../ffi/owned_fd.ts";
import { AskedWorker } from "../base/asked_worker.ts";
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
  readonly #worker: AskedWorker<ScanCall, ScanReturn>;
  #current: ScanCall | null = null;
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
    this.#worker = new AskedWorker({
      start: () => new Worker(new URL("./scan_worker.ts", import.meta.url), { type: "module" }),
      limitMs: LOOK_LIMIT_MS,
      idleMs,
      onAnswer: (answer) => this.#answer(answer),
      onFailed: (_ids, why) => this.#onFailed(why),
    });
    this.#opener = new RamOpener({
      answer: (opened) => this.#hand(INBOX.RAM, opened),
      closeRam: (fds) => this.closeRam(fds),
      log: this.#log,
    });
  }

  /** Whether it has a worker now. */
  get hasWorker(): boolean {
    return this.#worker.isRunning;
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
    this.#worker[Symbol.dispose]();
  }

  #next(): void {
    if (this.#closed || this.#current !== null) return;
    const call = this.#queue.shift();
    if (call === undefined) return;
    this.#current = call;
    this.#worker.ask(call);
  }

  #onFailed(why: string): void {
    const call = this.#current;
    this.#log.error("the scanner is replaced", { why, vm: call?.request.name });
    if (call !== null) this.#answer({ id: call.id, answer: { outcome: "failed", detail: why } });
  }

  #answer(answer: ScanReturn): void {
    assert(this.#current?.id === answer.id, "what was asked is answered, once");
    this.#current = null;
    this.#hand(INBOX.SCANNED, answer);
    this.#next();
  }

  #hand(tag: number, answer: ScanReturn | RamReturn): void {
    if (this.#closed || this.#inbox.push(tag, encoder.encode(JSON.stringify(answer)))) return;
    setTimeout(() => this.#hand(tag, answer), RETRY_MS);
  }
}
