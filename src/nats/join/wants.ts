/**
 * What all readers want of this host's events, together: each says it again and again, and is forgotten when
 * it does not.
 * @module
 */
import type { Want } from "../wire/want.ts";

/** Readers that are remembered: more of them get what the others want. */
const MOST_READERS = 1024;

/** The wants. */
export class Wants {
  readonly #readers = new Map<string, { readonly sources: number; readonly untilMs: number }>();
  #sources = 0;

  /** Sources that anybody wants, bit 1 << source. */
  get sources(): number {
    return this.#sources;
  }

  /** How many want anything. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Takes in what a reader said. @param user whose reader it is */
  take(user: string, { reader, sources, ttlMs }: Want, nowMs: number): void {
    const key = `${user} ${reader}`;
    this.#readers.delete(key);
    if (sources !== 0 && ttlMs > 0 && this.#readers.size < MOST_READERS) {
      this.#readers.set(key, { sources, untilMs: nowMs + ttlMs });
    }
    this.#sum();
  }

  /** Forgets who has not said it again. */
  expire(nowMs: number): void {
    for (const [key, { untilMs }] of this.#readers) if (untilMs < nowMs) this.#readers.delete(key);
    this.#sum();
  }

  #sum(): void {
    this.#sources = 0;
    for (const { sources } of this.#readers.values()) this.#sources |= sources;
  }
}
