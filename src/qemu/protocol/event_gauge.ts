/**
 * How many events a monitor may send before its QEMU is no longer believed to be sane: a token bucket over
 * the events that make somebody work. A command that changes the VM brings tokens, because what it causes is
 * told by events; QEMU has no right to more than that and a generous rate. Pure: it is told the time.
 *
 * Failed disk requests (BLOCK_IO_ERROR with werror=report) come by the thousand from an honest QEMU, and cost
 * nothing but the reading: they are not counted. How much reading may cost is the connection's business.
 * @module
 */
import { SECOND } from "../../base/clock.ts";

/** Events in one burst. */
export const EVENT_BURST = 2000;
/** Events per second for good: a guest that resets itself in a tight circle makes some hundred. */
export const EVENTS_A_SECOND = 1000;
const TOKENS_A_COMMAND = 8;

/** The commands that QEMU answers with events. */
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

/** The gauge of one monitor. */
export class EventGauge {
  #tokens = EVENT_BURST;
  #filledNs = 0;

  /** A command is sent. */
  noteCommand(command: string): void {
    if (CAUSES.has(command)) this.#tokens = Math.min(EVENT_BURST, this.#tokens + TOKENS_A_COMMAND);
  }

  /** Takes an event. False: there are more than can be meant. */
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
