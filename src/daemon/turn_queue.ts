/**
 * Runs many tasks, one per turn of the loop: otherwise a reload with 64 new endpoints would block the loop
 * until the last is attached.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { LoopPort, TimerHandler } from "../core/adapter_port.ts";

/** A queue of tasks, one of which runs per turn. */
export class TurnQueue implements TimerHandler {
  readonly #loop: LoopPort;
  /** The next task is at the end. */
  #tasks: (() => void)[] = [];

  /** Starts empty. */
  constructor(loop: LoopPort) {
    this.#loop = loop;
  }

  /** Replaces all tasks that have not run yet. */
  replace(tasks: readonly (() => void)[]): void {
    this.#tasks = tasks.toReversed();
    this.#loop.disarm(this);
    if (tasks.length > 0) this.#loop.arm(this, this.#loop.clock.nowNs());
  }

  /** Drops all tasks that have not run yet. */
  clear(): void {
    this.replace([]);
  }

  /** Called by the loop: runs one task. */
  onTimer(nowNs: number): void {
    const task = this.#tasks.pop();
    assert(task !== undefined, "the queue's timer is armed only while a task waits");
    // Armed before the task runs, so that a task that throws does not stop the others.
    if (this.#tasks.length > 0) this.#loop.arm(this, nowNs);
    task();
  }
}
