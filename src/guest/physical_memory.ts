/**
 * Guest-physical memory for the walker and all readers: numbers in, 32-bit words out.
 *
 * Pages are named by frame number (gpa / 4096), an int32: RAM ends below 8 TiB. Each GiB of the address space
 * has one view, so that an index into it stays below 2^28 (typed arrays are slow past 2^31) and finding the
 * view is one table look-up. A GiB that several segments share has its largest one in the table, the others
 * are found by a search; a segment that is not mapped is fetched into a small page cache.
 *
 * Holes: reading a page that the host does not hold would make the host allocate it, through any kind of
 * mapping. So data reads check a bitmap first, and ask the source again before they treat a page as a hole,
 * which reads as zeros. Page tables are read without a check (the guest wrote them, so they are held).
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { earlyRanges } from "./early_ranges.ts";
import { HeldPages } from "./held_pages.ts";
import { MAX_GUEST_GPA, MAX_PAGE_CACHE } from "../base/limits.ts";
import { linearWords } from "./linear_words.ts";
import type { RamPort, RamSegment } from "./ram_port.ts";

/** Bytes of the smallest page. */
export const PAGE_BYTES = 4096;
/** Frames of one view: 1 GiB. */
const GIB_FRAMES = 1 << 18;
const GIB_BYTES = 2 ** 30;
const GIBS = MAX_GUEST_GPA / GIB_BYTES;
const NO_WORDS = new Int32Array(0);
const NO_BYTES = new Uint8Array(0);

/** Gets the words, the index of a run's first word, how many words, and the run's address; true stops. */
export type RunVisitor = (words: Int32Array, first: number, count: number, gpa: number) => boolean | void;

/** The result of {@linkcode PhysicalMemory.refresh}. */
export interface Residency {
  /** RAM that the host holds, bytes. */
  readonly residentBytes: number;
  /** Runs of held pages. */
  readonly runs: number;
}

/**
 * The guest's RAM. Not reentrant: results are in {@linkcode words} and {@linkcode wordBase} until the next
 * call.
 */
export class PhysicalMemory implements Disposable {
  /** The source behind it. */
  readonly port: RamPort;
  /** Size of RAM, bytes. */
  readonly ramBytes: number;
  /** First address after the last segment. */
  readonly endGpa: number;
  /**
   * The words from address 0 on, as far as the source maps RAM at its guest-physical address, at most 8 GiB
   * (the last index that an int32 holds). Gaps in it read as zeros. For the walker.
   */
  readonly linear: Int32Array;
  /** The same as {@linkcode linear}, eight bytes an element: a batch copies whole values with it. */
  readonly linear64: BigInt64Array;
  /** One bit per frame of the linear view: whether the host is known to hold it. For the batch reader. */
  readonly held: Int32Array;
  /** After {@linkcode locate}: the words that hold the page. */
  words: Int32Array = NO_WORDS;
  /** After {@linkcode locate}: index in {@linkcode words} of the page's first word. */
  wordBase = 0;
  /** The last requested frame that is in no segment; -1 for none. Reset by the reader that uses it. */
  missedFrame: number = -1;

  /** View of each GiB, as int32 words and as bytes; empty where no RAM is mapped. */
  readonly #views: Int32Array[];
  readonly #bytes: Uint8Array[];
  /** First frame, within its GiB, of each view. */
  readonly #firstFrame: Int32Array;
  /** Which frames the host was seen to hold; {@linkcode held} is its part below the linear view's end. */
  readonly #pages: HeldPages;
  readonly #cache: Map<number, Int32Array> = new Map();
  readonly #sharedViews: Map<number, Int32Array> = new Map();
  #lastSegment = 0;
  #disposed = false;

  /**
   * Indexes a source's segments; nothing is read yet.
   *
   * @param port the source; owned from now on
   */
  constructor(port: RamPort) {
    this.port = port;
    this.#views = new Array<Int32Array>(GIBS).fill(NO_WORDS);
    this.#bytes = new Array<Uint8Array>(GIBS).fill(NO_BYTES);
    this.#firstFrame = new Int32Array(GIBS);
    let end = 0;
    let ramBytes = 0;
    for (const segment of port.segments) {
      assert(segment.gpa >= end && segment.gpa % PAGE_BYTES === 0, "segments are sorted and page-aligned");
      assert(segment.sizeBytes > 0 && segment.sizeBytes % PAGE_BYTES === 0, "a segment is whole pages");
      end = segment.gpa + segment.sizeBytes;
      if (end > MAX_GUEST_GPA) {
        throw new Fault(
          "too-large",
          "Cannot open the guest's RAM: it reaches past 8 TiB, which this walker does not index",
        );
      }
      ramBytes += segment.sizeBytes;
      this.#slice(segment);
    }
    this.ramBytes = ramBytes;
    this.endGpa = end;
    this.linear = linearWords(port.segments);
    this.linear64 = new BigInt64Array(this.linear.buffer, 0, this.linear.length >>> 1);
    this.#pages = new HeldPages(this.linear.length >>> 10);
    this.held = this.#pages.low;
  }

  /** Whether there is RAM at this address (held by the host or not). */
  isRam(gpa: number): boolean {
    return this.#segmentAt(Math.floor(gpa / PAGE_BYTES)) !== undefined;
  }

  /**
   * Finds the words of a page in any source.
   *
   * @param frame the page's frame number
   * @returns false if there is no RAM; otherwise {@linkcode words} and {@linkcode wordBase} are set
   */
  locate(frame: number): boolean {
    const gib = frame >>> 18;
    if (frame < 0 || frame !== (frame | 0)) return false;
    const view = this.#views[gib] as Int32Array;
    const base = ((frame & 0x3_ffff) - (this.#firstFrame[gib] as number)) << 10;
    if (base >= 0 && base < view.length) {
      this.words = view;
      this.wordBase = base;
      return true;
    }
    return this.#locateSlowly(frame);
  }

  /**
   * Whether the host holds this page, so that reading allocates nothing. Asks the source if the bitmap says
   * no.
   */
  isHeld(frame: number): boolean {
    const word = frame >>> 5;
    const bits = word < this.held.length ? this.held[word] as number : this.#pages.word(word);
    return (bits >>> (frame & 31) & 1) === 1 || this.#askHeld(frame);
  }

  /** Whether the host holds all of these pages. */
  areHeld(frame: number, pages: number): boolean {
    const end = frame + pages;
    for (let at = frame; (at = this.#pages.next(at, end, 0)) < end; at++) {
      if (!this.#askHeld(at)) return false;
    }
    return true;
  }

  /**
   * Copies guest-physical bytes as far as RAM goes. A hole reads as zeros and is not touched.
   *
   * @param gpa where to start
   * @param into receives the bytes
   * @param offset where in `into`
   * @param length how many bytes
   * @returns how many were copied: less than `length` when RAM ends
   */
  read(gpa: number, into: Uint8Array, offset = 0, length: number = into.length - offset): number {
    let frame = Math.floor(gpa / PAGE_BYTES);
    let skip = gpa - frame * PAGE_BYTES;
    let done = 0;
    while (done < length) {
      const n = Math.min(PAGE_BYTES - skip, length - done);
      if (!this.copyPage(frame, skip, into, offset + done, n)) break;
      done += n;
      skip = 0;
      frame++;
    }
    return done;
  }

  /**
   * Copies bytes that lie within one page (or, in a mapped segment, within one run of pages that are all
   * held).
   *
   * @returns false when no RAM is there
   */
  copyPage(frame: number, skip: number, into: Uint8Array, offset: number, length: number): boolean {
    if (!this.locate(frame)) return false;
    if (!this.isHeld(frame)) {
      into.fill(0, offset, offset + length);
      return true;
    }
    const at = this.wordBase * 4 + skip;
    into.set(this.locatedBytes(frame).subarray(at, at + length), offset);
    return true;
  }

  /**
   * After {@linkcode locate} of this frame: the same memory as {@linkcode words}, as bytes. To be read only
   * if {@linkcode isHeld}.
   */
  locatedBytes(frame: number): Uint8Array {
    const gib = frame >>> 18;
    const words = this.words;
    return words === this.#views[gib]
      ? this.#bytes[gib] as Uint8Array
      : new Uint8Array(words.buffer, words.byteOffset, words.length * 4);
  }

  /**
   * Asks the source again which pages are held, drops fetched pages, and checks whether the source has
   * shrunk. Called at the start of every scan, listing and search for a system.
   *
   * @throws {Fault} `refused` when the source is no longer as large as it was
   */
  refresh(): Residency {
    this.verify();
    this.#cache.clear();
    this.#pages.clear();
    let residentBytes = 0;
    let runs = 0;
    for (const { gpa, sizeBytes } of this.port.segments) {
      const end = gpa + sizeBytes;
      let at = this.port.nextData(gpa, end);
      while (at < end) {
        const stop = this.port.nextHole(at, end);
        if (stop <= at) break;
        this.#pages.mark(at / PAGE_BYTES, Math.ceil(stop / PAGE_BYTES));
        residentBytes += stop - at;
        runs++;
        at = this.port.nextData(stop, end);
      }
    }
    return { residentBytes, runs };
  }

  /**
   * Drops fetched pages, and checks whether the source has shrunk: enough for reading again from a known
   * guest. The cost does not depend on the size of RAM, whereas {@linkcode refresh} takes 1 ms per 96 MiB
   * held. A page that has become held since is found when it is read; one that is no longer held is mapped by
   * no process.
   *
   * @throws {Fault} `refused` when the source is no longer as large as it was
   */
  renew(): void {
    this.verify();
    this.#cache.clear();
  }

  /**
   * Checks whether the source is still complete; cheap (one system call).
   *
   * @throws {Fault} `refused` when it shrank, `seam-down` when this memory was closed
   */
  verify(): void {
    if (this.#disposed) {
      throw new Fault("seam-down", "Cannot read the guest's RAM: it was closed; open it again");
    }
    this.port.verify();
  }

  /**
   * Returns the mapped pages: the guest's RAM that was touched through a mapping counts as this process's
   * memory. Costs a few microseconds, and each page as much again when it is touched.
   */
  letGo(): void {
    if (!this.#disposed) this.port.letGo?.();
  }

  /**
   * Calls `visit` with each run of pages that are held and mapped alike, at most 1 GiB each: what a scan goes
   * through.
   */
  forEachHeldRun(visit: RunVisitor): void {
    for (const { gpa, sizeBytes } of this.port.segments) {
      if (this.#visitHeld(gpa / PAGE_BYTES, (gpa + sizeBytes) / PAGE_BYTES, visit)) return;
    }
  }

  /** The same in the order of {@linkcode earlyRanges}. */
  forEachHeldRunEarly(visit: RunVisitor): void {
    for (const { from, to } of earlyRanges(this.port.segments)) if (this.#visitHeld(from, to, visit)) return;
  }

  /** Visits the held runs among the frames in [from, to), which one segment has; true when it was stopped. */
  #visitHeld(from: number, to: number, visit: RunVisitor): boolean {
    let frame = from;
    while ((frame = this.#pages.next(frame, to, 1)) < to) {
      if (!this.locate(frame)) {
        frame++;
        continue;
      }
      const room = (this.words.length - this.wordBase) >>> 10;
      const stop = Math.min(this.#pages.next(frame, to, 0), frame + room);
      if (visit(this.words, this.wordBase, (stop - frame) << 10, frame * PAGE_BYTES) === true) return true;
      frame = stop;
    }
    return false;
  }

  /** Unmaps everything. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#views.fill(NO_WORDS);
    this.#bytes.fill(NO_BYTES);
    this.#pages.clear();
    this.#sharedViews.clear();
    this.#cache.clear();
    this.words = NO_WORDS;
    this.port[Symbol.dispose]();
  }

  /** Cuts a mapped segment at GiB borders; a GiB's largest piece goes into the table. */
  #slice(segment: RamSegment): void {
    if (segment.mapped === undefined) return;
    const { buffer, byteOffset } = segment.mapped;
    const end = segment.gpa + segment.sizeBytes;
    for (let at = segment.gpa; at < end;) {
      const gib = Math.floor(at / GIB_BYTES);
      const stop = Math.min(end, (gib + 1) * GIB_BYTES);
      if ((stop - at) / 4 > (this.#views[gib] as Int32Array).length) {
        const offset = byteOffset + (at - segment.gpa);
        this.#views[gib] = new Int32Array(buffer, offset, (stop - at) / 4);
        this.#bytes[gib] = new Uint8Array(buffer, offset, stop - at);
        this.#firstFrame[gib] = (at - gib * GIB_BYTES) / PAGE_BYTES;
      }
      at = stop;
    }
  }

  #segmentAt(frame: number): RamSegment | undefined {
    const gpa = frame * PAGE_BYTES;
    const segments = this.port.segments;
    const recent = segments[this.#lastSegment];
    if (recent !== undefined && gpa >= recent.gpa && gpa < recent.gpa + recent.sizeBytes) return recent;
    // A dump may have a million of them.
    let low = 0;
    let high = segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((segments[middle] as RamSegment).gpa <= gpa) low = middle + 1;
      else high = middle;
    }
    const segment = segments[low - 1];
    if (segment === undefined || gpa >= segment.gpa + segment.sizeBytes) return undefined;
    this.#lastSegment = low - 1;
    return segment;
  }

  #locateSlowly(frame: number): boolean {
    if (this.#disposed) return false;
    const segment = this.#segmentAt(frame);
    if (segment === undefined) {
      this.missedFrame = frame;
      return false;
    }
    if (segment.mapped !== undefined) {
      const first = Math.max(segment.gpa, Math.floor(frame / GIB_FRAMES) * GIB_BYTES);
      this.words = this.#sharedView(segment, segment.mapped, first);
      this.wordBase = (frame - first / PAGE_BYTES) * (PAGE_BYTES / 4);
      return true;
    }
    let words = this.#cache.get(frame);
    if (words === undefined) {
      const page = new ArrayBuffer(PAGE_BYTES);
      if (!this.port.fetch(frame * PAGE_BYTES, new Uint8Array(page))) return false;
      words = new Int32Array(page);
      if (this.#cache.size >= MAX_PAGE_CACHE) this.#cache.clear();
      this.#cache.set(frame, words);
    }
    this.words = words;
    this.wordBase = 0;
    return true;
  }

  /** View of a segment's part in a GiB whose table entry belongs to another segment. */
  #sharedView(segment: RamSegment, mapped: NonNullable<RamSegment["mapped"]>, first: number): Int32Array {
    let view = this.#sharedViews.get(first);
    if (view === undefined) {
      const end = Math.min(segment.gpa + segment.sizeBytes, (Math.floor(first / GIB_BYTES) + 1) * GIB_BYTES);
      view = new Int32Array(mapped.buffer, mapped.byteOffset + (first - segment.gpa), (end - first) / 4);
      this.#sharedViews.set(first, view);
    }
    return view;
  }

  #askHeld(frame: number): boolean {
    const segment = this.#segmentAt(frame);
    if (segment === undefined) return false;
    // A fetched page allocates nothing on the host, so it counts as held.
    if (segment.mapped === undefined) return true;
    const gpa = frame * PAGE_BYTES;
    if (this.port.nextData(gpa, gpa + PAGE_BYTES) !== gpa) return false;
    this.#pages.mark(frame, frame + 1);
    return true;
  }
}
