/**
 * A found region and its readers: frame, cursor, geometry, state, control block. Pull only: it sleeps
 * nowhere, writes nothing, decides nothing, and owns neither the address space nor the RAM.
 *
 * Results are the header's three: FRESH (a consistent snapshot was taken), NOTHING (nothing new, the writer
 * was at it all the time, or it does not fit: come back later), GONE (a hard error: the pages are not there
 * any more, or the header is no longer the one that was checked; look for the region anew). Why it was
 * NOTHING or GONE stands in {@linkcode VgpuRegion.why}.
 *
 * Seqlocks: the sequence word is loaded, the data after it, and the word once more after all loads; only an
 * even word that did not change vouches for what was read. On x86-64 loads are not reordered with loads;
 * Atomics.load keeps the compiler from it, and a locked instruction stands between a copy (whose string
 * instructions the processor may reorder within) and the second look. Each attempt is bounded, and so are the
 * attempts: a producer that never stops writing costs a call that much and no more.
 * @module
 */
import { MAX_FRAME_ATTEMPTS, MAX_RECORD_ATTEMPTS } from "../base/limits.ts";
import {
  checkHeader,
  type HeaderDefect,
  IDENTITY_BYTES,
  IDENTITY_WORDS,
  type RegionHeader,
} from "./region_header.ts";
import { copyRuns } from "./copy_runs.ts";
import { clipDamage } from "./damage.ts";
import { frameBytes } from "./pixel_format.ts";
import { READ, type ReadResult, type ReadWhy } from "./read_result.ts";
import {
  CONTROL,
  CONTROL_OFFSET,
  NO_SLOT,
  REGION,
  RING_OFFSET,
  SLOT,
  SLOTS_OFFSET,
} from "./region_layout.ts";
import type { RegionMemory, SlotSpan } from "./region_memory.ts";
import type { ControlState, Cursor, FrameInfo, Geometry, ProducerState } from "./snapshots.ts";

export { READ, type ReadResult, type ReadWhy } from "./read_result.ts";

/** The outcome of opening a region. */
export type OpenResult =
  | { readonly ok: true; readonly region: VgpuRegion }
  | { readonly ok: false; readonly defect: HeaderDefect | "not-mapped" };

const HIGH = 2 ** 32;
/** Frame ids past this are not exact as doubles; a well-behaved producer does not get there. */
const MAX_FRAME_ID = 2 ** 53;
const { at: R } = REGION;
const { at: S } = SLOT;
const { at: C } = CONTROL;

// A store that only this thread sees: what matters is the locked instruction.
const FENCE = new Int32Array(1);

/** A region that passed the checks. Not reentrant, and not shared between threads. */
export class VgpuRegion {
  /** Its shape, checked once; every read makes sure that it is still this one. */
  readonly header: RegionHeader;
  /** Why the last read was not FRESH. */
  why: ReadWhy = "";

  readonly #memory: RegionMemory;
  readonly #identity: Int32Array;
  #lastFrameId = 0;
  #runEpoch = 0;
  #closed = false;
  #seq = 0;

  private constructor(memory: RegionMemory, identity: Int32Array, header: RegionHeader) {
    this.#memory = memory;
    this.#identity = identity;
    this.header = header;
  }

  /**
   * Checks the header and binds to the region. Liveness is not proven: see {@linkcode confirmAlive} and
   * discovery.
   */
  static open(memory: RegionMemory): OpenResult {
    const identity = new Int32Array(IDENTITY_WORDS);
    if (!memory.locate(0)) return { ok: false, defect: "not-mapped" };
    for (let i = 0; i < IDENTITY_WORDS; i++) identity[i] = Atomics.load(memory.words, memory.wordBase + i);
    const check = checkHeader(new Uint8Array(identity.buffer, 0, IDENTITY_BYTES), memory.roomBytes);
    if (!check.ok) return check;
    return { ok: true, region: new VgpuRegion(memory, identity, check.header) };
  }

  /** Address of the region in its producer's address space. */
  get gva(): number {
    return this.#memory.gva;
  }

  /** Root of the producer's address space: what a control write needs beside an address. */
  get root(): number {
    return this.#memory.root;
  }

  /**
   * The run epoch of the last {@linkcode readState} or {@linkcode sampleFrame}: a caller that sees it change
   * decides what to reset.
   */
  get runEpoch(): number {
    return this.#runEpoch;
  }

  /** The frame id that was sampled last, 0 for none. */
  get lastFrameId(): number {
    return this.#lastFrameId;
  }

  /**
   * Lets the next sample take any frame: after a session break, whose ids start from 1 again, or for a second
   * look.
   */
  forgetFrames(): void {
    this.#lastFrameId = 0;
  }

  /** Ends this handle; the address space stays the caller's. Every later read is GONE. */
  close(): void {
    this.#closed = true;
  }

  /**
   * Copies the newest frame out.
   *
   * @param into receives the bytes, from its start
   * @param info receives the descriptor
   * @returns FRESH when a frame newer than the last one was copied whole
   */
  sampleFrame(into: Uint8Array, info: FrameInfo): ReadResult {
    return this.#take(info, into.length, ({ views }, seq) => {
      const at = this.#slotAt(info.slot) + S.seq;
      return copyRuns(views, info.bytes, into, () => this.#load(at) === seq);
    });
  }

  /**
   * Lets somebody read the newest frame where it lies: who needs a small part of it is spared a copy of all.
   *
   * @param info receives the descriptor
   * @param read takes what it needs out of the runs of bytes, which may change under it; called from the
   *   start again when the frame was replaced meanwhile. What it took last counts when the result is FRESH
   */
  readFrame(info: FrameInfo, read: (views: readonly Uint8Array[]) => void): ReadResult {
    return this.#take(info, Infinity, ({ views }) => {
      read(views);
      return true;
    });
  }

  /**
   * Reads the newest frame's descriptor and copies nothing. FRESH when it is newer than the last frame that
   * was sampled.
   */
  peekFrame(info: FrameInfo): ReadResult {
    for (let attempt = 0; attempt < MAX_RECORD_ATTEMPTS; attempt++) {
      const found = this.#describe(info);
      if (found !== READ.NOTHING || this.why !== "busy") return found;
    }
    return this.#nothing("busy");
  }

  /** Reads the cursor. */
  readCursor(out: Cursor): ReadResult {
    for (let attempt = 0; attempt < MAX_RECORD_ATTEMPTS; attempt++) {
      if (!this.#look()) return READ.GONE;
      const seq = this.#load(R.cursorSeq);
      if ((seq & 1) !== 0) continue;
      const visible = this.#load(R.cursorVisible);
      const x = this.#load(R.cursorX) | 0;
      const y = this.#load(R.cursorY) | 0;
      const hot = this.#load(R.cursorHotX);
      const glyph = this.#load(R.cursorGlyphW);
      const id = this.#load(R.cursorId);
      if (this.#load(R.cursorSeq) !== seq) continue;
      if (!this.#look()) return READ.GONE;
      out.seq = seq;
      out.visible = visible !== 0;
      out.x = x;
      out.y = y;
      out.hotX = hot & 0xffff;
      out.hotY = hot >>> 16;
      out.glyphW = glyph & 0xffff;
      out.glyphH = glyph >>> 16;
      out.id = id;
      this.why = "";
      return READ.FRESH;
    }
    return this.#nothing("busy");
  }

  /** Reads the display's geometry. */
  readGeometry(out: Geometry): ReadResult {
    for (let attempt = 0; attempt < MAX_RECORD_ATTEMPTS; attempt++) {
      if (!this.#look()) return READ.GONE;
      const seq = this.#load(R.geomSeq);
      if ((seq & 1) !== 0) continue;
      out.dpi = this.#load(R.dpi);
      out.virtX = this.#load(R.virtX) | 0;
      out.virtY = this.#load(R.virtY) | 0;
      out.virtW = this.#load(R.virtW);
      out.virtH = this.#load(R.virtH);
      out.capX = this.#load(R.capX) | 0;
      out.capY = this.#load(R.capY) | 0;
      out.refreshMhz = this.#load(R.refreshMhz);
      if (this.#load(R.geomSeq) !== seq) continue;
      if (!this.#look()) return READ.GONE;
      out.seq = seq;
      this.why = "";
      return READ.FRESH;
    }
    return this.#nothing("busy");
  }

  /** Reads the producer's state. Never NOTHING: single fields need no seqlock. */
  readState(out: ProducerState): ReadResult {
    if (!this.#look()) return READ.GONE;
    out.heartbeat = this.#load64(R.heartbeat);
    out.runEpoch = this.#load(R.runEpoch);
    out.status = this.#load(R.status);
    out.backend = this.#load(R.backend);
    out.errorCode = this.#load(R.errorCode);
    out.appliedFps = this.#load(R.appliedFps);
    out.supportedFormats = this.#load(R.supportedFormats);
    out.ctrlAck = this.#load(R.ctrlAck);
    out.fullFrameAck = this.#load(R.fullFrameAck);
    out.contentChangeNs = this.#load64(R.contentChangeNs);
    if (!this.#look()) return READ.GONE;
    this.#runEpoch = out.runEpoch;
    this.why = "";
    return READ.FRESH;
  }

  /** Reads the control block, under its own seqlock: what was asked of the producer last. */
  readControl(out: ControlState): ReadResult {
    for (let attempt = 0; attempt < MAX_RECORD_ATTEMPTS; attempt++) {
      if (!this.#look()) return READ.GONE;
      if (!this.#memory.locate(CONTROL_OFFSET)) return this.#gone("not-mapped");
      const seq = this.#load(C.ctrlGen);
      if ((seq & 1) !== 0) continue;
      out.desiredState = this.#load(C.desiredState);
      out.targetFps = this.#load(C.targetFps);
      out.drawCursor = this.#load(C.drawCursor);
      out.fullFrameReq = this.#load(C.fullFrameReq);
      if (this.#load(C.ctrlGen) !== seq) continue;
      if (!this.#look()) return READ.GONE;
      out.ctrlGen = seq;
      this.why = "";
      return READ.FRESH;
    }
    return this.#nothing("busy");
  }

  /**
   * Looks whether the heartbeat has moved since an earlier look, at least HEARTBEAT_PERIOD_MS ago; the wait
   * is the caller's.
   *
   * @param heartbeat what {@linkcode readState} or discovery saw then
   * @returns FRESH: alive; NOTHING: it did not move; GONE
   */
  confirmAlive(heartbeat: number): ReadResult {
    if (!this.#look()) return READ.GONE;
    if (this.#load64(R.heartbeat) !== heartbeat) {
      this.why = "";
      return READ.FRESH;
    }
    return this.#nothing("same");
  }

  /** Reads and checks the newest slot's descriptor once; `why` is "busy" when the writer was at it. */
  #describe(info: FrameInfo): ReadResult {
    if (!this.#look()) return READ.GONE;
    this.#runEpoch = this.#load(R.runEpoch);
    const slot = this.#load(R.latest);
    if (slot === NO_SLOT) return this.#nothing("none-yet");
    if (slot >= this.header.slotCount) return this.#nothing("malformed");
    const at = this.#slotAt(slot);
    const seq = this.#load(at + S.seq);
    if ((seq & 1) !== 0) return this.#nothing("busy");
    const width = this.#load(at + S.width);
    const height = this.#load(at + S.height);
    const stride = this.#load(at + S.stride);
    const format = this.#load(at + S.format);
    const frameId = this.#load(at + S.frameId) + this.#load(at + S.frameId + 4) * HIGH;
    info.flags = this.#load(at + S.flags);
    info.timestampNs = this.#load(at + S.timestampNs) + this.#load(at + S.timestampNs + 4) * HIGH;
    info.damageX = this.#load(at + S.damageX) | 0;
    info.damageY = this.#load(at + S.damageY) | 0;
    info.damageW = this.#load(at + S.damageW) | 0;
    info.damageH = this.#load(at + S.damageH) | 0;
    if (this.#load(at + S.seq) !== seq) return this.#nothing("busy");
    if (!this.#look()) return READ.GONE;
    const bytes = frameBytes(format, width, height, stride);
    if (bytes === 0 || bytes > this.header.slotStride || frameId < 1 || frameId > MAX_FRAME_ID) {
      return this.#nothing("malformed");
    }
    info.width = width;
    info.height = height;
    info.stride = stride;
    info.format = format;
    info.frameId = frameId;
    info.bytes = bytes;
    info.slot = slot;
    clipDamage(info);
    this.#seq = seq;
    if (frameId <= this.#lastFrameId) return this.#nothing("same");
    this.why = "";
    return READ.FRESH;
  }

  /** Has the newest frame taken, of `room` bytes at most, until what `take` took of it is of one frame. */
  #take(info: FrameInfo, room: number, take: (span: SlotSpan, seq: number) => boolean): ReadResult {
    for (let attempt = 0; attempt < MAX_FRAME_ATTEMPTS; attempt++) {
      const found = this.#describe(info);
      if (found === READ.GONE) return READ.GONE;
      if (this.why === "busy") continue;
      if (found === READ.NOTHING) return READ.NOTHING;
      if (info.bytes > room) return this.#nothing("too-large");
      const seq = this.#seq;
      const span = this.#memory.span(info.slot, this.#slotOffset(info.slot), info.bytes);
      if (span === undefined) return this.#gone("not-mapped");
      if (!this.#look()) return READ.GONE;
      const isTaken = take(span, seq);
      Atomics.exchange(FENCE, 0, 0);
      if (!span.intact()) {
        this.#memory.forget(info.slot);
        continue;
      }
      if (!this.#look()) return READ.GONE;
      if (!isTaken || this.#load(this.#slotAt(info.slot) + S.seq) !== seq) continue;
      this.#lastFrameId = info.frameId;
      this.why = "";
      return READ.FRESH;
    }
    return this.#nothing("busy");
  }

  /**
   * Finds the header page as it is mapped now, and makes sure that it is still the header that was checked.
   */
  #look(): boolean {
    if (this.#closed) {
      this.why = "closed";
      return false;
    }
    const memory = this.#memory;
    if (!memory.locate(0)) {
      this.why = "not-mapped";
      return false;
    }
    const { words, wordBase } = memory;
    const identity = this.#identity;
    for (let i = 0; i < IDENTITY_WORDS; i++) {
      if (words[wordBase + i] !== identity[i]) {
        this.why = "replaced";
        return false;
      }
    }
    return true;
  }

  #load(offset: number): number {
    const memory = this.#memory;
    return Atomics.load(memory.words, memory.wordBase + (offset >>> 2)) >>> 0;
  }

  /** A u64 that its writer stores at once, from two loads: the high half again, until it stood still. */
  #load64(offset: number): number {
    let high = this.#load(offset + 4);
    for (let attempt = 0;; attempt++) {
      const low = this.#load(offset);
      const again = this.#load(offset + 4);
      if (again === high || attempt === MAX_RECORD_ATTEMPTS) return again * HIGH + low;
      high = again;
    }
  }

  #slotAt(slot: number): number {
    return SLOTS_OFFSET + slot * SLOT.sizeBytes;
  }

  #slotOffset(slot: number): number {
    return RING_OFFSET + slot * this.header.slotStride;
  }

  #nothing(why: ReadWhy): ReadResult {
    this.why = why;
    return READ.NOTHING;
  }

  #gone(why: ReadWhy): ReadResult {
    this.why = why;
    return READ.GONE;
  }
}
