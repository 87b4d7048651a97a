/**
 * Looks for a living region until there is one: slices of a look, the wait between the two phases, and when
 * to look again. A stepper: it is told the time and says when it wants to be told again; the waiting and the
 * thread are its caller's.
 *
 * The first look takes every process. While nothing is found, new processes are looked through every second,
 * since a producer that starts is one, and all of them after ten, since a process may make its region late;
 * after twenty, and so on up to sixty, while no process starts: a host has many guests that never have a
 * region.
 * @module
 */
import { MS, NEVER, SECOND } from "../base/clock.ts";
import type { GuestOs } from "../guest/guest_os.ts";
import { type RegionCandidate, RegionScan } from "./discovery.ts";
import { HEARTBEAT_PERIOD_MS } from "./region_layout.ts";
import { READ } from "./vgpu_region.ts";

/** Pages that one step looks at: about a millisecond's work. */
const SLICE_PAGES = 1 << 16;
/** First look at the heartbeats: REGION.md's wait, and the guest's own lateness. */
const FIRST_LOOK_NS = (HEARTBEAT_PERIOD_MS + 20) * MS;
/** After this long without a beat a candidate is dead: an emulated guest under load beats late. */
const LAST_LOOK_NS = 6 * HEARTBEAT_PERIOD_MS * MS;
const LOOK_GAP_NS = 50 * MS;
const NEW_GAP_NS = SECOND;
const ALL_GAP_NS = 10 * SECOND;
const LONGEST_ALL_GAP_NS = 60 * SECOND;

/**
 * How a search stands: `looking` wants another step at once, `waiting` at {@linkcode RegionSearch.nextNs}.
 */
export type SearchState = "looking" | "waiting" | "found";

/** A search for one living region. */
export class RegionSearch {
  /** After `waiting`: when to step again. */
  nextNs = 0;
  /** After `found`: what was found; its region is open and the caller's. */
  found: RegionCandidate | undefined;
  /** Candidates of the look that is under way: something that looks like a region is there. */
  candidates: readonly RegionCandidate[] = [];
  /** Whether a whole look has come to its end without a living region. */
  cameUpEmpty = false;

  readonly #scan: RegionScan;
  #phase: "idle" | "scanning" | "confirming" = "idle";
  #foundAtNs = 0;
  #nextAllNs = 0;
  #allGapNs = ALL_GAP_NS;
  #living: RegionCandidate[] = [];

  /**
   * A search; nothing is read yet.
   *
   * @param os the guest's system, good for one epoch
   */
  constructor(os: GuestOs) {
    this.#scan = new RegionScan(os);
  }

  /** Goes on. @param nowNs the time */
  step(nowNs: number): SearchState {
    switch (this.#phase) {
      case "idle": {
        if (nowNs < this.nextNs) return "waiting";
        const all = nowNs >= this.#nextAllNs;
        this.#scan.begin(all ? "all" : "new");
        this.#planNextAll(nowNs, all);
        this.#phase = "scanning";
        return "looking";
      }
      case "scanning":
        if (!this.#scan.step(SLICE_PAGES)) return "looking";
        return this.#looked(nowNs);
      case "confirming":
        return nowNs < this.nextNs ? "waiting" : this.#confirm(nowNs);
    }
  }

  /** The region was lost: the next look takes all processes, and is due now. */
  again(): void {
    this.found = undefined;
    this.candidates = [];
    this.cameUpEmpty = false;
    this.#phase = "idle";
    this.#nextAllNs = 0;
    this.#allGapNs = ALL_GAP_NS;
    this.nextNs = 0;
  }

  #planNextAll(nowNs: number, all: boolean): void {
    if (this.#scan.fresh > 0) {
      this.#allGapNs = ALL_GAP_NS;
      this.#nextAllNs = Math.min(all ? NEVER : this.#nextAllNs, nowNs + ALL_GAP_NS);
    } else if (all) {
      this.#allGapNs = Math.min(2 * this.#allGapNs, LONGEST_ALL_GAP_NS);
      this.#nextAllNs = nowNs + this.#allGapNs;
    }
  }

  #looked(nowNs: number): SearchState {
    if (this.#scan.candidates.length === 0) return this.#rest(nowNs);
    this.#living = [...this.#scan.candidates];
    this.candidates = this.#living;
    this.#foundAtNs = nowNs;
    this.#phase = "confirming";
    this.nextNs = nowNs + FIRST_LOOK_NS;
    return "waiting";
  }

  #confirm(nowNs: number): SearchState {
    const over = nowNs - this.#foundAtNs >= LAST_LOOK_NS;
    const waiting: RegionCandidate[] = [];
    for (const candidate of this.#living) {
      const result = candidate.region.confirmAlive(candidate.heartbeat);
      if (result === READ.FRESH && this.found === undefined) this.found = candidate;
      else if (result === READ.NOTHING && !over) waiting.push(candidate);
      else if (result === READ.NOTHING) this.#scan.dismiss(candidate);
      else candidate.region.close();
    }
    if (this.found !== undefined) {
      for (const candidate of waiting) candidate.region.close();
      this.#phase = "idle";
      return "found";
    }
    this.#living = waiting;
    this.candidates = waiting;
    if (waiting.length === 0) return this.#rest(nowNs);
    this.nextNs = nowNs + LOOK_GAP_NS;
    return "waiting";
  }

  #rest(nowNs: number): SearchState {
    this.cameUpEmpty = true;
    this.candidates = [];
    this.#phase = "idle";
    this.nextNs = nowNs + NEW_GAP_NS;
    return "waiting";
  }
}
