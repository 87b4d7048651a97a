/**
 * Finding regions: phase one looks at page starts of every process for the magic, the invariants and the CRC,
 * and notes the heartbeat of what passes; phase two, after a wait that is the caller's, asks which heartbeats
 * have moved.
 *
 * A look is cut into steps, so that whoever shares a thread with it stays responsive, and it can be confined
 * to the processes that were not there last time. Headers whose heartbeat stood still (a dead producer's
 * copy, a page of a file) are passed by at the next look for as long as they stand still.
 * @module
 */
import { assert } from "../base/assert.ts";
import { MAX_VGPU_CANDIDATES, MAX_VGPU_CANDIDATES_PER_PROCESS, MAX_VGPU_DEAD } from "../base/limits.ts";
import type { AddressSpace } from "../guest/address_space.ts";
import type { GuestOs } from "../guest/guest_os.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../guest/physical_memory.ts";
import type { Listing, Process } from "../guest/process.ts";
import { GuestRegion } from "./guest_region.ts";
import { MAGIC_HI, MAGIC_LO } from "./region_layout.ts";
import { ProducerState } from "./snapshots.ts";
import { UserPages, type UserPageVisitor } from "./user_pages.ts";
import { READ, VgpuRegion } from "./vgpu_region.ts";

/** Something that looks like a region; not yet known to be alive. */
export interface RegionCandidate {
  /** The process that holds it. */
  readonly process: Process;
  /** Its address there. */
  readonly gva: number;
  /** The region, open. Closed by {@linkcode confirmAlive} when it is dead. */
  readonly region: VgpuRegion;
  /** The heartbeat when it was found. */
  readonly heartbeat: number;
}

/** Which processes a look takes: all, or those that the last complete look did not see. */
export type ScanScope = "all" | "new";

/**
 * A process that has just been forked may become another program in a moment: the list is read so many times
 * more.
 */
const LISTS_AFTER_BIRTH = 2;
/** Table entries of one process that a look goes through, whatever RAM there is. */
const MIN_SCAN_ROOM = 1 << 18;

const NO_PROCESSES: Listing<Process> = { items: [], end: { complete: true } };

/**
 * A look through a guest's processes for regions.
 *
 * A process whose tables map several times more than there is RAM (tables that name themselves) is left after
 * so many entries: it hides its own region at worst.
 */
export class RegionScan implements UserPageVisitor {
  /** What was found so far, the most plausible first once the look is done. */
  readonly candidates: RegionCandidate[] = [];
  /** Table entries and pages looked at since {@linkcode begin}. */
  looked = 0;
  /** Processes of this look that the last complete one did not see. */
  fresh = 0;
  /** Whether the process list came to its end; a broken list is looked through as far as it goes. */
  listComplete = true;

  readonly #os: GuestOs;
  readonly #memory: PhysicalMemory;
  readonly #state = new ProducerState();
  readonly #dead = new Set<string>();
  #refreshed = false;
  #listed = false;
  #births: number | undefined;
  #listsToCome = 0;
  #seen = new Set<string>();
  #seeing = new Set<string>();
  #queue: Process[] = [];
  #pages: UserPages | undefined;
  #process: Process | undefined;
  #space: AddressSpace | undefined;
  #ofProcess = 0;
  #room = 0;
  readonly #roomOfProcess: number;

  /**
   * A look at a guest; nothing is read yet.
   *
   * @param os the guest's system; borrowed, good for one epoch
   */
  constructor(os: GuestOs) {
    this.#os = os;
    this.#memory = os.kernel.memory;
    this.#roomOfProcess = MIN_SCAN_ROOM + 4 * this.#memory.ramBytes / PAGE_BYTES;
  }

  /** Starts a look. What the last one found is forgotten, what was dead is not. */
  begin(scope: ScanScope = "all"): void {
    if (this.#refreshed) this.#memory.renew();
    else this.#memory.refresh();
    this.#refreshed = true;
    this.candidates.length = 0;
    this.looked = 0;
    this.fresh = 0;
    this.#pages = undefined;
    this.#listed = this.#mayHaveNew() || scope === "all";
    if (!this.#listed) {
      this.#seeing = this.#seen;
      this.#queue = [];
      return;
    }
    // How entries read is x86-64's here (user_pages.ts): there is no producer for another architecture.
    const isReadable = this.#os.kernel.paging.architecture === "x86-64";
    const listing = isReadable ? this.#os.processes() : NO_PROCESSES;
    this.listComplete = listing.end.complete;
    this.#seeing = new Set();
    const roots = new Set<number>();
    const fresh: Process[] = [];
    const known: Process[] = [];
    for (const process of listing.items) {
      if (process.kernelThread || process.root === 0 || roots.has(process.root)) continue;
      roots.add(process.root);
      const key = `${process.pid} ${process.root} ${process.object}`;
      this.#seeing.add(key);
      if (!this.#seen.has(key)) fresh.push(process);
      else if (scope === "all") known.push(process);
    }
    this.fresh = fresh.length;
    // Taken from the end: what is new comes first.
    this.#queue = [...known.reverse(), ...fresh.reverse()];
  }

  /**
   * Goes on with the look.
   *
   * @param budget table entries and pages to look at, roughly
   * @returns true when the look is done
   */
  step(budget: number): boolean {
    let left = budget;
    while (left > 0) {
      if (this.#pages === undefined && !this.#nextProcess()) {
        this.#finish();
        return true;
      }
      const pages = this.#pages as UserPages;
      const spent = pages.step(left, this);
      left -= spent;
      this.looked += spent;
      this.#room -= spent;
      if (pages.done || this.#room <= 0 || this.#ofProcess >= MAX_VGPU_CANDIDATES_PER_PROCESS) {
        this.#pages = undefined;
      }
    }
    return false;
  }

  /** A whole look at once. */
  run(scope: ScanScope = "all"): readonly RegionCandidate[] {
    this.begin(scope);
    while (!this.step(1 << 20));
    return this.candidates;
  }

  /** Remembers that a candidate's heartbeat stood still: it is passed by until it moves. */
  dismiss(candidate: RegionCandidate): void {
    candidate.region.close();
    if (this.#dead.size >= MAX_VGPU_DEAD) this.#dead.clear();
    this.#dead.add(deadKey(candidate.process, candidate.gva, candidate.heartbeat));
  }

  /** Called for every page: the magic at its start makes it worth a closer look. */
  page(frame: number, gva: number): void {
    const memory = this.#memory;
    if (!memory.locate(frame)) return;
    const { words, wordBase } = memory;
    // The bitmap first: looking at a page that the host does not hold would make the host allocate it.
    if (!memory.isHeld(frame)) return;
    if (words[wordBase] === MAGIC_LO && words[wordBase + 1] === MAGIC_HI) this.#consider(gva);
  }

  #consider(gva: number): void {
    const space = this.#space;
    const process = this.#process;
    assert(space !== undefined && process !== undefined, "a page belongs to a process");
    if (this.candidates.length >= MAX_VGPU_CANDIDATES || this.#ofProcess >= MAX_VGPU_CANDIDATES_PER_PROCESS) {
      return;
    }
    const opened = VgpuRegion.open(new GuestRegion(space, gva));
    if (!opened.ok || opened.region.readState(this.#state) !== READ.FRESH) return;
    const heartbeat = this.#state.heartbeat;
    if (this.#dead.has(deadKey(process, gva, heartbeat))) return;
    this.#ofProcess++;
    this.candidates.push({ process, gva, region: opened.region, heartbeat });
  }

  /** Whether the list may have changed since it was last read; to be asked once a look. */
  #mayHaveNew(): boolean {
    const births = this.#os.births();
    if (births === undefined || births !== this.#births || !this.listComplete) {
      this.#listsToCome = LISTS_AFTER_BIRTH;
    } else if (this.#listsToCome > 0) this.#listsToCome--;
    else return false;
    this.#births = births;
    return true;
  }

  #nextProcess(): boolean {
    const process = this.#queue.pop();
    if (process === undefined) return false;
    this.#process = process;
    this.#space = this.#os.spaceOf(process);
    this.#pages = new UserPages(this.#space);
    this.#ofProcess = 0;
    this.#room = this.#roomOfProcess;
    return true;
  }

  #finish(): void {
    if (this.#listed) this.#memory.letGo();
    this.#seen = this.#seeing;
    // A region that is shared or copied shows in several processes: its producer's own comes first.
    this.candidates.sort((a, b) => Number(!isOwn(a)) - Number(!isOwn(b)) || a.process.pid - b.process.pid);
  }
}

/**
 * Which candidates' heartbeats have moved since they were found, at least HEARTBEAT_PERIOD_MS ago. Dead ones
 * are dismissed.
 */
export function confirmAlive(
  candidates: readonly RegionCandidate[],
  scan?: Pick<RegionScan, "dismiss">,
): RegionCandidate[] {
  const alive: RegionCandidate[] = [];
  for (const candidate of candidates) {
    const result = candidate.region.confirmAlive(candidate.heartbeat);
    if (result === READ.FRESH) alive.push(candidate);
    else if (result === READ.NOTHING && scan !== undefined) scan.dismiss(candidate);
    else candidate.region.close();
  }
  return alive;
}

function isOwn(candidate: RegionCandidate): boolean {
  return candidate.region.header.producerPid === candidate.process.pid;
}

function deadKey(process: Process, gva: number, heartbeat: number): string {
  return `${process.root} ${gva} ${heartbeat}`;
}
