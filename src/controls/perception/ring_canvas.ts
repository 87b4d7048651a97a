/**
 * The canvas of a display source whose pixels are a ring's: a source paints straight into the slot that is
 * shown next, and nothing is copied but what changed since that slot was written last.
 *
 * There are three slots: the newest, the one that is painted, and one for the reader that still copies. So a
 * picture costs three times its size, and no more, whatever its source.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MAX_PICTURE_SIDE, MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import type { Canvas, CursorPicture, CursorShape } from "../../display/canvas.ts";
import { PIXEL_FORMAT } from "../../vgpu/pixel_format.ts";
import { PRODUCER_STATUS } from "../../vgpu/region_layout.ts";
import { Cursor, FrameInfo, ProducerState } from "../../vgpu/snapshots.ts";
import { FrameRing, SLOT_COUNT } from "./frame_ring.ts";

/** Takes what is shown on the canvas. */
export interface CanvasListener {
  /** There is another ring, whose first frame follows. */
  onRing(ring: FrameRing): void;
  /** A frame is in the ring. @param info borrowed */
  onFrame(info: FrameInfo): void;
  /** The cursor moved, or has another shape. @param cursor borrowed */
  onCursor(cursor: Cursor): void;
  /** The cursor looks so; undefined: what it looks like is not known any more. */
  onCursorPicture(picture: CursorPicture | undefined): void;
  /** These lights of the keyboard are on; undefined: which ones is not known any more. */
  onLeds(bits: number | undefined): void;
}

/** Pixels of a picture. */
interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A rectangle that grows; empty while `right` is 0. */
class Area {
  left = Infinity;
  top = Infinity;
  right = 0;
  bottom = 0;

  add(left: number, top: number, right: number, bottom: number): void {
    assert(left < right && top < bottom, "what is added has a size");
    this.left = Math.min(this.left, left);
    this.top = Math.min(this.top, top);
    this.right = Math.max(this.right, right);
    this.bottom = Math.max(this.bottom, bottom);
  }

  clear(): void {
    this.left = this.top = Infinity;
    this.right = this.bottom = 0;
  }

  get isEmpty(): boolean {
    return this.right === 0;
  }

  /** Whether nothing of it lies outside. */
  isWithin({ x, y, width, height }: Rectangle): boolean {
    return this.isEmpty ||
      this.left >= x && this.top >= y && this.right <= x + width && this.bottom <= y + height;
  }
}

/** A slot that is painted. */
interface Open {
  readonly slot: number;
  readonly pixels: Uint8Array;
  readonly words: Int32Array;
}

/** A canvas over a ring. */
export class RingCanvas implements Canvas, Disposable {
  width = 0;
  height = 0;
  stride = 0;
  readonly #pid: number;
  readonly #listener: CanvasListener;
  readonly #info = new FrameInfo();
  readonly #cursor = new Cursor();
  readonly #state = Object.assign(new ProducerState(), { status: PRODUCER_STATUS.running });
  /** What of each slot is older than the newest picture. */
  readonly #stale = Array.from({ length: SLOT_COUNT }, () => new Area());
  readonly #damage = new Area();
  #ring: FrameRing | undefined;
  #isRingTold = false;
  #open: Open | undefined;
  #frameId = 0;
  #flags = 0;
  #cursorPicture: CursorPicture | undefined;
  #leds: number | undefined;

  /**
   * A canvas without a picture.
   *
   * @param pid this process's, which the rings' headers name
   */
  constructor(pid: number, listener: CanvasListener) {
    this.#pid = pid;
    this.#listener = listener;
  }

  /** The newest frame's id: it counts on over all sources and sizes. 0 before the first. */
  get frameId(): number {
    return this.#frameId;
  }

  get pixels(): Uint8Array {
    return this.#paint().pixels;
  }

  get words(): Int32Array {
    return this.#paint().words;
  }

  get shown(): Uint8Array | undefined {
    const ring = this.#ring;
    if (ring === undefined || !this.#isRingTold || this.#open !== undefined) return undefined;
    return ring.bytesOf(ring.latest).subarray(0, this.stride * this.height);
  }

  resize(width: number, height: number): void {
    assert(width >= 1 && height >= 1 && width <= MAX_PICTURE_SIDE && height <= MAX_PICTURE_SIDE, "a size");
    assert(width * height * 4 <= MAX_VGPU_SLOT_BYTES, "a picture fits a slot");
    this.#forget();
    this.width = width;
    this.height = height;
    this.stride = width * 4;
    this.#ring = FrameRing.create(width * height * 4, this.#pid);
  }

  damage(x: number, y: number, width: number, height: number): void {
    assert(x >= 0 && y >= 0 && x + width <= this.width && y + height <= this.height, "damage lies within");
    if (width > 0 && height > 0) this.#damage.add(x, y, x + width, y + height);
  }

  repaint(x: number, y: number, width: number, height: number): void {
    this.damage(x, y, width, height);
    if (this.#open === undefined && width > 0 && height > 0) this.#paint({ x, y, width, height });
  }

  commit(nowNs: number): void {
    const damage = this.#damage;
    const ring = this.#ring;
    if (damage.isEmpty || ring === undefined) return;
    const { slot } = this.#paint();
    this.#open = undefined;
    const info = this.#info;
    info.width = this.width;
    info.height = this.height;
    info.stride = this.stride;
    info.format = PIXEL_FORMAT.bgrx8888;
    info.flags = this.#flags;
    info.frameId = ++this.#frameId;
    info.timestampNs = nowNs;
    info.bytes = this.stride * this.height;
    info.slot = slot;
    info.damageX = damage.left;
    info.damageY = damage.top;
    info.damageW = damage.right - damage.left;
    info.damageH = damage.bottom - damage.top;
    ring.show(slot, info);
    ring.beat(this.#state);
    this.#stale.forEach((stale, i) => {
      if (i !== slot) stale.add(damage.left, damage.top, damage.right, damage.bottom);
    });
    damage.clear();
    if (!this.#isRingTold) {
      this.#isRingTold = true;
      this.#listener.onRing(ring);
    }
    this.#listener.onFrame(info);
  }

  cursor(x: number, y: number, visible: boolean, shape?: CursorShape): void {
    const cursor = this.#cursor;
    cursor.seq++;
    cursor.x = x;
    cursor.y = y;
    cursor.visible = visible;
    if (shape !== undefined) {
      cursor.glyphW = shape.width;
      cursor.glyphH = shape.height;
      cursor.hotX = shape.hotX;
      cursor.hotY = shape.hotY;
    }
    this.#ring?.showCursor(cursor);
    this.#listener.onCursor(cursor);
  }

  cursorPicture(picture: CursorPicture | undefined): void {
    if (isSamePicture(picture, this.#cursorPicture)) return;
    this.#cursorPicture = picture;
    this.#listener.onCursorPicture(picture);
  }

  leds(bits: number | undefined): void {
    if (bits === this.#leds) return;
    this.#leds = bits;
    this.#listener.onLeds(bits);
  }

  /**
   * Frames have these flags from now on; the newest one gets them too, and is told again when they have
   * changed.
   */
  mark(flags: number): void {
    if (flags === this.#flags) return;
    this.#flags = flags;
    if (this.#ring === undefined || !this.#isRingTold) return;
    this.#ring.mark(flags);
    this.#info.flags = flags;
    this.#listener.onFrame(this.#info);
  }

  /** Ends it; readers keep what they have mapped. */
  [Symbol.dispose](): void {
    this.#forget();
    this.width = this.height = this.stride = 0;
  }

  #forget(): void {
    this.#ring?.[Symbol.dispose]();
    this.#ring = undefined;
    this.#isRingTold = false;
    this.#open = undefined;
    this.#damage.clear();
    for (const stale of this.#stale) stale.clear();
  }

  /**
   * The slot that is painted, brought up to the newest picture first.
   *
   * @param repainted a rectangle that is painted in any case: what is old within it alone is left
   */
  #paint(repainted?: Rectangle): Open {
    if (this.#open !== undefined) return this.#open;
    const ring = this.#ring;
    assert(ring !== undefined, "a canvas has a size before it is painted");
    const before = ring.latest;
    const slot = ring.open();
    const bytes = ring.bytesOf(slot);
    const stale = this.#stale[slot] as Area;
    if (repainted === undefined || !stale.isWithin(repainted)) {
      this.#refresh(stale, ring.bytesOf(before), bytes);
    }
    stale.clear();
    const size = this.stride * this.height;
    const pixels = new Uint8Array(bytes.buffer, bytes.byteOffset, size);
    this.#open = { slot, pixels, words: new Int32Array(bytes.buffer, bytes.byteOffset, size / 4) };
    return this.#open;
  }

  #refresh(stale: Area, from: Uint8Array, to: Uint8Array): void {
    if (stale.isEmpty) return;
    const { stride } = this;
    if (stale.left === 0 && stale.right === this.width) {
      const start = stale.top * stride;
      to.set(from.subarray(start, stale.bottom * stride), start);
    } else {
      for (let y = stale.top; y < stale.bottom; y++) {
        const start = y * stride + stale.left * 4;
        to.set(from.subarray(start, y * stride + stale.right * 4), start);
      }
    }
  }
}

/** Whether two cursors look the same: guests show one again and again. */
function isSamePicture(one: CursorPicture | undefined, two: CursorPicture | undefined): boolean {
  if (one === undefined || two === undefined) return one === two;
  return one.width === two.width && one.height === two.height && one.hotX === two.hotX &&
    one.hotY === two.hotY && one.words.every((word, i) => word === two.words[i]);
}
