/**
 * The outcomes of a session's requests, in case they are asked for again: the answers to the last ones, those
 * that are open, and those that were asked for before they arrived, which will never be carried out.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { FATE } from "../wire/envelope.ts";

const MOST_ANSWERS = 256;
const MOST_BYTES = 2 * 1024 * 1024;
const MOST_NEVER = 1024;
/** Number of answers kept after a session has ended. */
const MOST_RETIRED_BYTES = 16 * 1024;

/** The known state of a request. */
export type Known =
  | { readonly is: "new" }
  | { readonly is: "answered"; readonly answer: Uint8Array }
  | { readonly is: "fate"; readonly fate: number };

/** The outcomes of one session. */
export class KeptAnswers {
  readonly #answers = new Map<number, Uint8Array>();
  readonly #pending = new Set<number>();
  readonly #never = new Set<number>();
  readonly #lost = new Set<number>();
  #bytes = 0;
  #highest = 0;

  /** Open requests. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The known state of a request, by number. */
  look(seq: number): Known {
    const answer = this.#answers.get(seq);
    if (answer !== undefined) return { is: "answered", answer };
    if (this.#pending.has(seq)) return { is: "fate", fate: FATE.PENDING };
    if (this.#lost.has(seq)) return { is: "fate", fate: FATE.LOST };
    if (this.#never.has(seq)) return { is: "fate", fate: FATE.NEVER };
    // A number below one that arrived: it was answered and is not kept, or came out of order and was not
    // carried out.
    return seq <= this.#highest ? { is: "fate", fate: FATE.FORGOTTEN } : { is: "new" };
  }

  /**
   * A new request begins. Requests with numbers between it and the previous one have not arrived, and will
   * not be carried out.
   */
  begin(seq: number): void {
    assert(seq > this.#highest, "a request begins once, and after those before it");
    for (let missed = Math.max(this.#highest + 1, seq - MOST_NEVER); missed < seq; missed++) {
      this.#addNever(missed);
    }
    this.#highest = seq;
    this.#pending.add(seq);
  }

  /** A request was asked for before it arrived: if it arrives, it is not carried out. */
  never(seq: number): void {
    assert(seq > this.#highest, "what came has another fate");
    for (let missed = Math.max(this.#highest + 1, seq - MOST_NEVER); missed <= seq; missed++) {
      this.#addNever(missed);
    }
    this.#highest = seq;
  }

  /** A request was answered. */
  settle(seq: number, answer: Uint8Array): void {
    assert(this.#pending.delete(seq), "a request is answered once");
    this.#answers.set(seq, answer);
    this.#bytes += answer.length;
    this.#trim(MOST_BYTES);
  }

  /** A request arrived too late and is not carried out. */
  skip(seq: number): void {
    assert(this.#pending.delete(seq), "a request is answered once");
    this.#addNever(seq);
  }

  /** The session has ended: nothing more is carried out, and open requests get no answer. */
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
