/**
 * Commands that wait for their answer: one promise per corr, each with its own time limit. Answers to
 * commands that were given up are recognised, because a lease that is granted too late must be released.
 * @module
 */
import { CODE, type Code } from "../base/codes.ts";
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { KIND } from "../event/kind.ts";
import type { ClientEvent } from "./client_event.ts";

/** The longest time of a timer, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const MAX_ABANDONED = 1024;
/** Characters of a refusal's message: a daemon sends three parts of 40 bytes. */
const MOST_WORDS = 512;
const MAX_CORR = 0xffff_ffff;

interface Pending {
  readonly what: string;
  readonly timeoutMs: number;
  /** The time limit, by performance.now(). */
  readonly dueMs: number;
  readonly endpoint: EndpointId;
  /** The VM's message about it so far. */
  words: string;
  /** The code that the message belongs to. */
  wordsCode: number;
  readonly resolve: (answer: ClientEvent) => void;
  readonly reject: (fault: Fault) => void;
  /** Removes the listener from the signal, if there is one. */
  readonly stop: (() => void) | undefined;
}

/** The command that an answer belongs to. */
export type Settled = "awaited" | "given up" | "nobody's";

/** The table. */
export class PendingCommands {
  readonly #pending = new Map<number, Pending>();
  readonly #abandoned = new Set<number>();
  /** Outcomes of commands whose answer arrived after they were given up. */
  readonly #late = new Map<number, Code>();
  readonly #idOf: (corr: number) => string | undefined;
  #lastCorr = 0;
  /**
   * One timer for all, set to the earliest time limit: setting and clearing one per command costs about 5 us.
   */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerMs = Infinity;

  /**
   * An empty table. @param idOf returns the id with which another program can ask for a command's outcome, if
   * possible
   */
  constructor(idOf: (corr: number) => string | undefined = () => undefined) {
    this.#idOf = idOf;
  }

  /** Number of commands that wait for an answer. */
  get size(): number {
    return this.#pending.size;
  }

  /** An unused corr. */
  nextCorr(): number {
    do {
      this.#lastCorr = this.#lastCorr === MAX_CORR ? 1 : this.#lastCorr + 1;
    } while (this.#pending.has(this.#lastCorr) || this.#abandoned.has(this.#lastCorr));
    return this.#lastCorr;
  }

  /**
   * Waits for the answer to `corr`.
   *
   * @param endpoint the command's endpoint
   * @param what what the command does, for the message: "reset web"
   * @param timeoutMs time after which the command counts as unanswered, ms; Infinity: never
   * @param signal aborts the wait
   * @returns the answer, whatever its code
   * @throws {Fault} `timed-out`; `interrupted` when the signal aborts; the fault passed to {@linkcode
   *   PendingCommands.failAll}
   */
  wait(
    corr: number,
    endpoint: EndpointId,
    what: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ClientEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientEvent>();
    const dueMs = performance.now() + timeoutMs;
    const stop = signal === undefined ? undefined : this.#follow(signal, corr, what);
    this.#pending.set(corr, {
      what,
      timeoutMs,
      dueMs,
      endpoint,
      words: "",
      wordsCode: 0,
      resolve,
      reject,
      stop,
    });
    this.#setTimer(dueMs);
    return promise;
  }

  /** Passes an answer to the waiting command. */
  settle(answer: ClientEvent): Settled {
    const pending = this.#take(answer.corr);
    if (pending === undefined) {
      if (!this.#abandoned.delete(answer.corr)) return "nobody's";
      this.#late.set(answer.corr, codeOfAnswer(answer));
      forgetOldest(this.#late);
      return "given up";
    }
    const code = answer.as("ACT_ACK")?.code;
    answer.words = code === pending.wordsCode ? pending.words : "";
    pending.resolve(answer);
    return "awaited";
  }

  /** Takes the message of a refusal, which arrives right before it, possibly in parts. */
  noteWords(corr: number, endpoint: EndpointId, code: number, text: string): void {
    const pending = this.#pending.get(corr);
    if (pending?.endpoint !== endpoint) return;
    // An ERROR about the seam may by chance have such a detail, but its code differs.
    if (pending.wordsCode !== code) pending.words = "";
    pending.wordsCode = code;
    if (pending.words.length < MOST_WORDS) pending.words += text;
  }

  /** Whether an event is an answer to a command of this client. */
  knows(corr: number): boolean {
    return this.#pending.has(corr) || this.#abandoned.has(corr);
  }

  /** The outcome of a command that was given up; undefined: its answer has not arrived, or it was none. */
  late(corr: number): Code | undefined {
    return this.#late.get(corr);
  }

  #follow(signal: AbortSignal, corr: number, what: string): () => void {
    const onAbort = (): void => {
      this.#giveUp(corr, new Fault("interrupted", `Cannot ${what}: interrupted`, { corr }));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return () => signal.removeEventListener("abort", onAbort);
  }

  #setTimer(dueMs: number): void {
    if (dueMs >= this.#timerMs) return;
    const waitMs = dueMs - performance.now();
    // A command without a time limit needs no timer; a timer of that length would fire at once.
    if (waitMs > MAX_TIMER_MS) return;
    clearTimeout(this.#timer);
    this.#timerMs = dueMs;
    this.#timer = setTimeout(() => this.#onTimer(), waitMs);
  }

  /**
   * Gives up commands that are due. Most of those for which the timer was set have been answered long ago.
   */
  #onTimer(): void {
    this.#timerMs = Infinity;
    const nowMs = performance.now();
    let nextMs = Infinity;
    for (const [corr, { what, timeoutMs, dueMs }] of [...this.#pending]) {
      // A timer may fire a little early.
      if (dueMs > nowMs + 1) {
        nextMs = Math.min(nextMs, dueMs);
        continue;
      }
      const id = this.#idOf(corr);
      const remedy = id === undefined
        ? "check the daemon's log, or allow more time"
        : `vmsig outcome ${id} says whether it was carried out`;
      const words = `Cannot ${what}: no answer within ${timeoutMs} ms; ${remedy}`;
      this.#giveUp(corr, new Fault("timed-out", words, { corr }));
    }
    this.#setTimer(nextMs);
  }

  /** A timer that is left would keep the program running. */
  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timerMs = Infinity;
  }

  #giveUp(corr: number, fault: Fault): void {
    this.#take(corr)?.reject(fault);
    this.#abandon(corr);
  }

  /** Removes a command whose frame was never sent. */
  forget(corr: number): void {
    this.#take(corr);
    if (this.#pending.size === 0) this.#clearTimer();
  }

  /** No further answers will arrive, also not to commands that were given up. */
  failAll(fault: Fault): void {
    this.#abandoned.clear();
    this.#clearTimer();
    for (const [corr, { what }] of [...this.#pending]) {
      this.#take(corr)?.reject(
        new Fault(fault.code, `Cannot ${what}: ${fault.message}`, { cause: fault, corr }),
      );
    }
  }

  #take(corr: number): Pending | undefined {
    const pending = this.#pending.get(corr);
    pending?.stop?.();
    this.#pending.delete(corr);
    return pending;
  }

  #abandon(corr: number): void {
    this.#abandoned.add(corr);
    forgetOldest(this.#abandoned);
  }
}

function forgetOldest(numbers: Set<number> | Map<number, Code>): void {
  if (numbers.size <= MAX_ABANDONED) return;
  for (const oldest of numbers.keys()) {
    numbers.delete(oldest);
    break;
  }
}

/** The outcome of a command, from its answer. */
function codeOfAnswer(answer: ClientEvent): Code {
  if (answer.kind === KIND.LEASE_DENIED) return CODE.busy;
  return (answer.as("ACT_ACK")?.code ?? CODE.ok) as Code;
}
