/**
 * Tasks that come many at a time, run one per turn of the loop: a reload that names 64 new endpoints would
 * otherwise keep everybody waiting until the last is attached.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { LoopPort, TimerHandler } from "../core/adapter_port.ts";

/** A queue of tasks of which each turn runs one. */
export class TurnQueue implements TimerHandler {
  readonly #loop: LoopPort;
  /** The next task is the last one. */
  #tasks: (() => void)[] = [];

  /** Starts empty. */
  constructor(loop: LoopPort) {
    this.#loop = loop;
  }

  /** Replaces whatever has not run yet by these tasks. */
  replace(tasks: readonly (() => void)[]): void {
    this.#tasks = tasks.toReversed();
    this.#loop.disarm(this);
    if (tasks.length > 0) this.#loop.arm(this, this.#loop.clock.nowNs());
  }

  /** Drops whatever has not run yet. */
  clear(): void {
    this.replace([]);
  }

  /** Called by the loop: runs one task. */
  onTimer(nowNs: number): void {
    const task = this.#tasks.pop();
    assert(task !== undefined, "the queue's timer is armed only while a task waits");
    // Armed before the task runs: one that throws does not keep the others from their turn.
    if (this.#tasks.length > 0) this.#loop.arm(this, nowNs);
    task();
  }
}
