/**
 * Whether a monitor that is up still lives: when to ask it for a sign, and when it has given none for too
 * long. Pure: it is told the time and what was heard.
 *
 * A question is asked only after 1.25 to 1.5 s of quiet, on a grid of 250 ms that all monitors share, so that
 * many of them wake the loop together. Silence is told 2.75 s after the last sign of life. A monitor that
 * somebody else passes on (libvirt) may be asked less often.
 * @module
 */
import { MS, SECOND } from "../../base/clock.ts";
import { LinkOutlook } from "./link_outlook.ts";

/** How long nothing may come from QEMU's own monitor before a sign of life is asked for. */
export const QUIET_NS: number = 1.25 * SECOND;
const GRID_NS = 250 * MS;
/** Silence is told so long after the question was due. */
const GRACE_NS = 1.5 * SECOND;
/** A heartbeat gets this long at least, also when the loop itself was away. */
const ANSWER_NS = 1.25 * SECOND;

/**
 * What is to be done. `wait`: look again later. `ask`: send a heartbeat, then look again. `silent`: nothing
 * came in time, as far as was read.
 */
export type PulseVerdict =
  | { readonly act: "wait" | "ask"; readonly untilNs: number }
  | { readonly act: "silent" };

/** The pulse of one monitor. */
export class LinkPulse {
  readonly #outlook: LinkOutlook;
  readonly #quiet: () => number;
  #heardNs = 0;
  #askedNs = 0;

  /**
   * Starts.
   *
   * @param outlook says when silence is expected
   * @param quiet how long nothing may come before a question is asked, ns
   */
  constructor(outlook: LinkOutlook = new LinkOutlook(), quiet: () => number = () => QUIET_NS) {
    this.#outlook = outlook;
    this.#quiet = quiet;
  }

  /** When something was heard last. */
  get heardNs(): number {
    return this.#heardNs;
  }

  /** Bytes have come. */
  heard(nowNs: number): void {
    this.#heardNs = nowNs;
  }

  /** When to look first at a monitor that comes up now. */
  firstLookNs(nowNs: number): number {
    return onGrid(nowNs + this.#quiet());
  }

  /** Looks. */
  check(nowNs: number): PulseVerdict {
    const quietNs = this.#quiet();
    if (nowNs - this.#heardNs < quietNs) return { act: "wait", untilNs: onGrid(this.#heardNs + quietNs) };
    if (this.#askedNs <= this.#heardNs) {
      this.#askedNs = nowNs;
      return { act: "ask", untilNs: onGrid(nowNs + ANSWER_NS) };
    }
    const staleNs = Math.max(
      this.#heardNs + quietNs + GRACE_NS,
      this.#askedNs + ANSWER_NS,
      this.#outlook.silentUntilNs,
    );
    return nowNs < staleNs
      ? { act: "wait", untilNs: Math.min(staleNs, nowNs + QUIET_NS + GRACE_NS) }
      : { act: "silent" };
  }

  /** When to look again, if what was read since has brought a sign of life; undefined when it has not. */
  secondLookNs(): number | undefined {
    return this.#heardNs >= this.#askedNs ? onGrid(this.#heardNs + this.#quiet()) : undefined;
  }
}

function onGrid(ns: number): number {
  return Math.ceil(ns / GRID_NS) * GRID_NS;
}
