/**
 * The one writer of a guest's memory: it alone has the RAM mapped for writing, from its first write on.
 *
 * A write is resolved whole before its first byte is stored, and then nothing can fail any more: all or
 * nothing. (RAM in a file that somebody cuts at that very moment is the exception: the write is refused,
 * whatever was stored.) An aligned write of 1, 2, 4 or 8 bytes is one atomic store. It does not know leases,
 * extents or audit; the adapter has asked them.
 * @module
 */
import { Mapping } from "../../../ffi/mapping.ts";
import { getSeals, SEAL } from "../../../ffi/memfd.ts";
import { copyIn } from "../../../ffi/memory_copy.ts";
import { storeAtomic } from "../../../ffi/shared_word.ts";
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import type { PageWalker } from "../../guest/page_walker.ts";
import { walkerOf } from "../../guest/walkers.ts";
import { knownPaging, type Paging, PTE_W, rootAlignment, WALK } from "../../guest/paging.ts";
import { PAGE_BYTES, PhysicalMemory } from "../../guest/physical_memory.ts";
import type { RamPort, RamSegment } from "../../guest/ram_port.ts";
import { systemOf } from "../../guest/systems.ts";
import type { GuestContext } from "./context_event.ts";
import { type MemwriteRequest, SEQUENCE_BYTES } from "./memwrite_request.ts";
import type { SharedRam } from "./shared_ram.ts";

/** A sequence word, and 4096 bytes behind it that begin anywhere. */
const MAX_PAGES = 3;
/** Where the kernel's image is mapped, in 4 and in 5 levels: the last entry of a root. */
const LAST_ENTRY_WORD = 511 * 2;
/** Accessed and dirty: the CPU sets them behind the kernel's back. */
const TRACKING_BITS = 0x60;

/** Which address space writes without a root of their own mean, and what its roots look like. */
export interface WriteContext {
  /** The kernel's root, frame number. */
  readonly rootFrame: number;
  /** How its tables are read; undefined when no walker here reads them: nothing is written then. */
  readonly paging: Paging | undefined;
  /** Whether a root is one half of a pair (KPTI): then the kernel's half is the even one. */
  readonly paired: boolean;
  /** Whether every root's last entry is the kernel's own, so that a made-up root can be told. */
  readonly sharesLastEntry: boolean;
}

/** How writes into a guest of this epoch are resolved. */
export function writeContextOf(guest: GuestContext): WriteContext {
  const { kind, architecture, root, levels, variant, isolated } = guest;
  // On arm64 a process's root is a table of its own, which shares nothing with the kernel's.
  const traits = architecture === "x86-64" && kind !== undefined ? systemOf(kind).traits : undefined;
  return {
    rootFrame: root / PAGE_BYTES,
    paging: knownPaging(architecture, levels, variant),
    paired: traits?.rootsArePaired === true && isolated,
    sharesLastEntry: traits?.sharesLastEntry === true,
  };
}

/** Writes into one VM's RAM. */
export class MemoryWriter implements Disposable {
  /** After {@linkcode write}: how many bytes were in order before the one that was not. */
  inOrder = 0;
  readonly #ram: SharedRam;
  readonly #files: readonly Mapping[];
  readonly #views: readonly DataView[];
  readonly #memory: PhysicalMemory;
  readonly #canShrink: boolean;
  /** One of each paging mode that was met. */
  readonly #walkers = new Map<Paging, PageWalker>();
  /** The resolved pages of the write under way. */
  readonly #file = new Int32Array(MAX_PAGES);
  readonly #at = new Float64Array(MAX_PAGES);
  readonly #count = new Int32Array(MAX_PAGES);
  #pages = 0;

  /**
   * Maps the RAM for writing.
   *
   * @param ram the RAM; borrowed, and outlives this
   * @throws {OsError} when this process may not write it
   */
  constructor(ram: SharedRam) {
    this.#ram = ram;
    const fds = ram.openWritable();
    const files: Mapping[] = [];
    // QEMU seals its memfds: what cannot shrink need not be looked at before each write.
    this.#canShrink = fds.some(({ fd }) => (getSeals(fd) & SEAL.SHRINK) === 0);
    try {
      fds.forEach((fd, i) => files.push(Mapping.map(fd.fd, 0, ram.sizeOf(i), { write: true })));
    } catch (error) {
      for (const mapping of files) mapping[Symbol.dispose]();
      throw error;
    } finally {
      for (const fd of fds) fd.close();
    }
    this.#files = files;
    this.#views = files.map((mapping) => new DataView(mapping.buffer));
    this.#memory = new PhysicalMemory(new WritablePort(ram, files));
  }

  /**
   * Writes, or stores nothing.
   *
   * @param request what and where
   * @param context the guest's address space now
   * @param force also into pages that the guest has mapped read-only
   * @returns CODE.ok; not-supported (no walker reads these page tables); not-mapped, refused (a read-only
   *   page) or bad-argument (no canonical address, no root of this guest's)
   * @throws {Fault} `refused` when the RAM's file shrank
   */
  write(request: MemwriteRequest, context: WriteContext, force: boolean): Code {
    if (!this.#canShrink) return this.#write(request, context, force);
    this.#ram.verify();
    const code = this.#write(request, context, force);
    if (this.#files.some((mapping) => mapping.lost)) {
      throw new Fault("refused", "Cannot write guest RAM: its file was truncated");
    }
    return code;
  }

  /** Unmaps. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }

  #write(request: MemwriteRequest, context: WriteContext, force: boolean): Code {
    this.inOrder = 0;
    let root = context.rootFrame;
    if (request.hasRoot) {
      root = context.paired ? request.rootFrame & ~1 : request.rootFrame;
      if (!this.#memory.locate(root)) return CODE["not-mapped"];
      if (context.sharesLastEntry && !this.#sharesLastEntry(root, context.rootFrame)) {
        return CODE["bad-argument"];
      }
    }
    if (context.paging === undefined) return CODE["not-supported"];
    const walker = this.#walkerOf(context.paging, context.rootFrame);
    walker.rootOffset = request.hasRoot && rootAlignment(context.paging) < PAGE_BYTES
      ? request.rootOffset
      : 0;
    const code = this.#resolve(request, walker, root, force);
    if (code !== CODE.ok) return code;
    if (request.seqlock) this.#storeUnderSequence(request);
    else this.#store(request, 0);
    return CODE.ok;
  }

  #walkerOf(paging: Paging, kernelRootFrame: number): PageWalker {
    let walker = this.#walkers.get(paging);
    if (walker === undefined) {
      walker = walkerOf(this.#memory, paging, kernelRootFrame);
      this.#walkers.set(paging, walker);
    }
    // Of x86-64 it means nothing.
    if (paging.architecture === "aarch64") walker.kernelRootFrame = kernelRootFrame;
    return walker;
  }

  /** Finds every page of the write, and that it may be written. */
  #resolve(request: MemwriteRequest, walker: PageWalker, root: number, force: boolean): Code {
    let { hi, lo } = request;
    this.#pages = 0;
    while (this.inOrder < request.span) {
      const frame = walker.explain(root, hi, lo);
      if (frame < 0) return frame === WALK.nonCanonical ? CODE["bad-argument"] : CODE["not-mapped"];
      if (!force && (walker.allowLo & PTE_W) === 0) return CODE.refused;
      const skip = lo & (PAGE_BYTES - 1);
      const count = Math.min(PAGE_BYTES - skip, request.span - this.inOrder);
      if (!this.#place(frame * PAGE_BYTES + skip, count)) return CODE["not-mapped"];
      this.inOrder += count;
      const next = (lo >>> 0) + count;
      lo = next | 0;
      if (next >= 2 ** 32) hi = (hi + 1) | 0;
    }
    return CODE.ok;
  }

  /** Notes where physical bytes of one page are stored. */
  #place(gpa: number, count: number): boolean {
    for (const piece of this.#ram.pieces) {
      if (gpa < piece.gpa || gpa >= piece.gpa + piece.sizeBytes) continue;
      assert(this.#pages < MAX_PAGES, "a write has few pages");
      this.#file[this.#pages] = piece.backend;
      this.#at[this.#pages] = piece.fileOffset + (gpa - piece.gpa);
      this.#count[this.#pages] = count;
      this.#pages++;
      return true;
    }
    return false;
  }

  /**
   * A root that the guest's kernel made maps the kernel's image by the same table as the kernel's own root.
   */
  #sharesLastEntry(root: number, kernelRoot: number): boolean {
    const memory = this.#memory;
    if (!memory.locate(root)) return false;
    const lo = (memory.words[memory.wordBase + LAST_ENTRY_WORD] as number) | TRACKING_BITS;
    const hi = memory.words[memory.wordBase + LAST_ENTRY_WORD + 1] as number;
    if (!memory.locate(kernelRoot)) return false;
    return lo === ((memory.words[memory.wordBase + LAST_ENTRY_WORD] as number) | TRACKING_BITS) &&
      hi === memory.words[memory.wordBase + LAST_ENTRY_WORD + 1];
  }

  #storeUnderSequence(request: MemwriteRequest): void {
    const mapping = this.#files[this.#file[0] as number] as Mapping;
    const at = this.#at[0] as number;
    const before = (this.#views[this.#file[0] as number] as DataView).getUint32(at, true);
    // A word that a dead writer left odd becomes the next odd one: readers see that it moved.
    const odd = ((before + 1) | 1) >>> 0;
    // Both stores of the word are full fences on this processor.
    storeAtomic(mapping, at, SEQUENCE_BYTES, odd);
    this.#store(request, SEQUENCE_BYTES);
    storeAtomic(mapping, at, SEQUENCE_BYTES, (odd + 1) >>> 0);
  }

  /** Stores the source, `skip` bytes into the resolved pages. */
  #store(request: MemwriteRequest, skip: number): void {
    let from = request.sourceAt;
    for (let i = 0; i < this.#pages; i++) {
      const mapping = this.#files[this.#file[i] as number] as Mapping;
      const at = (this.#at[i] as number) + skip;
      const count = (this.#count[i] as number) - skip;
      skip = 0;
      if (count <= 0) continue;
      if (count === request.length && isAtomic(at, count)) storeOne(mapping, at, request.source, from, count);
      else copyIn(mapping, at, request.source, from, count);
      from += count;
    }
  }
}

function isAtomic(at: number, count: number): boolean {
  return (count === 1 || count === 2 || count === 4 || count === 8) && at % count === 0;
}

function storeOne(mapping: Mapping, at: number, source: Uint8Array, from: number, count: number): void {
  let low = 0;
  let high = 0;
  for (let i = Math.min(count, 4) - 1; i >= 0; i--) low = (low << 8) | (source[from + i] as number);
  for (let i = count - 1; i >= 4; i--) high = (high << 8) | (source[from + i] as number);
  storeAtomic(mapping, at, count, low, high);
}

/** The writable mapping as the walker sees it. It is never scanned, so it need not tell its holes. */
class WritablePort implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description = "RAM that is written";
  readonly #ram: SharedRam;
  readonly #files: readonly Mapping[];

  constructor(ram: SharedRam, files: readonly Mapping[]) {
    this.#ram = ram;
    this.#files = files;
    this.segments = ram.pieces.map(({ gpa, sizeBytes, fileOffset, backend }) => ({
      gpa,
      sizeBytes,
      mapped: { buffer: (files[backend] as Mapping).buffer, byteOffset: fileOffset },
    }));
  }

  nextData(gpa: number, _end: number): number {
    return gpa;
  }

  nextHole(_gpa: number, end: number): number {
    return end;
  }

  fetch(_gpa: number, _into: Uint8Array): boolean {
    return false;
  }

  verify(): void {
    this.#ram.verify();
  }

  [Symbol.dispose](): void {
    for (const mapping of this.#files) mapping[Symbol.dispose]();
  }
}
