/**
 * What became of a session's requests, for who asks again: the answers of the last ones, those that are under
 * way, and those that were asked for before they came, which are never done any more.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { FATE } from "../wire/envelope.ts";

const MOST_ANSWERS = 256;
const MOST_BYTES = 2 * 1024 * 1024;
const MOST_NEVER = 1024;
/** Of a session that is over less is kept. */
const MOST_RETIRED_BYTES = 16 * 1024;

/** What is known of a request. */
export type Known =
  | { readonly is: "new" }
  | { readonly is: "answered"; readonly answer: Uint8Array }
  | { readonly is: "fate"; readonly fate: number };

/** The answers of one session. */
export class KeptAnswers {
  readonly #answers = new Map<number, Uint8Array>();
  readonly #pending = new Set<number>();
  readonly #never = new Set<number>();
  readonly #lost = new Set<number>();
  #bytes = 0;
  #highest = 0;

  /** Requests that are under way. */
  get pending(): number {
    return this.#pending.size;
  }

  /** What is known of a request's number. */
  look(seq: number): Known {
    const answer = this.#answers.get(seq);
    if (answer !== undefined) return { is: "answered", answer };
    if (this.#pending.has(seq)) return { is: "fate", fate: FATE.PENDING };
    if (this.#lost.has(seq)) return { is: "fate", fate: FATE.LOST };
    if (this.#never.has(seq)) return { is: "fate", fate: FATE.NEVER };
    // A number below one that came: it was answered and is not kept, or came out of order, and is not done.
    return seq <= this.#highest ? { is: "fate", fate: FATE.FORGOTTEN } : { is: "new" };
  }

  /** A request that is new begins. Those between it and the one before never came, and never will. */
  begin(seq: number): void {
    assert(seq > this.#highest, "a request begins once, and after those before it");
    for (let missed = Math.max(this.#highest + 1, seq - MOST_NEVER); missed < seq; missed++) {
      this.#addNever(missed);
    }
    this.#highest = seq;
    this.#pending.add(seq);
  }

  /** A request that was asked for before it came: if it comes, it is not done. */
  never(seq: number): void {
    assert(seq > this.#highest, "what came has another fate");
    for (let missed = Math.max(this.#highest + 1, seq - MOST_NEVER); missed <= seq; missed++) {
      this.#addNever(missed);
    }
    this.#highest = seq;
  }

  /** A request is answered. */
  settle(seq: number, answer: Uint8Array): void {
    assert(this.#pending.delete(seq), "a request is answered once");
    this.#answers.set(seq, answer);
    this.#bytes += answer.length;
    this.#trim(MOST_BYTES);
  }

  /** A request came too late, and is not done. */
  skip(seq: number): void {
    assert(this.#pending.delete(seq), "a request is answered once");
    this.#addNever(seq);
  }

  /** The session is over: nothing is done any more, and what was under way is answered by nobody. */
  retire(): void {
    for (const seq of this.#pending) this.#lost.add(seq);
    this.#pending.clear();
    this.#trim(MOST_RETIRED_BYTES);
    assert(this.#pending.size === 0, "of a session that is over nothing is under way");
  }

  #trim(mostBytes: number): void {
    for (const [oldest, { length }] of this.#answers) {
      if (this.#answers.size <= MOST_ANSWERS && this.#bytes <= mostBytes) break;
      this.#answers.delete(oldest);
      this.#bytes -= length;
    }
  }

  #addNever(seq: number): void {
    this.#never.add(seq);
    if (this.#never.size <= MOST_NEVER) return;
    for (const oldest of this.#never) {
      this.#never.delete(oldest);
      break;
    }
  }
}
