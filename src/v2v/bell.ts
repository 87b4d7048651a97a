/**
 * The port of a ring half towards the rest: the other end's doorbell, and the word that the other end broke
 * the rules.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** What a ring half tells the outside. */
export interface Bell {
  /**
   * Rings the other end. Never blocks, never throws for a peer that is gone: its absence shows elsewhere.
   *
   * @throws {Fault} `protocol-error` when the other end has spoilt its doorbell: the channel is crashed then
   */
  ring(): void;
  /** The other end wrote what no correct one writes. Told once, before the fault is thrown. */
  broken(fault: Fault): void;
}

/** What is wrong with an end that has filled the doorbell by which it is rung. */
export function spoiltBell(): Fault {
  return new Fault(
    "protocol-error",
    "Cannot trust the other end of the channel: it has filled its doorbell, so that ringing it would never end. " +
      "Disconnect from it.",
  );
}

/**
 * The notify rule of RING.md: after moving an index from `before` to `now`, the other end must hear if its
 * threshold lies in (before, now], in u32 arithmetic.
 */
export function passes(before: number, now: number, event: number): boolean {
  return ((now - event) >>> 0) < ((now - before) >>> 0);
}
