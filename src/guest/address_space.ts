/**
 * A guest address space: a page-table root over physical memory, read as bytes, words, strings and runs.
 *
 * An address is a double as src/base/ids.ts says. Under 5 levels a kernel address is exact only to 8 bytes,
 * so every word access takes an 8-aligned base and a small offset apart, and adds them as integers. Words are
 * read through the same walk as everything else, without a cache and without garbage: {@linkcode load64}
 * leaves two int32 halves in fields.
 *
 * It never writes. A writer gets the pages and their permissions from {@linkcode runs}, and stores through a
 * mapping of its own.
 * @module
 */
import { textOfBytes } from "../base/byte_text.ts";
import { assert } from "../base/assert.ts";
import { MAX_RUNS } from "../base/limits.ts";
import type { Paging } from "./paging.ts";
import { PTE_NX_HI, PTE_U, PTE_W, rootAlignment, WALK, walkFailure } from "./paging.ts";
import { PAGE_BYTES, type PhysicalMemory } from "./physical_memory.ts";
import { isRegularRoot, type PageWalker, type SoftwarePage } from "./page_walker.ts";
import { type Access, type PhysicalRun, type RunList, sameAccess, type Translation } from "./translation.ts";
import { walkerOf } from "./walkers.ts";

export type { Access, PhysicalRun, RunList, Translation } from "./translation.ts";

const HIGH = 2 ** 32;
const NAN = Number.NaN;
const MAX_TEXT_BYTES = 4096;

/** A page-table root over guest RAM. Not reentrant. */
export class AddressSpace {
  /** The RAM underneath. */
  readonly memory: PhysicalMemory;
  /** The paging mode. */
  readonly paging: Paging;
  /** Guest-physical address of the root table. */
  readonly root: number;
  /** Frame number of the root table. */
  readonly rootFrame: number;
  /** The walker; its fields describe the last access. */
  readonly walker: PageWalker;
  /** After {@linkcode load64}: low half, int32. */
  lo = 0;
  /** After {@linkcode load64}: high half, int32. */
  hi = 0;
  /** After a read that ended early: the negative WALK code of the page that stopped it. */
  failure: number = WALK.notPresent;

  readonly #software: SoftwarePage | undefined;
  readonly #kernelRoot: number;
  // Plain properties, as in walker.ts: the memory's fields that load64 reads, without an indirection.
  private readonly linear: Int32Array;
  private readonly held: Int32Array;
  /** The walker's, unless the root lies past what its regular case can index. */
  private readonly regularWords: number;
  /** For {@linkcode cstring}; made when the first text is read. */
  #text: Uint8Array | undefined;

  /**
   * An address space; nothing is read yet.
   *
   * @param memory the guest's RAM
   * @param paging the paging mode
   * @param root guest-physical address of the root table (flag bits of a CR3 are ignored)
   * @param software decides about entries that are not present
   * @param kernelRoot guest-physical address of a separate kernel half's root (arm64); omitted: `root` is the
   *   kernel's, without a user half
   */
  constructor(
    memory: PhysicalMemory,
    paging: Paging,
    root: number,
    software?: SoftwarePage,
    kernelRoot: number = root,
  ) {
    assert(root >= 0 && root < 2 ** 52, "a page-table root is a physical address");
    assert(kernelRoot >= 0 && kernelRoot < 2 ** 52, "the kernel half's root is a physical address");
    this.memory = memory;
    this.paging = paging;
    this.rootFrame = frameOf(root);
    const alignment = rootAlignment(paging);
    this.root = Math.floor(root / alignment) * alignment;
    this.walker = walkerOf(memory, paging, frameOf(kernelRoot));
    this.walker.rootOffset = this.root % PAGE_BYTES;
    this.regularWords = isRegularRoot(this.rootFrame) ? this.walker.regularWords : 0;
    this.linear = memory.linear;
    this.held = memory.held;
    this.#software = software;
    this.#kernelRoot = kernelRoot;
  }

  /** Another root in the same memory and paging mode, with the same separate kernel half if any. */
  withRoot(root: number): AddressSpace {
    return new AddressSpace(this.memory, this.paging, root, this.#software, this.#kernelRoot);
  }

  /**
   * The frame of an address given as two halves; the hot path of everything else.
   *
   * @returns the frame number, or a negative WALK code
   */
  frameAt(hi: number, lo: number): number {
    const frame = this.walker.walk(this.rootFrame, hi, lo);
    return frame >= 0 ? frame : this.#softly(frame, hi, lo);
  }

  /**
   * Translates an address.
   *
   * @returns the physical address, or a negative WALK code
   */
  translate(gva: number): number {
    const lo = gva | 0;
    // The high half, rounded down; Math.floor, or taking the low half off first, would lengthen the walk's
    // critical path. Literals, not names: a module's constant is a load and a check at each use.
    const hi = (gva * 2 ** -32 | 0) - (gva < 0 && lo !== 0 ? 1 : 0);
    const walker = this.walker;
    const frame = walker.regular(this.rootFrame, hi, lo, this.regularWords);
    return frame >= 0 ? frame * 4096 + (lo & 0xfff) : this.#translateOtherwise(hi, lo);
  }

  /** Translates an address; returns the mapping's permissions, or why there is none. */
  probe(gva: number): Translation {
    const gpa = this.#explain(gva);
    if (gpa < 0) return { ok: false, reason: walkFailure(gpa) };
    return {
      ok: true,
      gpa,
      pageBytes: this.walker.shift === 12 ? PAGE_BYTES : 2 ** this.walker.shift,
      ...this.#access(),
    };
  }

  /**
   * Splits a range into physical runs; adjacent pieces with the same permissions are merged.
   *
   * @param gva first address
   * @param sizeBytes how many bytes, at least 1
   */
  runs(gva: number, sizeBytes: number): RunList {
    const runs: PhysicalRun[] = [];
    let done = 0;
    while (done < sizeBytes) {
      const at = gva + done;
      const gpa = this.#explain(at);
      if (gpa < 0) return { ok: false, runs, sizeBytes: done, reason: walkFailure(gpa) };
      if (!this.memory.isRam(gpa)) return { ok: false, runs, sizeBytes: done, reason: "out-of-ram" };
      const pageBytes = 2 ** this.walker.shift;
      const inPage = ((at % pageBytes) + pageBytes) % pageBytes;
      const n = Math.min(pageBytes - inPage, sizeBytes - done);
      const access = this.#access();
      const last = runs[runs.length - 1];
      if (last !== undefined && last.gpa + last.sizeBytes === gpa && sameAccess(last, access)) {
        runs[runs.length - 1] = { ...last, sizeBytes: last.sizeBytes + n };
      } else {
        if (runs.length >= MAX_RUNS) return { ok: false, runs, sizeBytes: done, reason: "too-many" };
        runs.push({ gva: at, gpa, sizeBytes: n, ...access });
      }
      done += n;
    }
    return { ok: true, runs, sizeBytes: done };
  }

  /**
   * Copies bytes out, exactly as far as pages are mapped and have RAM.
   *
   * @param gva first address
   * @param into receives the bytes
   * @param offset where in `into`
   * @param length how many bytes
   * @returns how many were copied; when fewer than `length`, {@linkcode failure} says why
   */
  read(gva: number, into: Uint8Array, offset = 0, length: number = into.length - offset): number {
    let lo = gva | 0;
    let hi = (gva - (lo >>> 0)) / HIGH | 0;
    let done = 0;
    while (done < length) {
      const frame = this.frameAt(hi, lo);
      if (frame < 0) {
        this.failure = frame;
        return done;
      }
      const skip = lo & 0xfff;
      const n = Math.min(PAGE_BYTES - skip, length - done);
      if (!this.memory.copyPage(frame, skip, into, offset + done, n)) {
        this.failure = WALK.outOfRam;
        return done;
      }
      done += n;
      const next = (lo >>> 0) + n;
      lo = next | 0;
      if (next >= HIGH) hi = (hi + 1) | 0;
    }
    return done;
  }

  /**
   * Loads eight bytes into {@linkcode lo} and {@linkcode hi}.
   *
   * @param gva base address
   * @param offset added to it as an integer, from 0 to 2^31
   * @returns false when they cannot be read (the halves are then 0)
   */
  load64(gva: number, offset = 0): boolean {
    const base = gva | 0;
    const lo = base + offset | 0;
    // As translate does; a carry out of the low half is one more.
    const hi = (gva * 2 ** -32 | 0) - (gva < 0 && base !== 0 ? 1 : 0) + (lo >>> 0 < base >>> 0 ? 1 : 0);
    const walker = this.walker;
    const frame = walker.regular(this.rootFrame, hi, lo, this.regularWords);
    if (frame >= 0 && (lo & 7) === 0) {
      // An aligned word of a page in the linear view that is known to be held: no further check.
      const held = this.held;
      const word = frame >>> 5;
      if (word < held.length && ((held[word] as number) >>> (frame & 31) & 1) !== 0) {
        const words = this.linear;
        const at = frame << 10 | lo >>> 2 & 0x3ff;
        // The last word of the bitmap may reach past the view.
        if (at < words.length) {
          this.lo = words[at] as number;
          this.hi = words[at | 1] as number;
          return true;
        }
      }
    }
    return this.#load64Otherwise(hi, lo);
  }

  #load64Otherwise(hi: number, lo: number): boolean {
    // An aligned word lies in one page: one walk, and one check whether the host holds it.
    if ((lo & 7) === 0) return this.#loadAligned64(hi, lo);
    const next = (lo >>> 0) + 4;
    if (!this.#load32At(next >= HIGH ? (hi + 1) | 0 : hi, next | 0)) {
      this.hi = 0;
      return false;
    }
    const high = this.lo;
    const isRead = this.#load32At(hi, lo);
    this.hi = isRead ? high : 0;
    return isRead;
  }

  #loadAligned64(hi: number, lo: number): boolean {
    this.lo = 0;
    this.hi = 0;
    const frame = this.frameAt(hi, lo);
    const memory = this.memory;
    if (frame < 0 || !memory.locate(frame)) {
      this.failure = frame < 0 ? frame : WALK.outOfRam;
      return false;
    }
    if (memory.isHeld(frame)) {
      const at = memory.wordBase + (lo >>> 2 & 0x3ff);
      this.lo = memory.words[at] as number;
      this.hi = memory.words[at + 1] as number;
    }
    return true;
  }

  /** Loads four bytes into {@linkcode lo}; false when they cannot be read. They may cross a page. */
  load32(gva: number, offset = 0): boolean {
    const base = gva | 0;
    const lo = base + offset | 0;
    return this.#load32At(
      (gva * 2 ** -32 | 0) - (gva < 0 && base !== 0 ? 1 : 0) + (lo >>> 0 < base >>> 0 ? 1 : 0),
      lo,
    );
  }

  #load32At(hi: number, lo: number): boolean {
    this.lo = 0;
    if ((lo & 3) !== 0) return this.#loadUnaligned(hi, lo);
    const frame = this.frameAt(hi, lo);
    if (frame < 0) {
      this.failure = frame;
      return false;
    }
    const memory = this.memory;
    if (!memory.locate(frame)) {
      this.failure = WALK.outOfRam;
      return false;
    }
    if (memory.isHeld(frame)) this.lo = memory.words[memory.wordBase + (lo >>> 2 & 0x3ff)] as number;
    return true;
  }

  /** A u8, or NaN when it cannot be read. */
  readU8(gva: number, offset = 0): number {
    return this.#loadUnalignedAt(gva, offset) ? this.lo & 0xff : NAN;
  }

  /** A u16, or NaN when it cannot be read. */
  readU16(gva: number, offset = 0): number {
    return this.#loadUnalignedAt(gva, offset, 2) ? this.lo & 0xffff : NAN;
  }

  /** A u32, or NaN when it cannot be read. */
  readU32(gva: number, offset = 0): number {
    return this.load32(gva, offset) ? this.lo >>> 0 : NAN;
  }

  /** An i32, or NaN when it cannot be read. */
  readS32(gva: number, offset = 0): number {
    return this.load32(gva, offset) ? this.lo : NAN;
  }

  /** An i64 (a pointer, as `base/ids.ts` holds addresses), or NaN; exact below 2^53, else to 8 bytes. */
  readS64(gva: number, offset = 0): number {
    return this.load64(gva, offset) ? this.hi * HIGH + (this.lo >>> 0) : NAN;
  }

  /** A u64 as the nearest double, or NaN. */
  readU64(gva: number, offset = 0): number {
    return this.load64(gva, offset) ? (this.hi >>> 0) * HIGH + (this.lo >>> 0) : NAN;
  }

  /**
   * A NUL-terminated string, decoded as UTF-8 (bad bytes become U+FFFD).
   *
   * @param gva its address
   * @param maxBytes limit: a longer string is cut there
   * @returns undefined when its first byte, or a page before its end, cannot be read
   */
  cstring(gva: number, maxBytes = 4096): string | undefined {
    const bytes = this.#text ??= new Uint8Array(MAX_TEXT_BYTES);
    const limit = Math.min(maxBytes, MAX_TEXT_BYTES);
    let have = 0;
    let at = gva;
    while (have < limit) {
      const inPage = ((at % PAGE_BYTES) + PAGE_BYTES) % PAGE_BYTES;
      const n = Math.min(limit - have, PAGE_BYTES - inPage);
      if (this.read(at, bytes, have, n) < n) return undefined;
      const nul = bytes.subarray(have, have + n).indexOf(0);
      if (nul >= 0) return textOfBytes(bytes.subarray(0, have + nul));
      have += n;
      at += n;
    }
    return textOfBytes(bytes.subarray(0, limit));
  }

  #loadUnalignedAt(gva: number, offset: number, bytes = 1): boolean {
    const base = gva | 0;
    const lo = base + offset | 0;
    const carry = lo >>> 0 < base >>> 0 ? 1 : 0;
    return this.#loadUnaligned(((gva - (base >>> 0)) / HIGH | 0) + carry, lo, bytes);
  }

  /** Up to four bytes one at a time, since they may cross a page; rare. */
  #loadUnaligned(hi: number, lo: number, bytes = 4): boolean {
    let value = 0;
    for (let i = 0; i < bytes; i++) {
      const next = (lo >>> 0) + i;
      const frame = this.frameAt(next >= HIGH ? (hi + 1) | 0 : hi, next | 0);
      if (frame < 0 || !this.memory.locate(frame)) {
        this.failure = frame < 0 ? frame : WALK.outOfRam;
        this.lo = 0;
        return false;
      }
      const word = this.memory.isHeld(frame)
        ? this.memory.words[this.memory.wordBase + (next >>> 2 & 0x3ff)] as number
        : 0;
      value |= (word >>> ((next & 3) * 8) & 0xff) << (i * 8);
    }
    this.lo = value;
    return true;
  }

  #translateOtherwise(hi: number, lo: number): number {
    const frame = this.frameAt(hi, lo);
    return frame < 0 ? frame : frame * PAGE_BYTES + (lo & 0xfff);
  }

  /** The meaning of a failed walk for a system that keeps pages in entries that are not present. */
  #softly(frame: number, hi: number, lo: number): number {
    if (this.#software === undefined || frame !== WALK.notPresent) return frame;
    const { walker } = this;
    const behind = this.#software(walker.entryHi, walker.entryLo, hi, lo, walker.shift);
    // The processor faults on it, and the system decides then.
    if (behind >= 0) walker.forbidHi = PTE_NX_HI;
    return behind;
  }

  /** Translates, and leaves the page's size and permissions in the walker. */
  #explain(gva: number): number {
    const lo = gva | 0;
    const hi = (gva - (lo >>> 0)) / HIGH | 0;
    const frame = this.#softly(this.walker.explain(this.rootFrame, hi, lo), hi, lo);
    return frame < 0 ? frame : frame * PAGE_BYTES + (lo & 0xfff);
  }

  #access(): Access {
    const { allowLo, forbidHi } = this.walker;
    return { writable: (allowLo & PTE_W) !== 0, user: (allowLo & PTE_U) !== 0, executable: forbidHi === 0 };
  }
}

/** A frame is an int32; what lies past the last one is not RAM that can be indexed. */
function frameOf(gpa: number): number {
  return Math.min(Math.floor(gpa / PAGE_BYTES), 0x7fff_ffff);
}
