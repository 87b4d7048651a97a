/**
 * Limits a monitor's events with a token bucket, above which its QEMU no longer counts as healthy; only
 * events that cause work are counted. A command that changes the VM adds tokens, because it causes events.
 * Pure: the time is a parameter.
 *
 * Failed disk requests (BLOCK_IO_ERROR with werror=report) can come by the thousand from an honest QEMU, and
 * cost only their reading: they are not counted. The cost of reading is limited by the connection.
 * @module
 */
import { SECOND } from "../../base/clock.ts";

/** Burst, events. */
export const EVENT_BURST = 2000;
/** Sustained rate, events per second: a guest that resets itself in a tight loop causes a few hundred. */
export const EVENTS_A_SECOND = 1000;
const TOKENS_A_COMMAND = 8;

/** The commands that cause events. */
const CAUSES: ReadonlySet<string> = new Set([
  "stop",
  "cont",
  "system_reset",
  "system_powerdown",
  "system_wakeup",
  "quit",
  "snapshot-save",
  "snapshot-load",
  "snapshot-delete",
  "job-dismiss",
]);
const UNCOUNTED: ReadonlySet<string> = new Set(["BLOCK_IO_ERROR"]);

/** The limit of one monitor. */
export class EventGauge {
  #tokens = EVENT_BURST;
  #filledNs = 0;

  /** A command is sent. */
  noteCommand(command: string): void {
    if (CAUSES.has(command)) this.#tokens = Math.min(EVENT_BURST, this.#tokens + TOKENS_A_COMMAND);
  }

  /** Counts an event. False: the limit is exceeded. */
  admits(name: string, nowNs: number): boolean {
    if (UNCOUNTED.has(name)) return true;
    const earned = Math.max(0, nowNs - this.#filledNs) * (EVENTS_A_SECOND / SECOND);
    this.#tokens = Math.min(EVENT_BURST, this.#tokens + earned);
    this.#filledNs = nowNs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
