/**
 * Time, injected: state machines are told the time, they never ask for it.
 *
 * Nanoseconds are doubles: exact up to 2^53 ns, which is 104 days of uptime, and within 2 ns for the next
 * 104.
 * @module
 */

/** CLOCK_MONOTONIC in nanoseconds. */
export interface Clock {
  /** Now, in ns since boot. */
  nowNs(): number;
}

/** A clock that a test turns by hand. */
export class ManualClock implements Clock {
  #nowNs: number;

  /** Stops the clock at a time; one second after boot unless told. */
  constructor(startNs = 1_000_000_000) {
    this.#nowNs = startNs;
  }

  nowNs(): number {
    return this.#nowNs;
  }

  /** Turns the clock forward. */
  advance(ns: number): void {
    this.#nowNs += ns;
  }
}

/** A millisecond in ns. */
export const MS = 1_000_000;
/** A second in ns. */
export const SECOND = 1_000_000_000;
/** "No deadline": later than any time. */
export const NEVER: number = Infinity;
