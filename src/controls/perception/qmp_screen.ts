/**
 * The screen as QEMU sees it, for guests without a producer: screendump into a memfd of ours, which the
 * monitor gets as a descriptor set. Nothing touches a disk. Same interface as a producer's region: a frame is
 * fresh when its pixels are not those of the last one; frame ids count the fresh ones.
 *
 * It is paced: QEMU's main loop makes the picture, and the guest's devices wait meanwhile (2 to 7 ms for a
 * dump of 720x400 to 1280x800). Between two dumps at least {@linkcode QmpScreenOptions.gapMs} go by; asked
 * earlier, it has nothing new.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import { createMemfd, ftruncate, OPEN, reopen, seekTo, statFd } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto } from "../../../ffi/stream.ts";
import { MS } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import type { FrameSource } from "../../vgpu/frame_source.ts";
import { PIXEL_FORMAT } from "../../vgpu/pixel_format.ts";
import { ppmToRgba, readPpmHead } from "../../vgpu/ppm.ts";
import type { FrameInfo } from "../../vgpu/snapshots.ts";
import { READ, type ReadResult, type ReadWhy } from "../../vgpu/vgpu_region.ts";
import { QmpConversation } from "../../qemu/monitor/qmp_conversation.ts";

/** How to use it. */
export interface QmpScreenOptions {
  /** Least time between two dumps, ms; 100 unless told. */
  readonly gapMs?: number;
  /** The display device's id, when the VM has several. */
  readonly device?: string;
}

/** Screendump as a source of frames. */
export class QmpScreen implements FrameSource, Disposable {
  why: ReadWhy = "";
  readonly #conversation: QmpConversation;
  readonly #file: OwnedFd;
  readonly #writeEnd: OwnedFd;
  readonly #setId: number;
  readonly #gapNs: number;
  readonly #device: string | undefined;
  #picture = new Uint8Array(0);
  #previous = new Uint8Array(0);
  #previousBytes = 0;
  #lastNs = -Infinity;
  #frameId = 0;
  #forgotten = true;
  #closed = false;

  private constructor(
    conversation: QmpConversation,
    file: OwnedFd,
    writeEnd: OwnedFd,
    setId: number,
    options: QmpScreenOptions,
  ) {
    this.#conversation = conversation;
    this.#file = file;
    this.#writeEnd = writeEnd;
    this.#setId = setId;
    this.#gapNs = (options.gapMs ?? 100) * MS;
    this.#device = options.device;
  }

  /**
   * Connects to a monitor and hands it the memfd.
   *
   * @param path a monitor of one's own
   * @throws {Fault} `busy` when another client has it
   */
  static open(path: string, options: QmpScreenOptions = {}): QmpScreen {
    const conversation = QmpConversation.open(path);
    try {
      const file = createMemfd("vmsig-screendump", 0);
      try {
        // QEMU opens a set's member by access mode: only a write-only descriptor will do.
        const writeEnd = reopen(file.fd, OPEN.WRITE_ONLY);
        try {
          const added = conversation.execute("add-fd", {}, [writeEnd.fd]) as Record<string, unknown> | null;
          const setId = added?.["fdset-id"];
          if (typeof setId !== "number") {
            throw new Fault("protocol-error", "Cannot use add-fd: QEMU's answer names no fd set");
          }
          return new QmpScreen(conversation, file, writeEnd, setId, options);
        } catch (error) {
          writeEnd.close();
          throw error;
        }
      } catch (error) {
        file.close();
        throw error;
      }
    } catch (error) {
      conversation[Symbol.dispose]();
      throw error;
    }
  }

  sampleFrame(into: Uint8Array, info: FrameInfo): ReadResult {
    if (this.#closed) return this.#answer(READ.GONE, "closed");
    const nowNs = monotonicClock.nowNs();
    if (nowNs - this.#lastNs < this.#gapNs) return this.#answer(READ.NOTHING, "same");
    this.#lastNs = nowNs;
    const length = this.#dump();
    if (length === undefined) return this.#answer(READ.GONE, "not-mapped");
    const head = readPpmHead(this.#picture, length);
    if (!head.ok) return this.#answer(READ.NOTHING, "malformed");
    const pixels = head.width * head.height;
    if (pixels * 4 > into.length) return this.#answer(READ.NOTHING, "too-large");
    const fresh = this.#forgotten || length !== this.#previousBytes ||
      !sameBytes(this.#picture, this.#previous, length);
    if (!fresh) return this.#answer(READ.NOTHING, "same");
    this.#forgotten = false;
    ppmToRgba(this.#picture, head.dataOffset, pixels, into);
    this.#describe(info, head.width, head.height, nowNs);
    [this.#picture, this.#previous] = [this.#previous, this.#picture];
    this.#previousBytes = length;
    return this.#answer(READ.FRESH, "");
  }

  forgetFrames(): void {
    this.#forgotten = true;
    this.#lastNs = -Infinity;
  }

  close(): void {
    this[Symbol.dispose]();
  }

  /** Takes the set back from QEMU, and leaves the monitor. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      // While another monitor is connected, QEMU keeps a set that its maker has left behind.
      this.#conversation.execute("remove-fd", { "fdset-id": this.#setId }, [], 500);
    } catch (error) {
      // A QEMU that has gone or does not answer keeps no set that matters.
      if (!(error instanceof Fault)) throw error;
    }
    this.#conversation[Symbol.dispose]();
    this.#writeEnd.close();
    this.#file.close();
  }

  /** Has QEMU write a picture and reads it; its length, undefined when QEMU has gone. */
  #dump(): number | undefined {
    // The descriptor's position is shared with QEMU's duplicate: it writes where the last picture ended
    // otherwise.
    ftruncate(this.#writeEnd.fd, 0);
    seekTo(this.#writeEnd.fd, 0);
    try {
      this.#conversation.execute("screendump", {
        filename: `/dev/fdset/${this.#setId}`,
        ...(this.#device === undefined ? {} : { device: this.#device }),
      });
    } catch (error) {
      if (error instanceof Fault && error.code === "seam-down") return undefined;
      throw error;
    }
    const length = Math.min(statFd(this.#file.fd).sizeBytes, MAX_VGPU_SLOT_BYTES);
    if (this.#picture.length < length) this.#picture = new Uint8Array((length + 3) & ~3);
    assert(length <= this.#picture.length, "there is room for the picture");
    let done = 0;
    while (done < length) {
      const got = preadInto(this.#file.fd, this.#picture, done, length - done, done);
      if (got <= 0) break;
      done += got;
    }
    return done;
  }

  #describe(info: FrameInfo, width: number, height: number, nowNs: number): void {
    info.width = width;
    info.height = height;
    info.stride = width * 4;
    info.format = PIXEL_FORMAT.rgba8888;
    info.frameId = ++this.#frameId;
    info.timestampNs = nowNs;
    info.damageX = 0;
    info.damageY = 0;
    info.damageW = width;
    info.damageH = height;
    info.bytes = width * height * 4;
    info.slot = 0;
  }

  #answer(result: ReadResult, why: ReadWhy): ReadResult {
    this.why = why;
    return result;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array, length: number): boolean {
  const words = length >>> 2;
  const wordsA = new Int32Array(a.buffer, 0, words);
  const wordsB = new Int32Array(b.buffer, 0, words);
  for (let i = 0; i < words; i++) if (wordsA[i] !== wordsB[i]) return false;
  for (let i = words * 4; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}
