/**
 * The loop's side of the scanner: hands requests to the main thread, which has workers that open RAM and one
 * for scans, and takes the answers that come back through the inbox. Answers of a scanner that died come too;
 * a request that was sent is answered once.
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

/** A request on its way from the loop to the scanner. */
export interface ScanCall {
  /** Its number: comes back with the answer. */
  readonly id: number;
  /** What to look through. */
  readonly request: ScanRequest;
}

/** RAM to be opened, on its way from the loop to the main thread. */
export interface RamCall {
  /** Its number: comes back with the answer. */
  readonly id: number;
  /** Whose RAM. */
  readonly request: RamRequest;
}

/** Opened RAM on its way back, as JSON. */
export interface RamReturn {
  /** The call's number. */
  readonly id: number;
  /** What became of it: of the same process, and not checked. */
  readonly answer: RamAnswer;
}

/** An answer of the scanner on its way back, as JSON. */
export interface ScanReturn {
  /** The call's number. */
  readonly id: number;
  /** What was found; checked by the loop. */
  readonly answer: unknown;
}

const decoder = new TextDecoder();

/** Hands calls to the main thread. */
export interface ScanSender {
  /** A scan. */
  scan(call: ScanCall): void;
  /** RAM to be opened. */
  openRam(call: RamCall): void;
  /** Descriptors to be closed; the main thread's from now on. */
  closeRam(fds: readonly number[]): void;
}

/** The scan port of the daemon's endpoints. */
export class ScanClient implements ScanPort {
  readonly #send: ScanSender;
  readonly #log: Log;
  readonly #waiting = new Map<number, { name: string; done: (answer: ScanAnswer) => void }>();
  readonly #opening = new Map<number, (answer: RamAnswer) => void>();
  #lastId = 0;

  /** Makes one with nothing under way. */
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

  /** Takes the answer to {@linkcode ScanClient.openRam} out of the inbox. */
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

  /** Takes an answer's message out of the inbox. */
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
