/**
 * A Worker that answers questions: it starts with the first one, and ends when none has come for a while,
 * because it keeps the memory that its last answers took. One that fails, or leaves a question unanswered for
 * longer than it may, is ended; the next question starts another.
 *
 * It does not queue: questions are posted at once, and whoever wants one at a time asks them so.
 * @module
 */
import { assert } from "./assert.ts";

/** What a question and its answer have in common. */
export interface Numbered {
  /** The question's number, which no other open question has. */
  readonly id: number;
}

/** What an {@linkcode AskedWorker} is made of. */
export interface AskedWorkerOptions<Answer extends Numbered> {
  /** Starts the Worker. */
  readonly start: () => Worker;
  /** How long a question may stay unanswered, ms. */
  readonly limitMs: number;
  /** How long the Worker is kept without a question, ms. */
  readonly idleMs: number;
  /** Called with the answer to an open question, once for each. */
  readonly onAnswer: (answer: Answer) => void;
  /**
   * Called when the Worker was ended because it failed or took too long.
   *
   * @param ids the questions that it has not answered, oldest first; none when it failed while it was idle
   */
  readonly onFailed: (ids: readonly number[], why: string) => void;
  /** Ends a Worker that is idle; it is terminated when this is left out. */
  readonly onIdle?: (worker: Worker) => void;
}

/** The Worker, with its open questions. */
export class AskedWorker<Question extends Numbered, Answer extends Numbered> implements Disposable {
  readonly #options: AskedWorkerOptions<Answer>;
  /** The timers of open questions, by number. */
  readonly #open = new Map<number, ReturnType<typeof setTimeout>>();
  #worker: Worker | null = null;
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** Starts no Worker yet. */
  constructor(options: AskedWorkerOptions<Answer>) {
    this.#options = options;
  }

  /** Whether there is a Worker now. */
  get isRunning(): boolean {
    return this.#worker !== null;
  }

  /** How many questions are open. */
  get open(): number {
    return this.#open.size;
  }

  /** Asks a question; it is answered, or fails, exactly once, unless this is disposed of first. */
  ask(question: Question): void {
    const { id } = question;
    assert(!this.#open.has(id), "a question has a number of its own");
    clearTimeout(this.#idle);
    const { limitMs } = this.#options;
    const worker = this.#worker ??= this.#start();
    this.#open.set(id, setTimeout(() => this.fail(`no answer within ${limitMs / 1000} s`), limitMs));
    worker.postMessage(question);
  }

  /** Ends the Worker; its open questions fail. */
  fail(why: string): void {
    const ids = [...this.#open.keys()];
    this[Symbol.dispose]();
    this.#options.onFailed(ids, why);
  }

  /** Ends the Worker; nothing is called for its open questions. */
  [Symbol.dispose](): void {
    clearTimeout(this.#idle);
    for (const timer of this.#open.values()) clearTimeout(timer);
    this.#open.clear();
    this.#worker?.terminate();
    this.#worker = null;
  }

  #start(): Worker {
    const worker = this.#options.start();
    // One that was ended may have posted an answer before.
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (worker === this.#worker) this.#take(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.fail(event.message);
    };
    return worker;
  }

  #take(answer: Answer): void {
    const timer = this.#open.get(answer.id);
    assert(timer !== undefined, "a Worker answers each question once");
    clearTimeout(timer);
    this.#open.delete(answer.id);
    if (this.#open.size === 0) {
      this.#idle = setTimeout(() => this.#endIdle(), this.#options.idleMs);
      Deno.unrefTimer(this.#idle);
    }
    this.#options.onAnswer(answer);
  }

  #endIdle(): void {
    assert(this.#open.size === 0 && this.#worker !== null, "a Worker that is idle has no open question");
    const worker = this.#worker;
    this.#worker = null;
    if (this.#options.onIdle === undefined) worker.terminate();
    else this.#options.onIdle(worker);
  }
}
