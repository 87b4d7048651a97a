/**
 * The daemon is ready when the VMs that run already are in the roster: who waits for "ready", or for the
 * service, then finds them by their names. A host that cannot be looked at in good time keeps nobody: the
 * look goes on behind.
 * @module
 */
import { assert } from "../base/assert.ts";

/** How long the first look may keep the daemon from being ready, ms. */
export const FIRST_LOOK_MS = 2000;

/** The first look at the host. */
export class FirstLook {
  readonly #probed = Promise.withResolvers<void>();
  readonly #limitMs: number;
  #isTold = false;

  /**
   * Has looked at nothing yet.
   *
   * @param limitMs how long {@linkcode FirstLook.done} waits at most, ms
   */
  constructor(limitMs: number = FIRST_LOOK_MS) {
    this.#limitMs = limitMs;
  }

  /** The loop was told of VMs. */
  told(): void {
    this.#isTold = true;
  }

  /** The loop has the VMs that it was told of in the roster. */
  probed(): void {
    assert(this.#isTold, "only what was told can be in the roster");
    this.#probed.resolve();
  }

  /**
   * Resolves when the look is done and what it found is in the roster, or when that takes too long.
   *
   * @param look the look; undefined when nobody looks
   * @returns whether it was in time
   */
  async done(look: Promise<void> | undefined): Promise<boolean> {
    if (look === undefined) return true;
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), this.#limitMs);
    const whole = look.then(() => this.#isTold ? this.#probed.promise : undefined).then(() => true);
    try {
      return await Promise.race([whole, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
