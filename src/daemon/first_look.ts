/**
 * Delays the daemon's "ready" until the VMs that already run are in the roster, so that a client or service
 * started after it finds them by name. If the first probe of the host takes too long, the daemon becomes
 * ready without it, and the probe continues in the background.
 * @module
 */
import { assert } from "../base/assert.ts";

/** How long the first probe may delay "ready", ms. */
export const FIRST_LOOK_MS = 2000;

/** The first probe of the host. */
export class FirstLook {
  readonly #probed = Promise.withResolvers<void>();
  readonly #limitMs: number;
  #isTold = false;

  /**
   * Starts before any result.
   *
   * @param limitMs longest wait of {@linkcode FirstLook.done}, ms
   */
  constructor(limitMs: number = FIRST_LOOK_MS) {
    this.#limitMs = limitMs;
  }

  /** A list of VMs was sent to the loop. */
  told(): void {
    this.#isTold = true;
  }

  /** The loop has added the VMs of a list to the roster. */
  probed(): void {
    assert(this.#isTold, "only what was told can be in the roster");
    this.#probed.resolve();
  }

  /**
   * Resolves when the probe is done and its VMs are in the roster, or when the limit has passed.
   *
   * @param look the probe; undefined if there is none
   * @returns whether it was within the limit
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
