/**
 * The orderly shutdown of a daemon's loop: detaches the endpoints one per turn (held keys are released,
 * memory contexts invalidated), then removes the controls, then stops the loop. A VM that does not respond
 * delays it only for a bounded time; keys still held there are released by the next daemon.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MS } from "../base/clock.ts";
import type { Core } from "../core/core.ts";
import type { Loop } from "../core/loop.ts";
import type { Roster } from "../roster/roster.ts";
import { TurnQueue } from "./turn_queue.ts";

/** Time limit of detaching, after which the daemon stops without it. */
const DETACH_LIMIT_MS = 1500;

/** The parts to shut down. */
export interface ShutdownOptions {
  /** Stopped last. */
  readonly loop: Loop;
  /** Its controls are removed. */
  readonly core: Core;
  /** Its endpoints are detached. */
  readonly roster: Roster;
}

/** Shuts a daemon down once. */
export class Shutdown {
  readonly #options: ShutdownOptions;
  readonly #detaching: TurnQueue;
  #state: "serving" | "detaching" | "leaving" = "serving";

  /** Does nothing before {@linkcode begin}. */
  constructor(options: ShutdownOptions) {
    this.#options = options;
    this.#detaching = new TurnQueue(options.loop);
  }

  /** Whether it has begun. */
  get hasBegun(): boolean {
    return this.#state !== "serving";
  }

  /** Begins the shutdown; the loop stops when it is done. Nothing is attached from now on. */
  begin(): void {
    assert(this.#state === "serving", "a daemon is shut down once");
    this.#state = "detaching";
    const { loop, roster } = this.#options;
    const names = roster.names();
    let left = names.length;
    const done = () => {
      if (--left <= 0) loop.defer(() => this.#closeControls());
    };
    const limit = { onTimer: () => this.#closeControls(), onFault: () => loop.stop() };
    loop.arm(limit, loop.clock.nowNs() + DETACH_LIMIT_MS * MS);
    if (names.length === 0) loop.defer(() => this.#closeControls());
    this.#detaching.replace(names.map((name) => () => roster.detach(name, "shutting-down", done)));
  }

  #closeControls(): void {
    assert(this.#state !== "serving", "controls are taken off only when the daemon stops");
    if (this.#state === "leaving") return;
    this.#state = "leaving";
    const { loop, core } = this.#options;
    core.turn(loop.clock.nowNs());
    for (const slot of core.fanOut.controls.values()) core.leave(slot, "the daemon is stopping");
    this.#stopWhenEmpty();
  }

  /** The core removes a few dozen controls per turn. */
  #stopWhenEmpty(): void {
    const { loop, core } = this.#options;
    if (core.fanOut.controls.size === 0) loop.stop();
    else loop.defer(() => this.#stopWhenEmpty());
  }
}
