/**
 * The main thread's side of the scanner: one worker for all endpoints (asked_worker.ts), which scans guests'
 * RAM one after the other. If its worker fails, or takes longer than any honest guest requires, the scan is
 * answered as failed.
 *
 * RAM is opened on separate threads (ram_opener.ts), so that it does not wait for scans, and no QEMU can
 * block the main thread.
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
 * Time limit of one scan, ms: 16 GiB of file-backed RAM take about 2 s, but the guest controls the contents.
 */
const LOOK_LIMIT_MS = 30_000;
/** How long a worker may be idle before it ends, ms. */
const IDLE_MS = 30_000;
/** Retry interval when the inbox is full; the loop reads it every turn. */
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
   * Makes one; its worker is started by the first request.
   *
   * @param inbox the loop's inbox, for the answers
   * @param idleMs how long to keep an idle worker
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

  /** Takes a request from the loop. */
  take(call: ScanCall): void {
    this.#queue.push(call);
    this.#next();
  }

  /** Opens RAM for the loop, which then owns the descriptors. */
  openRam(call: RamCall): void {
    this.#opener.take(call);
  }

  /**
   * Closes descriptors of RAM on yet another thread: closing the last one may free a guest's whole memory,
   * which takes time.
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
