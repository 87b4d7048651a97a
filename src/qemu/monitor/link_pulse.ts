/**
 * Decides whether a connected monitor is still alive: when to send a heartbeat, and when it has been silent
 * for too long. Pure: the time and received data are parameters.
 *
 * A heartbeat is sent only after 1.25 to 1.5 s of silence, on a grid of 250 ms shared by all monitors, so
 * that many of them wake the loop together. Silence is reported 2.75 s after the last data. A monitor that is
 * reached through a manager (libvirt) may be queried less often.
 * @module
 */
import { MS, SECOND } from "../../base/clock.ts";
import { LinkOutlook } from "./link_outlook.ts";

/** Silence on QEMU's own monitor after which a heartbeat is sent, ns. */
export const QUIET_NS: number = 1.25 * SECOND;
const GRID_NS = 250 * MS;
/** Time after a due heartbeat at which silence is reported, ns. */
const GRACE_NS = 1.5 * SECOND;
/** Minimum time for a heartbeat's answer, ns, also if the loop itself was delayed. */
const ANSWER_NS = 1.25 * SECOND;

/**
 * What to do. `wait`: check again later. `ask`: send a heartbeat, then check again. `silent`: no data arrived
 * in time.
 */
export type PulseVerdict =
  | { readonly act: "wait" | "ask"; readonly untilNs: number }
  | { readonly act: "silent" };

/** The state of one monitor. */
export class LinkPulse {
  readonly #outlook: LinkOutlook;
  readonly #quiet: () => number;
  #heardNs = 0;
  #askedNs = 0;

  /**
   * Starts.
   *
   * @param outlook tells when silence is expected
   * @param quiet silence after which a heartbeat is sent, ns
   */
  constructor(outlook: LinkOutlook = new LinkOutlook(), quiet: () => number = () => QUIET_NS) {
    this.#outlook = outlook;
    this.#quiet = quiet;
  }

  /** When data was last received. */
  get heardNs(): number {
    return this.#heardNs;
  }

  /** Data was received. */
  heard(nowNs: number): void {
    this.#heardNs = nowNs;
  }

  /** When to check a monitor that comes up now. */
  firstLookNs(nowNs: number): number {
    return onGrid(nowNs + this.#quiet());
  }

  /** Checks. */
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

  /** When to check again, if data that was read since shows life; undefined if not. */
  secondLookNs(): number | undefined {
    return this.#heardNs >= this.#askedNs ? onGrid(this.#heardNs + this.#quiet()) : undefined;
  }
}

function onGrid(ns: number): number {
  return Math.ceil(ns / GRID_NS) * GRID_NS;
}
