/**
 * What is to be written to one console: in order, each answered once, when the other side has taken all of
 * it. Before each step the lease is asked again, so that nothing of a former owner's lands late.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";

/** Bytes that wait for one console. */
export const MAX_WAITING_BYTES: number = 1 << 20;

/** A write that waits. */
export interface WaitingWrite {
  /** The command's ticket. */
  readonly ticket: number;
  /** The lease under which it was admitted. */
  readonly token: number;
  /** Its bytes, a copy. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What writes are done through. */
export interface WriteHost {
  /** Whether a lease is still the live one. */
  isLive(token: number): boolean;
  /** Gives bytes to the other side; how many it took. */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): number;
  /**
   * Answers.
   *
   * @param detail bytes of it that were written
   */
  answer(ticket: number, code: Code, detail: number): void;
}

/** The writes of one console. */
export class ConsoleWrites {
  readonly #queue: WaitingWrite[] = [];
  readonly #host: WriteHost;
  #bytes = 0;
  /** Bytes of the first that were taken. */
  #done = 0;
  #isPumping = false;

  /** Starts empty. */
  constructor(host: WriteHost) {
    this.#host = host;
  }

  /** How many wait. */
  get count(): number {
    return this.#queue.length;
  }

  /** Takes one over; false when too much waits. */
  add(write: WaitingWrite): boolean {
    if (this.#bytes + write.bytes.length > MAX_WAITING_BYTES) return false;
    this.#queue.push(write);
    this.#bytes += write.bytes.length;
    return true;
  }

  /** Writes as much as the other side takes. */
  pump(): void {
    // Writing may find the other side gone, and that ends all.
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
        if (!this.#host.isLive(first.token)) {
          this.#finish(CODE["stale-lease"]);
          continue;
        }
        const taken = this.#host.write(first.bytes, this.#done);
        if (this.#queue[0] !== first) continue;
        this.#done += taken;
        if (this.#done < first.bytes.length) return;
        this.#finish(CODE.ok);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** Answers all that wait. */
  refuse(code: Code): void {
    while (this.#queue.length > 0) this.#finish(code);
  }

  #finish(code: Code): void {
    const first = this.#queue.shift();
    assert(first !== undefined, "what is finished was begun");
    const done = this.#done;
    this.#bytes -= first.bytes.length;
    this.#done = 0;
    assert(code !== CODE.ok || done === first.bytes.length, "done is all of it");
    this.#host.answer(first.ticket, code, done);
  }
}
