/**
 * A ring of frames for consumers on this host: a memfd laid out as a vgpu region without a writer for its
 * control block, so that one reader serves both. Frames are copied once, from the guest into a slot; a
 * consumer maps the memfd and samples.
 *
 * It is sealed: nobody can change its size, and nobody but this process's mapping can write to it, whoever
 * re-opens it. A slot is overwritten only after all the others were, and under its seqlock: a consumer that
 * is slower than that samples again.
 * @module
 */
import { addSeals, createMemfd, OPEN, reopen, SEAL } from "../../../ffi/memfd.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SharedWords } from "../../../ffi/shared_word.ts";
import { assert } from "../../base/assert.ts";
import type { FrameSource } from "../../vgpu/frame_source.ts";
import { writeHeader } from "../../vgpu/region_header.ts";
import {
  NO_SLOT,
  REGION,
  REGION_PAGE_BYTES,
  RING_OFFSET,
  SLOT,
  SLOTS_OFFSET,
} from "../../vgpu/region_layout.ts";
import type { Cursor, FrameInfo, Geometry, ProducerState } from "../../vgpu/snapshots.ts";
import { READ, type ReadResult } from "../../vgpu/vgpu_region.ts";

/** Slots: the newest, the one being written, and one for the consumer that still copies. */
export const SLOT_COUNT = 3;
const HIGH = 2 ** 32;
const { at: R } = REGION;
const { at: S } = SLOT;

/** The writing side of a ring. */
export class FrameRing implements Disposable {
  /** Bytes of the whole memfd. */
  readonly bytes: number;
  /** Slots. */
  readonly slotCount: number = SLOT_COUNT;
  /** Bytes from slot to slot: no larger frame fits. */
  readonly slotStride: number;
  readonly #readEnd: OwnedFd;
  readonly #mapping: Mapping;
  readonly #words: SharedWords;
  readonly #slots: readonly Uint8Array[];
  #latest = SLOT_COUNT - 1;
  #heartbeat = 0;

  private constructor(readEnd: OwnedFd, mapping: Mapping, slotStride: number, pid: number) {
    this.#readEnd = readEnd;
    this.#mapping = mapping;
    this.slotStride = slotStride;
    this.bytes = mapping.length;
    this.#words = new SharedWords(mapping.buffer, 0, RING_OFFSET / 4);
    this.#slots = Array.from(
      { length: SLOT_COUNT },
      (_, i) => new Uint8Array(mapping.buffer, RING_OFFSET + i * slotStride, slotStride),
    );
    this.#put(R.latest, NO_SLOT);
    const header = { regionBytes: this.bytes, slotCount: SLOT_COUNT, slotStride, producerPid: pid };
    writeHeader(new Uint8Array(mapping.buffer, 0, REGION_PAGE_BYTES), header);
  }

  /**
   * Makes a ring whose slots take frames of so many bytes.
   *
   * @param frameBytes of the largest frame
   * @param pid who writes it: this process, not the guest's producer
   * @throws {OsError} when there is no memory for it
   */
  static create(frameBytes: number, pid: number): FrameRing {
    const slotStride = Math.ceil(frameBytes / REGION_PAGE_BYTES) * REGION_PAGE_BYTES;
    using file = createMemfd("vmsig-frames", RING_OFFSET + SLOT_COUNT * slotStride, { sealable: true });
    const mapping = Mapping.map(file.fd, 0, RING_OFFSET + SLOT_COUNT * slotStride, { write: true });
    try {
      const readEnd = reopen(file.fd, OPEN.READ_ONLY);
      try {
        addSeals(file.fd, SEAL.SHRINK | SEAL.GROW | SEAL.FUTURE_WRITE | SEAL.SEAL);
        return new FrameRing(readEnd, mapping, slotStride, pid);
      } catch (error) {
        readEnd.close();
        throw error;
      }
    } catch (error) {
      mapping[Symbol.dispose]();
      throw error;
    }
  }

  /** A read-only descriptor of it, for consumers; borrowed. */
  get fd(): number {
    return this.#readEnd.fd;
  }

  /**
   * Takes the newest frame of a source into the ring.
   *
   * @param info receives the descriptor
   * @returns the source's answer; the ring shows a new frame when it is FRESH
   */
  take(source: FrameSource, info: FrameInfo): ReadResult {
    const slot = (this.#latest + 1) % SLOT_COUNT;
    const at = SLOTS_OFFSET + slot * SLOT.sizeBytes;
    const seq = this.#words.load32((at + S.seq) / 4) >>> 0;
    this.#put(at + S.seq, seq + 1);
    this.#words.fence();
    const result = source.sampleFrame(this.#slots[slot] as Uint8Array, info);
    const fresh = result === READ.FRESH;
    // A slot without a frame has no pixels: a reader that lingers there is told "malformed", not given a
    // mixture.
    this.#put(at + S.width, fresh ? info.width : 0);
    if (fresh) {
      info.flags = 0;
      this.#describe(at, info);
    }
    this.#words.fence();
    this.#put(at + S.seq, seq + 2);
    if (!fresh) return result;
    this.#latest = slot;
    this.#put(R.latest, slot);
    return result;
  }

  /**
   * Opens the next slot for painting: it holds an older picture, and no reader takes it for a frame until
   * {@linkcode show}.
   *
   * @returns its number
   */
  open(): number {
    const slot = (this.#latest + 1) % SLOT_COUNT;
    const at = (SLOTS_OFFSET + slot * SLOT.sizeBytes + S.seq) / 4;
    const seq = this.#words.load32(at) >>> 0;
    assert((seq & 1) === 0, "one slot is open at a time");
    this.#words.store32(at, (seq + 1) | 0);
    this.#words.fence();
    return slot;
  }

  /** The bytes of a slot, whole. */
  bytesOf(slot: number): Uint8Array {
    return this.#slots[slot] as Uint8Array;
  }

  /** The newest slot; SLOT_COUNT - 1 before the first. */
  get latest(): number {
    return this.#latest;
  }

  /** Shows the slot that {@linkcode open} gave as the newest frame. */
  show(slot: number, info: FrameInfo): void {
    const at = SLOTS_OFFSET + slot * SLOT.sizeBytes;
    const seq = this.#words.load32((at + S.seq) / 4) >>> 0;
    assert((seq & 1) === 1, "a slot is opened before it is shown");
    this.#put(at + S.width, info.width);
    this.#describe(at, info);
    this.#words.fence();
    this.#put(at + S.seq, seq + 1);
    this.#latest = slot;
    this.#put(R.latest, slot);
  }

  /** The newest frame's flags have changed, and its pixels have not. */
  mark(flags: number): void {
    const at = SLOTS_OFFSET + this.#latest * SLOT.sizeBytes;
    const seq = this.#words.load32((at + S.seq) / 4) >>> 0;
    assert((seq & 1) === 0, "the newest slot is not open");
    this.#put(at + S.seq, seq + 1);
    this.#words.fence();
    this.#put(at + S.flags, flags);
    this.#words.fence();
    this.#put(at + S.seq, seq + 2);
  }

  /** Shows the producer's state, and that this ring is alive. To be called at least every 100 ms. */
  beat(state: ProducerState): void {
    this.#put64(R.heartbeat, ++this.#heartbeat);
    this.#put(R.runEpoch, state.runEpoch);
    this.#put(R.status, state.status);
    this.#put(R.backend, state.backend);
    this.#put(R.errorCode, state.errorCode);
    this.#put(R.appliedFps, state.appliedFps);
    this.#put(R.supportedFormats, state.supportedFormats);
    this.#put(R.ctrlAck, state.ctrlAck);
    this.#put(R.fullFrameAck, state.fullFrameAck);
    this.#put64(R.contentChangeNs, state.contentChangeNs);
  }

  /** Shows the cursor. */
  showCursor(cursor: Cursor): void {
    const seq = this.#words.load32(R.cursorSeq / 4) >>> 0;
    this.#put(R.cursorSeq, seq + 1);
    this.#words.fence();
    this.#put(R.cursorVisible, cursor.visible ? 1 : 0);
    this.#put(R.cursorX, cursor.x);
    this.#put(R.cursorY, cursor.y);
    this.#put(R.cursorHotX, cursor.hotX | cursor.hotY << 16);
    this.#put(R.cursorGlyphW, cursor.glyphW | cursor.glyphH << 16);
    this.#put(R.cursorId, cursor.id);
    this.#words.fence();
    this.#put(R.cursorSeq, seq + 2);
  }

  /** Shows the geometry. */
  showGeometry(geometry: Geometry): void {
    const seq = this.#words.load32(R.geomSeq / 4) >>> 0;
    this.#put(R.geomSeq, seq + 1);
    this.#words.fence();
    this.#put(R.dpi, geometry.dpi);
    this.#put(R.virtX, geometry.virtX);
    this.#put(R.virtY, geometry.virtY);
    this.#put(R.virtW, geometry.virtW);
    this.#put(R.virtH, geometry.virtH);
    this.#put(R.capX, geometry.capX);
    this.#put(R.capY, geometry.capY);
    this.#put(R.refreshMhz, geometry.refreshMhz);
    this.#words.fence();
    this.#put(R.geomSeq, seq + 2);
  }

  /** Ends it here; consumers keep what they have mapped, and see the heartbeat stand still. */
  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    this.#readEnd.close();
  }

  #describe(at: number, info: FrameInfo): void {
    this.#put(at + S.height, info.height);
    this.#put(at + S.stride, info.stride);
    this.#put(at + S.format, info.format);
    this.#put(at + S.flags, info.flags);
    this.#put64(at + S.frameId, info.frameId);
    this.#put64(at + S.timestampNs, info.timestampNs);
    this.#put(at + S.damageX, info.damageX);
    this.#put(at + S.damageY, info.damageY);
    this.#put(at + S.damageW, info.damageW);
    this.#put(at + S.damageH, info.damageH);
  }

  #put(offset: number, value: number): void {
    this.#words.store32(offset / 4, value | 0);
  }

  #put64(offset: number, value: number): void {
    this.#words.store64(offset / 8, value % (HIGH * HIGH));
  }
}
