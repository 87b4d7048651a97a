/**
 * RAM from a kdump-compressed dump, raw or flattened: each page is compressed separately and decompressed on
 * demand; the cache of pages (PhysicalMemory) is bounded.
 *
 * A page of RAM that was left out of the dump (makedumpfile -d) cannot be read, unless the dump says that
 * only zeros were left out. The whole table of pages is checked when the dump is opened: a truncated one is
 * refused.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { readU64 } from "../../base/layout.ts";
import { MAX_CORE_SEGMENTS } from "../../base/limits.ts";
import type { RamPort, RamSegment } from "../../guest/ram_port.ts";
import { type Codec, CODECS } from "./codecs.ts";
import { cutShort, type DumpBytes, readWhole } from "./dump_bytes.ts";
import { FrameBitmap } from "./frame_bitmap.ts";
import { type KdumpHeader, readKdumpHeader } from "./kdump_header.ts";

const PAGE_BYTES = 4096;
/** An entry of the table of pages: the offset, size and compression of the page's bytes. */
const ENTRY_BYTES = 24;
/** Entries per read. */
const CHUNK = 1024;
/** A page of zeros compresses to less than that: only such pages are examined. */
const ZEROS_PACKED_BYTES = 64;
/** Pages that are decompressed at the opening to find the page of zeros. */
const ZEROS_TRIES = 64;
const PACKED = CODECS.reduce((flags, { flag }) => flags | flag, 0);

/** A kdump-compressed dump as a RAM source. */
export class KdumpRam implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description: string;
  readonly vmcoreinfo: string | undefined;
  readonly #bytes: DumpBytes;
  readonly #header: KdumpHeader;
  readonly #dumped: FrameBitmap;
  /** Pages that were dumped and are not the page of zeros: those that a search has to read. */
  readonly #filled: FrameBitmap;
  readonly #packed = new Uint8Array(PAGE_BYTES);
  readonly #entries = new Uint8Array(CHUNK * ENTRY_BYTES);
  readonly #entryView = new DataView(this.#entries.buffer);
  /** Index of the first entry in {@linkcode #entries}. */
  #firstEntry = -1;
  /** Offset of the page of zeros, which all pages of zeros share; -1 if none was found. */
  #zerosAt = -1;

  /**
   * Reads the headers, bitmaps and the table of pages.
   *
   * @param bytes the dump; owned from now on, even if this throws
   * @param name its name in messages
   * @throws {Fault} `refused` when it is truncated, incomplete or inconsistent, `not-supported` for
   *   unsupported variants
   */
  constructor(bytes: DumpBytes, name: string) {
    this.#bytes = bytes;
    this.description = `kdump ${name}`;
    try {
      const header = readKdumpHeader(bytes, name);
      this.#header = header;
      this.vmcoreinfo = header.vmcoreinfo;
      const bitmapBytes = Math.ceil(header.frames / 8);
      const bitmap = (at: number) =>
        new FrameBitmap(readWhole(bytes, name, at, bitmapBytes, "its bitmaps"), header.frames);
      this.#dumped = bitmap(header.dumpedBitmapAt);
      this.segments = segmentsOf(bitmap(header.ramBitmapAt), this.#dumped, name);
      this.#filled = new FrameBitmap(this.#checkPages(name), header.frames);
    } catch (error) {
      bytes[Symbol.dispose]();
      throw error;
    }
  }

  nextData(gpa: number, end: number): number {
    return this.#next(gpa, end, true);
  }

  nextHole(gpa: number, end: number): number {
    return this.#next(gpa, end, false);
  }

  fetch(gpa: number, into: Uint8Array<ArrayBuffer>): boolean {
    const frame = gpa / PAGE_BYTES;
    if (!this.#dumped.has(frame)) {
      if (!this.#header.othersAreZeros) return false;
      into.fill(0);
      return true;
    }
    const entry = this.#entryAt(this.#dumped.rank(frame));
    if (entry < 0) return false;
    const view = this.#entryView;
    const at = readU64(view, entry);
    if (at === this.#zerosAt) {
      into.fill(0);
      return true;
    }
    const size = view.getUint32(entry + 8, true);
    const flags = view.getUint32(entry + 12, true);
    if (size > PAGE_BYTES || this.#bytes.read(at, this.#packed, 0, size) < size) return false;
    const packed = this.#packed.subarray(0, size);
    if ((flags & PACKED) === 0) {
      if (size !== PAGE_BYTES) return false;
      into.set(packed);
      return true;
    }
    if (codecOf(flags)?.unpack?.(packed, into) !== true) return false;
    if (size < ZEROS_PACKED_BYTES && into.every((byte) => byte === 0)) this.#zerosAt = at;
    return true;
  }

  verify(): void {
    this.#bytes.verify();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#bytes[Symbol.dispose]();
  }

  #next(gpa: number, end: number, wanted: boolean): number {
    const first = Math.floor(gpa / PAGE_BYTES);
    const next = this.#filled.next(first, Math.ceil(end / PAGE_BYTES), wanted);
    return Math.min(end, Math.max(gpa, next * PAGE_BYTES));
  }

  /** Offset of an entry in {@linkcode #entries}; -1 if it cannot be read. */
  #entryAt(index: number): number {
    const first = index - index % CHUNK;
    if (first !== this.#firstEntry) {
      const at = this.#header.pagesAt + first * ENTRY_BYTES;
      const length = Math.min(CHUNK, this.#dumped.count - first) * ENTRY_BYTES;
      this.#firstEntry = this.#bytes.read(at, this.#entries, 0, length) === length ? first : -1;
      if (this.#firstEntry < 0) return -1;
    }
    return (index - first) * ENTRY_BYTES;
  }

  /**
   * Reads all entries, because nothing else shows what is missing at the end of a file.
   *
   * @returns the bitmap of the pages that do not share the page of zeros
   */
  #checkPages(name: string): Uint8Array<ArrayBuffer> {
    const { count, frames } = this.#dumped;
    const filled = new Uint8Array(Math.ceil(frames / 8));
    const page = new Uint8Array(PAGE_BYTES);
    let tries = ZEROS_TRIES;
    for (let i = 0, frame = -1; i < count; i++) {
      frame = this.#dumped.next(frame + 1, frames, true);
      const entry = this.#entryAt(i);
      if (entry < 0) throw cutShort(name, "its table of pages");
      const size = this.#entryView.getUint32(entry + 8, true);
      const flags = this.#entryView.getUint32(entry + 12, true);
      if (!(readU64(this.#entryView, entry) + size <= this.#bytes.sizeBytes)) {
        throw cutShort(name, "its pages");
      }
      if (size === 0 || size > PAGE_BYTES) {
        throw new Fault("refused", `Cannot open ${name}: one of its pages is packed into ${size} bytes`);
      }
      const codec = codecOf(flags);
      if ((flags & PACKED) !== 0 && codec?.unpack === undefined) {
        throw new Fault(
          "not-supported",
          `Cannot open ${name}: its pages are packed by ${
            codec?.name ?? "several ways"
          }, which cannot be unpacked here; repack it with makedumpfile -c INPUT OUTPUT`,
        );
      }
      if (size < ZEROS_PACKED_BYTES && this.#zerosAt < 0 && tries-- > 0) this.fetch(frame * PAGE_BYTES, page);
      if (readU64(this.#entryView, entry) === this.#zerosAt) continue;
      filled[frame >>> 3] = (filled[frame >>> 3] as number) | 1 << (frame & 7);
    }
    return filled;
  }
}

function codecOf(flags: number): Codec | undefined {
  return CODECS.find(({ flag }) => (flags & PACKED) === flag);
}

/** The pages that are RAM, dumped or not. */
function segmentsOf(ram: FrameBitmap, dumped: FrameBitmap, name: string): RamSegment[] {
  const segments: RamSegment[] = [];
  const { frames } = ram;
  const nextOf = (from: number, wanted: boolean) => {
    const [a, b] = [ram.next(from, frames, wanted), dumped.next(from, frames, wanted)];
    return wanted ? Math.min(a, b) : Math.max(a, b);
  };
  for (let frame = nextOf(0, true); frame < frames;) {
    let end = frame;
    // Where one of them has a gap, the other may continue.
    for (let next = nextOf(end, false); next > end; next = nextOf(end, false)) end = next;
    if (segments.length === MAX_CORE_SEGMENTS) {
      throw new Fault("refused", `Cannot open ${name}: its RAM is in more than ${MAX_CORE_SEGMENTS} pieces`);
    }
    segments.push({ gpa: frame * PAGE_BYTES, sizeBytes: (end - frame) * PAGE_BYTES });
    frame = end >= frames ? frames : nextOf(end, true);
  }
  if (segments.length === 0) throw new Fault("refused", `Cannot open ${name}: it holds no memory`);
  return segments;
}
