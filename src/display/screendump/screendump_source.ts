/**
 * A head's picture from QEMU's screendump into a memfd, which works for every VM with a display. QEMU's main
 * loop makes the picture, and the guest's devices wait meanwhile (2 to 7 ms for 720x400 to 1280x800), so it
 * is requested only on demand, never before the previous one is complete, and at most at the requested rate.
 *
 * QEMU 10 and later keep a memfd of some pictures (`displaysurface`), which is not used: it can only be had
 * through QEMU's /proc entries, a dump must refresh it all the same, and of a std VGA there is one in text
 * modes alone: in graphics modes the card's memory is the surface (seen on 10.0.13 and 11.1.3).
 * @module
 */
import { createMemfd, ftruncate, OPEN, reopen, seekTo, statFd } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import type { Canvas } from "../canvas.ts";
import type { DisplayListener, DisplaySource } from "../display_source.ts";
import { PpmPainter } from "./ppm_picture.ts";

/** What the source needs of its owner. */
export interface DumpPort extends DisplayListener {
  /**
   * Has QEMU write the head's picture; {@linkcode ScreendumpSource.onDumped} reports the result. Not called
   * again before that.
   *
   * @param fd where to: write-only; borrowed. -1: the one of last time
   */
  dump(fd: number): void;
}

/** Invalid pictures in a row after which it gives up. */
const MAX_BROKEN = 3;

/** What the source does. */
type DumpState =
  | { readonly kind: "resting" | "ended" }
  /** QEMU writes a picture; `isSingle` when a single picture was asked for. */
  | { readonly kind: "dumping"; readonly isSingle: boolean };

const RESTING: DumpState = { kind: "resting" };
const ENDED: DumpState = { kind: "ended" };

/** The source of one head. */
export class ScreendumpSource implements DisplaySource {
  readonly kind = "screendump" as const;
  readonly fd: number = -1;
  readonly events: number = 0;
  readonly #canvas: Canvas;
  readonly #port: DumpPort;
  readonly #painter = new PpmPainter();
  readonly #file: OwnedFd;
  readonly #writeEnd: OwnedFd;
  #state: DumpState = RESTING;
  #isFileKnown = false;
  #gapNs = NEVER;
  #lastNs = 0;
  /** Whether a single picture is wanted that no dump has begun for. */
  #isWanted = false;
  #broken = 0;

  /**
   * A source that asks nothing yet.
   *
   * @param canvas what it paints on
   * @param port who runs it
   * @throws {OsError} when no descriptor can be had
   */
  constructor(canvas: Canvas, port: DumpPort) {
    this.#canvas = canvas;
    this.#port = port;
    this.#file = createMemfd("vmsig-screendump", 0);
    try {
      // QEMU opens a set's member by access mode: only a write-only descriptor will do.
      this.#writeEnd = reopen(this.#file.fd, OPEN.WRITE_ONLY);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  get nextNs(): number {
    if (this.#state.kind !== "resting") return NEVER;
    return this.#isWanted ? 0 : this.#lastNs + this.#gapNs;
  }

  demand(perSecond: number): void {
    assert(perSecond >= 0 && perSecond <= 240, "a rate is 0 to 240 pictures a second");
    this.#gapNs = perSecond === 0 ? NEVER : SECOND / perSecond;
  }

  once(): void {
    this.#isWanted = true;
  }

  step(nowNs: number): void {
    if (nowNs < this.nextNs) return;
    this.#lastNs = nowNs;
    assert(this.#state.kind === "resting", "one dump is under way at a time");
    this.#state = { kind: "dumping", isSingle: this.#isWanted };
    this.#isWanted = false;
    this.#dump();
  }

  /**
   * QEMU has answered.
   *
   * @param code 0, or why there is no picture
   * @param words QEMU's, escaped
   * @param nowNs the time
   */
  onDumped(code: Code, words: string, nowNs: number): void {
    if (this.#state.kind === "ended") return;
    assert(this.#state.kind === "dumping", "an answer was asked for");
    const { isSingle } = this.#state;
    if (code === CODE["bad-argument"] && this.#isFileKnown) {
      // The monitor's connection was made again, and the file passed over the former one is gone: it is
      // passed once more.
      this.#isFileKnown = false;
      return this.#dump();
    }
    this.#state = RESTING;
    if (code !== CODE.ok) return this.#lose(code, words === "" ? "QEMU makes no screendump" : words);
    this.#isFileKnown = true;
    const length = Math.min(statFd(this.#file.fd).sizeBytes, MAX_VGPU_SLOT_BYTES);
    const painted = this.#painter.paint(this.#file.fd, length, this.#canvas);
    if (!painted.ok) return this.#onBroken(painted.why, isSingle);
    this.#broken = 0;
    this.#canvas.commit(nowNs);
    if (isSingle) this.#port.onPicture();
  }

  /** Ends it, and closes its file. */
  [Symbol.dispose](): void {
    this.#state = ENDED;
    this.#writeEnd.close();
    this.#file.close();
  }

  #dump(): void {
    // The descriptor's position is shared with QEMU's duplicate: it writes where the last picture ended
    // otherwise.
    ftruncate(this.#writeEnd.fd, 0);
    seekTo(this.#writeEnd.fd, 0);
    this.#port.dump(this.#isFileKnown ? -1 : this.#writeEnd.fd);
  }

  #onBroken(why: string, isSingle: boolean): void {
    if (++this.#broken >= MAX_BROKEN) {
      return this.#lose(CODE["protocol-error"], `QEMU's screendump is not valid: ${why}`);
    }
    this.#isWanted ||= isSingle;
  }

  #lose(code: Code, why: string): void {
    this.#state = ENDED;
    this.#port.onLost(code, why);
  }
}
