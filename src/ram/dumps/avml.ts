/**
 * RAM from a compressed AVML image: ranges of physical memory, each with LiME's header with another magic,
 * followed by a snappy stream (google/snappy, framing_format.txt) and the stream's length. The chunks of the
 * streams, 64 KiB each when decompressed, are indexed once and decompressed on demand; the last few are
 * cached.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { readU64 } from "../../base/layout.ts";
import { MAX_CORE_SEGMENTS, MAX_DUMP_RECORDS, MAX_GUEST_GPA } from "../../base/limits.ts";
import type { RamPort, RamSegment } from "../../guest/ram_port.ts";
import { indexAtOrBelow } from "../sorted_search.ts";
import { cutShort, type DumpBytes, readWhole } from "./dump_bytes.ts";
import { snappyLength, unpackSnappy } from "./snappy.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 32;
const MAGIC = 0x4c4d_5641;
const VERSION = 2;
const PIECE_BYTES = 65_536;
/** Decompressed chunks that are cached: 4 MiB. */
const KEPT = 64;
const CHUNK = { packed: 0, plain: 1, firstSkippable: 0x80 } as const;
/** A chunk's CRC is not checked. */
const CRC_BYTES = 4;
/** Size limit of a compressed chunk: the format's own bound for 64 KiB. */
const MAX_PACKED_BYTES = 32 + PIECE_BYTES + Math.floor(PIECE_BYTES / 6);

/** Chunks of all ranges, by address. */
interface Piece {
  readonly gpa: number;
  readonly sizeBytes: number;
  readonly at: number;
  readonly packedBytes: number;
  readonly packed: boolean;
}

/** A compressed AVML image as a RAM source. */
export class AvmlImage implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description: string;
  readonly #bytes: DumpBytes;
  readonly #pieces: readonly Piece[];
  readonly #kept = new Map<Piece, Uint8Array<ArrayBuffer> | undefined>();

  /**
   * Reads the headers and indexes the chunks.
   *
   * @param bytes the image; owned from now on, even if this throws
   * @param name its name in messages
   * @throws {Fault} `refused` when it is truncated or inconsistent, `not-supported` for another version
   */
  constructor(bytes: DumpBytes, name: string) {
    this.#bytes = bytes;
    this.description = `AVML image ${name}`;
    try {
      const { segments, pieces } = new Index(bytes, name).read();
      this.segments = segments;
      this.#pieces = pieces;
    } catch (error) {
      bytes[Symbol.dispose]();
      throw error;
    }
  }

  nextData(gpa: number, end: number): number {
    return Math.min(gpa, end);
  }

  nextHole(_gpa: number, end: number): number {
    return end;
  }

  fetch(gpa: number, into: Uint8Array<ArrayBuffer>): boolean {
    const pieces = this.#pieces;
    let i = indexAtOrBelow(pieces.length, gpa, (k) => (pieces[k] as Piece).gpa);
    for (let done = 0; done < PAGE_BYTES; i++) {
      const piece = pieces[i];
      const skip = gpa + done - (piece?.gpa ?? 0);
      if (piece === undefined || skip < 0 || skip >= piece.sizeBytes) return false;
      const bytes = this.#unpacked(piece);
      if (bytes === undefined) return false;
      const part = bytes.subarray(skip, skip + PAGE_BYTES - done);
      into.set(part, done);
      done += part.length;
    }
    return true;
  }

  verify(): void {
    this.#bytes.verify();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#kept.clear();
    this.#bytes[Symbol.dispose]();
  }

  #unpacked(piece: Piece): Uint8Array<ArrayBuffer> | undefined {
    if (this.#kept.has(piece)) return this.#kept.get(piece);
    const packed = new Uint8Array(piece.packedBytes);
    const whole = this.#bytes.read(piece.at, packed, 0, packed.length) === packed.length;
    let out: Uint8Array<ArrayBuffer> | undefined = piece.packed ? new Uint8Array(piece.sizeBytes) : packed;
    if (!whole || (piece.packed && !unpackSnappy(packed, out))) out = undefined;
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size >= KEPT && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(piece, out);
    return out;
  }
}

/** Goes through an image once. */
class Index {
  readonly #bytes: DumpBytes;
  readonly #name: string;
  readonly #pieces: Piece[] = [];

  constructor(bytes: DumpBytes, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  read(): { segments: RamSegment[]; pieces: Piece[] } {
    const segments: { gpa: number; sizeBytes: number }[] = [];
    for (let at = 0; at < this.#bytes.sizeBytes;) {
      const head = readWhole(this.#bytes, this.#name, at, HEADER_BYTES, "a header");
      const view = new DataView(head.buffer);
      if (view.getUint32(0, true) !== MAGIC) throw this.#refused(`there is no range's header at byte ${at}`);
      if (view.getUint32(4, true) !== VERSION) {
        throw new Fault(
          "not-supported",
          `Cannot open ${this.#name}: it is an AVML image of version ${
            view.getUint32(4, true)
          }, and version 2 is known; unpack it with avml-convert`,
        );
      }
      const gpa = readU64(view, 8);
      const sizeBytes = readU64(view, 16) - gpa + 1;
      if (
        !(sizeBytes > 0 && gpa + sizeBytes <= MAX_GUEST_GPA) ||
        gpa % PAGE_BYTES + sizeBytes % PAGE_BYTES !== 0
      ) {
        throw this.#refused("one of its ranges is not whole pages that a guest can address");
      }
      at = this.#readStream(at + HEADER_BYTES, gpa, sizeBytes);
      segments.push({ gpa, sizeBytes });
      if (segments.length > MAX_CORE_SEGMENTS) {
        throw this.#refused(`it has more than ${MAX_CORE_SEGMENTS} ranges`);
      }
    }
    const byAddress = (a: { gpa: number }, b: { gpa: number }) => a.gpa - b.gpa;
    const sorted: { gpa: number; sizeBytes: number }[] = [];
    for (const segment of segments.sort(byAddress)) {
      const last = sorted[sorted.length - 1];
      const end = last === undefined ? 0 : last.gpa + last.sizeBytes;
      if (segment.gpa < end) throw this.#refused("two of its ranges overlap");
      if (last !== undefined && segment.gpa === end) last.sizeBytes += segment.sizeBytes;
      else sorted.push({ ...segment });
    }
    if (sorted.length === 0) throw this.#refused("it holds no memory");
    return { segments: sorted, pieces: this.#pieces.sort(byAddress) };
  }

  /** Indexes the chunks of one range; returns the offset of the next header. */
  #readStream(start: number, gpa: number, sizeBytes: number): number {
    let at = start;
    for (let done = 0; done < sizeBytes;) {
      const head = readWhole(this.#bytes, this.#name, at, 4, "a range");
      const kind = head[0] as number;
      const length = (head[1] as number) | (head[2] as number) << 8 | (head[3] as number) << 16;
      const next = at + 4 + length;
      if (next > this.#bytes.sizeBytes) throw cutShort(this.#name, "a range");
      if (kind === CHUNK.packed || kind === CHUNK.plain) {
        const piece = this.#piece(kind === CHUNK.packed, at + 4, length, gpa + done);
        if (done + piece.sizeBytes > sizeBytes) throw this.#refused("a range holds more than it says");
        this.#pieces.push(piece);
        if (this.#pieces.length > MAX_DUMP_RECORDS) throw this.#refused("it has too many pieces");
        done += piece.sizeBytes;
      } else if (kind < CHUNK.firstSkippable) {
        throw this.#refused(`a range has a piece of kind ${kind}, which is not known`);
      }
      at = next;
    }
    const told = readU64(new DataView(readWhole(this.#bytes, this.#name, at, 8, "a range").buffer), 0);
    if (told !== at - start) throw this.#refused("a range is not as long as it says");
    return at + 8;
  }

  #piece(packed: boolean, at: number, length: number, gpa: number): Piece {
    const packedBytes = length - CRC_BYTES;
    if (!(packedBytes > 0 && packedBytes <= MAX_PACKED_BYTES)) {
      throw this.#refused(`a piece has ${length} bytes`);
    }
    let sizeBytes = packedBytes;
    if (packed) {
      const start = readWhole(this.#bytes, this.#name, at + CRC_BYTES, Math.min(5, packedBytes), "a range");
      sizeBytes = snappyLength(start)?.sizeBytes ?? 0;
    }
    if (!(sizeBytes > 0 && sizeBytes <= PIECE_BYTES)) {
      throw this.#refused("a piece has another size than it may");
    }
    return { gpa, sizeBytes, at: at + CRC_BYTES, packedBytes, packed };
  }

  #refused(why: string): Fault {
    return new Fault("refused", `Cannot open ${this.#name}: ${why}`);
  }
}
