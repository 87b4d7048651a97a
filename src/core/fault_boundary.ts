/**
 * The fault boundary: what a callback throws ends its owner, and not the bus. Whoever calls the code of a
 * peer, an adapter or a timer hands what it throws to {@linkcode FaultBoundary.contain}: the boundary counts
 * it, tells it in the log and in the audit trail, and then tells the owner to end what it does (`onFault`).
 *
 * What is contained: every error but one. TypeError, RangeError (a stack that was too deep too), a system
 * call that failed unexpectedly, a Fault: all of them come from what one peer, one QEMU or one file made us
 * do, and the next one has nothing to do with it.
 *
 * What is not contained, and ends the process loudly:
 * - an {@linkcode AssertionFault}, wherever it is thrown: vmsig is wrong about itself, and what everybody
 *   shares (the pool, the ledger, the leases) cannot be trusted any more;
 * - what the core's own turn throws outside of a control's or an adapter's callback: the same, in other
 *   words.
 * @module
 */
import type { ControlId, EndpointId } from "../base/ids.ts";
import { assert, AssertionFault } from "../base/assert.ts";
import { type Clock, SECOND } from "../base/clock.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { printable } from "../base/printable.ts";

/** Where a fault was thrown. */
export const FAULT_PLACES = ["descriptor", "timer", "task", "message", "control", "adapter"] as const;
/** One of them. */
export type FaultPlace = (typeof FAULT_PLACES)[number];

/** Whom a fault is about. */
export interface FaultAccount {
  /** For the log: a peer's name, "vmhost[web]", a socket's path. */
  readonly name: string;
  /** The uid behind it; 0 for none. */
  readonly principal?: number;
  /** For whom that uid speaks, "token:alice". */
  readonly as?: string | undefined;
  /** The control's number. */
  readonly control?: ControlId;
  /** The endpoint's number. */
  readonly endpoint?: EndpointId;
}

/**
 * A part that is called back and may fail. Both methods are optional: a part without them is named by its
 * class, and is not called again.
 */
export interface FaultHandler {
  /** Whom it is about; asked when something was thrown. */
  faultAccount?(): FaultAccount;
  /**
   * Something that was called on its behalf threw. It ends what it does (a peer leaves, a connection is lost)
   * or begins anew later; it is still watched, so it must not leave everything as it is.
   */
  onFault?(error: unknown): void;
}

/** A fault that was contained. */
export interface ContainedFault {
  /** Where. */
  readonly place: FaultPlace;
  /** Whom it is about. */
  readonly account: FaultAccount;
  /** What was thrown, as it may be shown. */
  readonly what: string;
}

/** Faults that are told in a second; the rest is counted. */
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
   * Has contained nothing yet.
   *
   * @param onContained told of each fault that is told at all: writes the audit line
   */
  constructor(log: Log, clock: Clock, onContained: (fault: ContainedFault) => void = () => {}) {
    this.#log = log;
    this.#clock = clock;
    this.#onContained = onContained;
  }

  /** How many faults were contained, by place. */
  get counts(): ReadonlyMap<FaultPlace, number> {
    return this.#counts;
  }

  /** How many there were in all. */
  get total(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  /**
   * Deals with what a callback threw.
   *
   * @param handler whose callback it was
   * @returns whether it took care of itself; if not, the caller ends what it would be called for
   * @throws whatever is not to be contained
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

/** The innermost frame of an error's stack: what a developer needs to find it. */
function placeOf(error: unknown): string | undefined {
  const stack = error instanceof Error ? error.stack : undefined;
  const frame = stack?.split("\n", 12).find((line) => /^\s+at /.test(line));
  return frame === undefined
    ? undefined
    : printable(frame.trim().replace(/file:\S*\/(?=src\/|ffi\/)/, ""), MOST_TEXT);
}
