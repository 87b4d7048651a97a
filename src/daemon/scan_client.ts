/**
 * The loop's side of the scanner: passes requests to the main thread, whose workers open RAM and scan it, and
 * takes the answers from the inbox. Each request is answered exactly once, also if its scanner died.
 * @module
 */
import {
  checkScanAnswer,
  type RamAnswer,
  type RamRequest,
  type ScanAnswer,
  type ScanPort,
  type ScanRequest,
} from "../adapters/memctx/scan_port.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";

/** A request from the loop to the scanner. */
export interface ScanCall {
  /** Its number, repeated in the answer. */
  readonly id: number;
  /** What to scan. */
  readonly request: ScanRequest;
}

/** A request from the loop to the main thread to open RAM. */
export interface RamCall {
  /** Its number, repeated in the answer. */
  readonly id: number;
  /** The VM whose RAM to open. */
  readonly request: RamRequest;
}

/** The answer to an opening request, as JSON. */
export interface RamReturn {
  /** The request's number. */
  readonly id: number;
  /** The result, from this process and therefore not checked. */
  readonly answer: RamAnswer;
}

/** The scanner's answer, as JSON. */
export interface ScanReturn {
  /** The request's number. */
  readonly id: number;
  /** The result, which the loop checks. */
  readonly answer: unknown;
}

const decoder = new TextDecoder();

/** Passes requests to the main thread. */
export interface ScanSender {
  /** A scan. */
  scan(call: ScanCall): void;
  /** Opening RAM. */
  openRam(call: RamCall): void;
  /** Closing descriptors, which the main thread then owns. */
  closeRam(fds: readonly number[]): void;
}

/** The scan port of the daemon's endpoints. */
export class ScanClient implements ScanPort {
  readonly #send: ScanSender;
  readonly #log: Log;
  readonly #waiting = new Map<number, { name: string; done: (answer: ScanAnswer) => void }>();
  readonly #opening = new Map<number, (answer: RamAnswer) => void>();
  #lastId = 0;

  /** Starts without requests. */
  constructor(send: ScanSender, log: Log) {
    this.#send = send;
    this.#log = log;
  }

  openRam(request: RamRequest, done: (answer: RamAnswer) => void): void {
    const id = ++this.#lastId;
    this.#opening.set(id, done);
    this.#send.openRam({ id, request });
  }

  closeRam(fds: readonly number[]): void {
    this.#send.closeRam(fds);
  }

  /** Takes an answer to {@linkcode ScanClient.openRam} from the inbox. */
  onRam(message: Uint8Array): void {
    const { id, answer } = JSON.parse(decoder.decode(message)) as RamReturn;
    const done = this.#opening.get(id);
    if (done === undefined) {
      return this.#log.error("RAM was opened for a request that is not pending", { id });
    }
    this.#opening.delete(id);
    done(answer);
  }

  scan(request: ScanRequest, done: (answer: ScanAnswer) => void): void {
    const id = ++this.#lastId;
    this.#waiting.set(id, { name: request.name, done });
    this.#send.scan({ id, request });
  }

  /** Takes a scanner's answer from the inbox. */
  onMessage(message: Uint8Array): void {
    let id: unknown;
    let answer: unknown;
    try {
      ({ id, answer } = JSON.parse(decoder.decode(message)) as Partial<ScanReturn>);
    } catch (error) {
      return this.#log.error("an answer of the scanner cannot be read", { why: messageOf(error) });
    }
    const waiting = this.#waiting.get(id as number);
    if (waiting === undefined) {
      return this.#log.error("the scanner answered a scan that is not pending", { id: String(id) });
    }
    this.#waiting.delete(id as number);
    const checked = checkScanAnswer(answer);
    if (checked.outcome === "failed") {
      this.#log.warn("a scan failed", { vm: waiting.name, why: checked.detail });
    } else this.#log.debug("scanned", { vm: waiting.name, outcome: checked.outcome });
    waiting.done(checked);
  }
}
