/**
 * A region that is mapped into this process: what FRAME_RING carries, or a producer on the same host. Its
 * pages do not move, so every span is intact; whoever maps it sees to it that the file cannot shrink (seals).
 * @module
 */
import { REGION_PAGE_BYTES } from "./region_layout.ts";
import type { RegionMemory, SlotSpan } from "./region_memory.ts";

/** A region in a buffer of this process. */
export class MappedRegion implements RegionMemory {
  readonly gva = 0;
  readonly root = 0;
  readonly roomBytes: number;
  readonly words: Int32Array;
  wordBase = 0;
  readonly #bytes: Uint8Array;
  readonly #spans: (MappedSpan | undefined)[] = [];

  /**
   * A region's memory in this process.
   *
   * @param buffer the whole region, page-aligned
   */
  constructor(buffer: ArrayBufferLike) {
    this.roomBytes = Math.floor(buffer.byteLength / REGION_PAGE_BYTES) * REGION_PAGE_BYTES;
    this.words = new Int32Array(buffer, 0, this.roomBytes / 4);
    this.#bytes = new Uint8Array(buffer, 0, this.roomBytes);
  }

  locate(pageOffset: number): boolean {
    if (pageOffset + REGION_PAGE_BYTES > this.roomBytes) return false;
    this.wordBase = pageOffset / 4;
    return true;
  }

  span(slot: number, offset: number, sizeBytes: number): SlotSpan | undefined {
    if (offset + sizeBytes > this.roomBytes) return undefined;
    const known = this.#spans[slot];
    if (known !== undefined && known.offset === offset && known.sizeBytes === sizeBytes) return known;
    const views = [this.#bytes.subarray(offset, offset + sizeBytes)];
    const span: MappedSpan = { views, offset, sizeBytes, intact: alwaysIntact };
    this.#spans[slot] = span;
    return span;
  }

  forget(slot: number): void {
    this.#spans[slot] = undefined;
  }
}

interface MappedSpan extends SlotSpan {
  readonly offset: number;
  readonly sizeBytes: number;
}

function alwaysIntact(): boolean {
  return true;
}
