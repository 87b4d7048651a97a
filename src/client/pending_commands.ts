/**
 * Commands that await their answer: one promise a corr, each with its own timeout. An answer that comes after
 * its command was given up is told apart, because a lease granted too late must be given back.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import type { ClientEvent } from "./client_event.ts";

const MAX_ABANDONED = 1024;
/** Characters of a refusal's words: a daemon sends three parts of 40 bytes. */
const MOST_WORDS = 512;
const MAX_CORR = 0xffff_ffff;

interface Pending {
  readonly what: string;
  readonly endpoint: EndpointId;
  /** What the VM has said to it so far. */
  words: string;
  /** The code that they are about. */
  wordsCode: number;
  readonly resolve: (answer: ClientEvent) => void;
  readonly reject: (fault: Fault) => void;
  readonly stop: () => void;
}

/** What an arrived answer belongs to. */
export type Settled = "awaited" | "given up" | "nobody's";

/** The table. */
export class PendingCommands {
  readonly #pending = new Map<number, Pending>();
  readonly #abandoned = new Set<number>();
  #lastCorr = 0;

  /** How many await an answer. */
  get size(): number {
    return this.#pending.size;
  }

  /** A corr that is free. */
  nextCorr(): number {
    do {
      this.#lastCorr = this.#lastCorr === MAX_CORR ? 1 : this.#lastCorr + 1;
    } while (this.#pending.has(this.#lastCorr) || this.#abandoned.has(this.#lastCorr));
    return this.#lastCorr;
  }

  /**
   * Awaits the answer to `corr`.
   *
   * @param endpoint whose it is
   * @param what what the command does, for the message: "reset web"
   * @param timeoutMs after which the command counts as unanswered
   * @param signal gives it up early
   * @returns the answer, whatever it says
   * @throws {Fault} `timed-out`; `interrupted` when the signal aborts; what {@linkcode
   *   PendingCommands.failAll} was told
   */
  wait(
    corr: number,
    endpoint: EndpointId,
    what: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ClientEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientEvent>();
    const giveUp = (fault: Fault) => {
      this.#take(corr)?.reject(fault);
      this.#abandon(corr);
    };
    const onAbort = () => giveUp(new Fault("interrupted", `Cannot ${what}: interrupted`));
    const timer = setTimeout(() => {
      giveUp(
        new Fault(
          "timed-out",
          `Cannot ${what}: no answer within ${timeoutMs} ms; look at the daemon's log, or allow more time`,
        ),
      );
    }, timeoutMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    this.#pending.set(corr, { what, endpoint, words: "", wordsCode: 0, resolve, reject, stop });
    return promise;
  }

  /** Hands an answer to who awaits it. */
  settle(answer: ClientEvent): Settled {
    const pending = this.#take(answer.corr);
    if (pending === undefined) return this.#abandoned.delete(answer.corr) ? "given up" : "nobody's";
    const code = answer.as("ACT_ACK")?.code;
    answer.words = code === pending.wordsCode ? pending.words : "";
    pending.resolve(answer);
    return "awaited";
  }

  /** Takes the words of a refusal, which come right before it, maybe in parts. */
  noteWords(corr: number, endpoint: EndpointId, code: number, text: string): void {
    const pending = this.#pending.get(corr);
    if (pending?.endpoint !== endpoint) return;
    // An ERROR that tells of the seam may happen to have such a detail: its code is another one.
    if (pending.wordsCode !== code) pending.words = "";
    pending.wordsCode = code;
    if (pending.words.length < MOST_WORDS) pending.words += text;
  }

  /** Whether an event is an answer that somebody awaited. */
  knows(corr: number): boolean {
    return this.#pending.has(corr) || this.#abandoned.has(corr);
  }

  /** Forgets one whose frame was never sent. */
  forget(corr: number): void {
    this.#take(corr);
  }

  /** No answer will come any more, to those that were given up neither. */
  failAll(fault: Fault): void {
    this.#abandoned.clear();
    for (const [corr, { what }] of [...this.#pending]) {
      this.#take(corr)?.reject(new Fault(fault.code, `Cannot ${what}: ${fault.message}`, { cause: fault }));
    }
  }

  #take(corr: number): Pending | undefined {
    const pending = this.#pending.get(corr);
    pending?.stop();
    this.#pending.delete(corr);
    return pending;
  }

  #abandon(corr: number): void {
    this.#abandoned.add(corr);
    if (this.#abandoned.size <= MAX_ABANDONED) return;
    for (const oldest of this.#abandoned) {
      this.#abandoned.delete(oldest);
      break;
    }
  }
}
