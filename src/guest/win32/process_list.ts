/**
 * The process list: from the System process along ActiveProcessLinks forwards, and if that breaks also
 * backwards; then along the scheduler's list, which still contains processes that were unlinked from the
 * first.
 *
 * A process that has ended stays listed as long as a handle to it is open: it is marked as such, without a
 * root. Length, cycles and wild links are bounded and reported; a list that changed while it was read is read
 * again a few times.
 * @module
 */
import { textOfBytes } from "../../base/byte_text.ts";
import { MAX_LISTING } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { Listing, Process } from "../process.ts";
import {
  type EprocessLayout,
  HEADER_TYPE_AT,
  IMAGE_NAME_BYTES,
  isInImage,
  isPid,
  PROCESS_OBJECT,
  rootOf,
  SIGNAL_STATE_AT,
  SYSTEM_PID,
} from "./eprocess_layout.ts";
import { isKernelPointer, KERNEL_LINKS, walkLinks } from "./link_walk.ts";
import type { PeImage } from "./pe_image.ts";

/** If this many attempts find a changed list, it counts as broken. */
const ATTEMPTS = 4;

/** A process of a Windows guest. */
export interface WindowsProcess extends Process {
  /** Whether it has ended, and is only still referenced. */
  readonly exited: boolean;
  /**
   * Whether it is on the scheduler's list only: it was unlinked from the list of processes, or is just
   * starting or ending.
   */
  readonly unlinked: boolean;
  /** Its PEB; 0 for none (a minimal process), or when the layout does not say where that is. */
  readonly peb: number;
  /** Root of the tables that user code runs under, where KVA shadow gives it some of its own; else 0. */
  readonly userRoot: number;
}

/** Reads the process list of one kernel. */
export class ProcessList {
  readonly #space: AddressSpace;
  readonly #kernel: PeImage;
  readonly #system: number;
  readonly #name = new Uint8Array(IMAGE_NAME_BYTES);

  /**
   * Reads nothing yet.
   *
   * @param space the kernel's address space
   * @param kernel the kernel's image
   * @param system the System process's object
   */
  constructor(space: AddressSpace, kernel: PeImage, system: number) {
    this.#space = space;
    this.#kernel = kernel;
    this.#system = system;
  }

  /** All processes in the kernel's order, the unlinked ones last. */
  read(layout: EprocessLayout, limit: number = MAX_LISTING): Listing<WindowsProcess> {
    let listing = this.#once(layout, limit);
    for (let i = 1; i < ATTEMPTS && !listing.end.complete && listing.end.reason !== "too-many"; i++) {
      listing = this.#once(layout, limit);
    }
    return listing;
  }

  #once(layout: EprocessLayout, limit: number): Listing<WindowsProcess> {
    const items: WindowsProcess[] = [];
    const listed = new Set<number>([this.#system]);
    const system = this.#describe(layout, this.#system, false);
    if (system === undefined || system.pid !== SYSTEM_PID) {
      return { items, end: { complete: false, reason: "wild-pointer", at: this.#system } };
    }
    items.push(system);
    const take = (link: number): boolean => {
      const object = link - layout.links;
      if (listed.has(object)) return true;
      const process = this.#describe(layout, object, false);
      if (process === undefined) return this.#isHead(layout, link);
      listed.add(object);
      items.push(process);
      return true;
    };
    const end = walkLinks(this.#space, this.#system + layout.links, KERNEL_LINKS, limit - 1, take);
    if (!end.complete && end.reason !== "too-many") {
      this.#backward(layout, limit - items.length, listed, take);
    }
    if (layout.scheduled !== undefined) this.#unlinked(layout, layout.scheduled, limit, listed, items);
    return { items, end };
  }

  /**
   * From the System process along the back links, as far as they are confirmed: the part beyond the break.
   */
  #backward(
    layout: EprocessLayout,
    limit: number,
    listed: ReadonlySet<number>,
    take: (link: number) => boolean,
  ): void {
    let link = this.#system + layout.links;
    for (let i = 0; i < limit; i++) {
      const previous = this.#space.readS64(link, 8);
      if (!isKernelPointer(previous) || this.#space.readS64(previous) !== link) return;
      if (listed.has(previous - layout.links) || !take(previous)) return;
      link = previous;
    }
  }

  /**
   * Live processes that the scheduler knows and the list does not; one that ends is off both lists in a
   * moment.
   */
  #unlinked(
    layout: EprocessLayout,
    scheduled: number,
    limit: number,
    listed: ReadonlySet<number>,
    items: WindowsProcess[],
  ): void {
    walkLinks(this.#space, this.#system + scheduled, KERNEL_LINKS, limit, (link) => {
      const object = link - scheduled;
      if (listed.has(object) || items.length >= limit) return true;
      const process = this.#describe(layout, object, true);
      if (process !== undefined && !process.exited) items.push(process);
      return true;
    });
  }

  /**
   * Whether a link that belongs to no process is the list's head: in the kernel's image, or its number is not
   * a process's.
   */
  #isHead(layout: EprocessLayout, link: number): boolean {
    if (isInImage(this.#kernel, link)) return true;
    const type = this.#space.readU8(link - layout.links, HEADER_TYPE_AT);
    return !Number.isNaN(type) && type !== PROCESS_OBJECT;
  }

  #describe(layout: EprocessLayout, object: number, unlinked: boolean): WindowsProcess | undefined {
    const space = this.#space;
    if (isInImage(this.#kernel, object) || isInImage(this.#kernel, object + layout.links)) return undefined;
    if (!space.load64(object, layout.pid) || !isPid(space.hi, space.lo)) return undefined;
    const pid = space.lo;
    const root = rootOf(space, object);
    if (root === undefined || space.read(object + layout.name, this.#name) < IMAGE_NAME_BYTES) {
      return undefined;
    }
    const nul = this.#name.indexOf(0);
    const name = textOfBytes(nul < 0 ? this.#name : this.#name.subarray(0, nul));
    const exited = space.readS32(object, SIGNAL_STATE_AT) !== 0;
    const peb = layout.peb === undefined ? 0 : space.readS64(object, layout.peb);
    const userRoot = layout.userRoot === undefined ? 0 : rootOf(space, object, layout.userRoot) ?? 0;
    return {
      pid,
      ppid: this.#parentOf(layout, object),
      name,
      // Its tables are gone, or another process's already.
      root: exited ? 0 : root,
      kernelThread: !exited && layout.peb !== undefined && peb === 0,
      object,
      exited,
      unlinked,
      peb: !exited && peb > 0 ? peb : 0,
      userRoot: exited ? 0 : userRoot,
    };
  }

  #parentOf(layout: EprocessLayout, object: number): number {
    const offset = layout.inheritedFrom;
    if (offset === undefined || !this.#space.load64(object, offset)) return 0;
    return isPid(this.#space.hi, this.#space.lo) ? this.#space.lo : 0;
  }
}
