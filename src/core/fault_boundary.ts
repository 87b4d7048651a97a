/**
 * The fault boundary: an exception in a callback ends the owner of that callback, and not the bus. The caller
 * of a peer's, adapter's or timer's code passes exceptions to {@linkcode FaultBoundary.contain}, which counts
 * the fault, writes it to the log and the audit trail, and then tells the owner to abandon what it was doing
 * (`onFault`).
 *
 * Contained: every error but one. TypeError, RangeError (including a stack overflow), an unexpected failure
 * of a system call, a Fault: all of them are caused by the input of one peer, one QEMU or one file, and do
 * not affect the others.
 *
 * Not contained; these end the process:
 * - an {@linkcode AssertionFault}, wherever it is thrown: an assumption of vmsig does not hold, and shared
 *   state (the pool, the ledger, the leases) can no longer be trusted;
 * - exceptions in the core's own turn, outside of a callback of a control or an adapter, for the same reason.
 * @module
 */
import type { ControlId, EndpointId } from "../base/ids.ts";
import { assert, AssertionFault } from "../base/assert.ts";
import { type Clock, SECOND } from "../base/clock.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { printable } from "../base/printable.ts";

/** The place in which a fault was thrown. */
export const FAULT_PLACES = ["descriptor", "timer", "task", "message", "control", "adapter"] as const;
/** One of them. */
export type FaultPlace = (typeof FAULT_PLACES)[number];

/** The owner that a fault is attributed to. */
export interface FaultAccount {
  /** For the log: a peer's name, "vmhost[web]", a socket's path. */
  readonly name: string;
  /** The uid behind it; 0 for none. */
  readonly principal?: number;
  /** The principal that the uid speaks for, "token:alice". */
  readonly as?: string | undefined;
  /** The control's number. */
  readonly control?: ControlId;
  /** The endpoint's number. */
  readonly endpoint?: EndpointId;
}

/**
 * An object with callbacks that may fail. Both methods are optional: an object without them is named by its
 * class, and is not called again.
 */
export interface FaultHandler {
  /** The owner that faults are attributed to; called when something was thrown. */
  faultAccount?(): FaultAccount;
  /**
   * A callback of this object threw. It abandons what it was doing (a peer leaves, a connection is closed) or
   * starts anew later. It is still watched, so it must not leave its state unchanged.
   */
  onFault?(error: unknown): void;
}

/** A fault that was contained. */
export interface ContainedFault {
  /** The place. */
  readonly place: FaultPlace;
  /** The owner. */
  readonly account: FaultAccount;
  /** The error's text, safe to show. */
  readonly what: string;
}

/** Faults that are reported per second; the rest is only counted. */
const TOLD_A_SECOND = 10;
const MOST_TEXT = 200;

/** Contains faults. */
export class FaultBoundary {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #counts = new Map<FaultPlace, number>(FAULT_PLACES.map((place) => [place, 0]));
  #sinceNs = -SECOND;
  #told = 0;
  #untold = 0;
  readonly #onContained: (fault: ContainedFault) => void;

  /**
   * Starts with no faults.
   *
   * @param onContained called for each reported fault: writes the audit entry
   */
  constructor(log: Log, clock: Clock, onContained: (fault: ContainedFault) => void = () => {}) {
    this.#log = log;
    this.#clock = clock;
    this.#onContained = onContained;
  }

  /** Number of contained faults by place. */
  get counts(): ReadonlyMap<FaultPlace, number> {
    return this.#counts;
  }

  /** Number of contained faults. */
  get total(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  /**
   * Handles an exception from a callback.
   *
   * @param handler the owner of the callback
   * @returns whether the owner handled it; if not, the caller stops calling it
   * @throws what must not be contained
   */
  contain(place: FaultPlace, error: unknown, handler: FaultHandler): boolean {
    if (error instanceof AssertionFault) throw error;
    const count = this.#counts.get(place);
    assert(count !== undefined, "each place of a fault has its count");
    this.#counts.set(place, count + 1);
    this.#tell(place, error, handler);
    if (handler.onFault === undefined) return false;
    try {
      handler.onFault(error);
      return true;
    } catch (second) {
      if (second instanceof AssertionFault) throw second;
      this.#log.error("the part that failed could not be closed cleanly", {
        what: printable(messageOf(second), MOST_TEXT),
      });
      return false;
    }
  }

  #tell(place: FaultPlace, error: unknown, handler: FaultHandler): void {
    const nowNs = this.#clock.nowNs();
    if (nowNs - this.#sinceNs >= SECOND) {
      if (this.#untold > 0) this.#log.error("more faults were contained", { count: this.#untold });
      this.#sinceNs = nowNs;
      this.#told = 0;
      this.#untold = 0;
    }
    if (this.#told >= TOLD_A_SECOND) {
      this.#untold++;
      return;
    }
    this.#told++;
    const account = accountOf(handler);
    const what = printable(messageOf(error), MOST_TEXT);
    this.#log.error("a fault was contained: only the part that failed ends", {
      place,
      who: printable(account.name, MOST_TEXT),
      what,
      at: placeOf(error),
    });
    this.#onContained({ place, account, what });
  }
}

function accountOf(handler: FaultHandler): FaultAccount {
  try {
    return handler.faultAccount?.() ?? { name: handler.constructor?.name ?? "" };
  } catch (error) {
    if (error instanceof AssertionFault) throw error;
    return { name: handler.constructor?.name ?? "" };
  }
}

/** The innermost frame of an error's stack, which is what a developer needs to find it. */
function placeOf(error: unknown): string | undefined {
  const stack = error instanceof Error ? error.stack : undefined;
  const frame = stack?.split("\n", 12).find((line) => /^\s+at /.test(line));
  return frame === undefined
    ? undefined
    : printable(frame.trim().replace(/file:\S*\/(?=src\/|ffi\/)/, ""), MOST_TEXT);
}
