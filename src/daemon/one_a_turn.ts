/**
 * Work that comes in heaps, done one piece a turn of the loop: a reload that names 64 new endpoints would
 * otherwise keep everybody waiting until the last is attached.
 * @module
 */
import type { LoopPort, TimerHandler } from "../core/adapter_port.ts";

/** A heap of work. */
export class OneATurn implements TimerHandler {
  readonly #loop: LoopPort;
  #tasks: (() => void)[] = [];

  /** Has nothing to do yet. */
  constructor(loop: LoopPort) {
    this.#loop = loop;
  }

  /** Takes these tasks in place of what is left of the ones before. */
  replace(tasks: (() => void)[]): void {
    this.#tasks = tasks.reverse();
    this.#loop.disarm(this);
    if (tasks.length > 0) this.#loop.arm(this, this.#loop.clock.nowNs());
  }

  /** Called by the loop: one task. */
  onTimer(nowNs: number): void {
    const task = this.#tasks.pop();
    if (this.#tasks.length > 0) this.#loop.arm(this, nowNs);
    task?.();
  }
}
