/**
 * The sources of this host's events that any reader wants: each reader repeats its want, which otherwise
 * expires.
 * @module
 */
import type { Want } from "../wire/want.ts";

/** Maximum number of readers that are remembered; further ones receive what the others want. */
const MOST_READERS = 1024;

/** The wants of all readers. */
export class Wants {
  readonly #readers = new Map<string, { readonly sources: number; readonly untilMs: number }>();
  #sources = 0;

  /** Sources that any reader wants, bit 1 << source. */
  get sources(): number {
    return this.#sources;
  }

  /** Number of readers with a want. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Records a reader's want. @param user the reader's user */
  take(user: string, { reader, sources, ttlMs }: Want, nowMs: number): void {
    const key = `${user} ${reader}`;
    this.#readers.delete(key);
    if (sources !== 0 && ttlMs > 0 && this.#readers.size < MOST_READERS) {
      this.#readers.set(key, { sources, untilMs: nowMs + ttlMs });
    }
    this.#sum();
  }

  /** Drops expired wants. */
  expire(nowMs: number): void {
    for (const [key, { untilMs }] of this.#readers) if (untilMs < nowMs) this.#readers.delete(key);
    this.#sum();
  }

  #sum(): void {
    this.#sources = 0;
    for (const { sources } of this.#readers.values()) this.#sources |= sources;
  }
}
