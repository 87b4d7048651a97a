/**
 * The guest system of one endpoint, from epoch to epoch: the RAM that a MEMCTX brings, the system that is
 * found in it, and whether it is still the one that runs. A state machine that is told the time.
 *
 *   none -(MEMCTX)-> searching -(found)-> running -(not there any more)-> searching
 *   any -(MEMCTX_INVALIDATED, or a defect in the guest's structures)-> none
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import type { FindResult, GuestOs } from "../../guest/guest_os.ts";
import type { PhysicalMemory } from "../../guest/physical_memory.ts";
import { openMemsegs } from "../../ram/memseg_ram.ts";

/** Looks for a system in RAM. */
export type FindSystem = (memory: PhysicalMemory, liveRoot: number | undefined) => FindResult;

/** Told about the system. */
export interface GuestListener {
  /** A system runs; good until {@linkcode onSystemGone}. */
  onSystem(os: GuestOs): void;
  /** It does not run any more, or its memory was taken away. Told also when none was there. */
  onSystemGone(): void;
}

/** How often it is looked whether the kernel is still there. A reset is told by the bus. */
const BUSY_LOOK_NS = SECOND;
const IDLE_LOOK_NS = 5 * SECOND;
/**
 * When the system is looked for again, after it was not found: twice as late each time. The daemon looks too,
 * and tells a new context when it finds one.
 */
const SEARCH_GAP_NS = 2 * SECOND;
const LONGEST_SEARCH_GAP_NS = 30 * SECOND;

/** What is known of the guest. */
type Guest =
  | { readonly kind: "none" }
  | { readonly kind: "searching"; readonly memory: PhysicalMemory; readonly liveRoot: number; gapNs: number }
  | {
    readonly kind: "running";
    readonly memory: PhysicalMemory;
    readonly liveRoot: number;
    readonly os: GuestOs;
  };

const NONE: Guest = { kind: "none" };

/** Follows one endpoint's guest system. */
export class GuestTracker {
  readonly #endpoint: EndpointId;
  readonly #find: FindSystem;
  readonly #listener: GuestListener;
  #guest: Guest = NONE;
  #nextNs = NEVER;

  /**
   * A tracker without a context.
   *
   * @param endpoint for what it says
   * @param find looks for a system
   * @param listener told about it
   */
  constructor(endpoint: EndpointId, find: FindSystem, listener: GuestListener) {
    this.#endpoint = endpoint;
    this.#find = find;
    this.#listener = listener;
  }

  /** When it wants {@linkcode step}; NEVER without a context. */
  get nextNs(): number {
    return this.#nextNs;
  }

  /** The system that is known to run; undefined while none is. */
  get system(): GuestOs | undefined {
    return this.#guest.kind === "running" ? this.#guest.os : undefined;
  }

  /** Whether a system is known to run. */
  get isRunning(): boolean {
    return this.#guest.kind === "running";
  }

  /**
   * Takes a MEMCTX: the last epoch is over.
   *
   * @param kcr3 the kernel's root, 0 when the daemon does not know it
   * @param body its memsegs
   * @param fds its descriptors, borrowed
   * @throws {Fault} `protocol-error`, `refused` when the memsegs do not fit the files
   */
  onContext(kcr3: number, body: Uint8Array, fds: readonly OwnedFd[]): void {
    this.forget();
    const memory = openMemsegs(body, fds, `RAM of endpoint ${this.#endpoint}`);
    this.#guest = { kind: "searching", memory, liveRoot: kcr3, gapNs: SEARCH_GAP_NS };
    this.#nextNs = 0;
  }

  /** The epoch is over: lets go of the guest's memory. */
  forget(): void {
    this.#listener.onSystemGone();
    if (this.#guest.kind !== "none") this.#guest.memory[Symbol.dispose]();
    this.#guest = NONE;
    this.#nextNs = NEVER;
  }

  /** A producer was found: the kernel is looked after more often from now on. */
  hasten(nowNs: number): void {
    assert(this.#guest.kind === "running", "what runs in a guest runs under its system");
    this.#nextNs = Math.min(this.#nextNs, nowNs + BUSY_LOOK_NS);
  }

  /**
   * Looks, when it is time to: for a system, or whether the known one is still there.
   *
   * @param busy whether somebody lives on what is in the guest
   */
  step(nowNs: number, busy: boolean): void {
    if (nowNs < this.#nextNs) return;
    const guest = this.#guest;
    if (guest.kind === "searching") return this.#search(nowNs, guest);
    if (guest.kind !== "running") return;
    this.#nextNs = nowNs + (busy ? BUSY_LOOK_NS : IDLE_LOOK_NS);
    if (guest.os.stillThere()) return;
    this.#listener.onSystemGone();
    const { memory, liveRoot } = guest;
    this.#guest = { kind: "searching", memory, liveRoot, gapNs: SEARCH_GAP_NS };
    this.#nextNs = nowNs + SEARCH_GAP_NS;
  }

  #search(nowNs: number, guest: Guest & { kind: "searching" }): void {
    assert(guest === this.#guest, "what is searched is the RAM of this epoch");
    const { memory, liveRoot } = guest;
    memory.refresh();
    const found = this.#find(memory, liveRoot === 0 ? undefined : liveRoot);
    // All of its RAM was looked through: with 64 guests it would be ours by the gigabyte.
    memory.letGo();
    if (!found.found) {
      this.#nextNs = nowNs + guest.gapNs;
      guest.gapNs = Math.min(2 * guest.gapNs, LONGEST_SEARCH_GAP_NS);
      return;
    }
    this.#guest = { kind: "running", memory, liveRoot, os: found.os };
    this.#nextNs = nowNs + BUSY_LOOK_NS;
    this.#listener.onSystem(found.os);
  }
}
