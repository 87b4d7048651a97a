/**
 * What a display source paints on: the picture of one head, four bytes a pixel (blue, green, red, unused).
 * A source paints an update rectangle by rectangle and commits it; nobody sees half an update. Behind it is a
 * slot of the ring of frames, or plain memory ({@linkcode MemoryCanvas}).
 * @module
 */
import { assert } from "../base/assert.ts";
import { MAX_PICTURE_SIDE } from "../base/limits.ts";

/** The shape of a cursor, when the source knows it. */
export interface CursorShape {
  /** Pixels in a row, at most 256. */
  readonly width: number;
  /** Rows, at most 256. */
  readonly height: number;
  /** The pixel that points. */
  readonly hotX: number;
  /** See {@linkcode hotX}. */
  readonly hotY: number;
}

/** What a cursor looks like. */
export interface CursorPicture extends CursorShape {
  /** 0xAARRGGBB, row by row, MAX_CURSOR_SHAPE_PIXELS at most; of no pixels none is to be seen. */
  readonly words: Int32Array<ArrayBuffer>;
}

/** The picture of one head, for its source. */
export interface Canvas {
  /** Pixels in a row; 0 before the first {@linkcode resize}. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bytes from row to row: a multiple of 4. */
  readonly stride: number;
  /**
   * The picture: what was committed last, with what was painted since. Ask for it anew after
   * {@linkcode resize} and {@linkcode commit}: each update may lie elsewhere.
   */
  readonly pixels: Uint8Array<ArrayBufferLike>;
  /**
   * The picture as it was committed last, to be read alone; undefined before the first commit, and where
   * something was painted and not committed.
   */
  readonly shown: Uint8Array<ArrayBufferLike> | undefined;
  /** The same memory as words, `stride / 4` to a row: 0x00RRGGBB in the low three bytes. */
  readonly words: Int32Array<ArrayBufferLike>;
  /**
   * The picture has another size from now on, and is black; what was painted and not committed is lost.
   *
   * @param width 1 to MAX_PICTURE_SIDE
   * @param height 1 to MAX_PICTURE_SIDE
   */
  resize(width: number, height: number): void;
  /** Says that a rectangle within the picture was painted. */
  damage(x: number, y: number, width: number, height: number): void;
  /**
   * Says that all pixels of a rectangle within the picture are about to be painted: damage, told in advance,
   * so that what was there need not be copied first. To be said before `pixels` or `words` are asked for.
   */
  repaint(x: number, y: number, width: number, height: number): void;
  /**
   * The update is whole: shows it. Without any damage nothing is shown.
   *
   * @param nowNs when it was known, CLOCK_MONOTONIC
   */
  commit(nowNs: number): void;
  /**
   * Where the cursor is.
   *
   * @param shape its shape, undefined while the source does not know it
   */
  cursor(x: number, y: number, visible: boolean, shape?: CursorShape): void;
  /** What the cursor looks like from now on; undefined: that is not known (any more). */
  cursorPicture(picture: CursorPicture | undefined): void;
  /** Which lights of the keyboard are on, bits as KEYBOARD_LEDS has them; undefined: that is not known. */
  leds(bits: number | undefined): void;
}

/** A canvas in plain memory, for one picture and for tests. */
export class MemoryCanvas implements Canvas {
  width = 0;
  height = 0;
  stride = 0;
  pixels: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  words: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** All is painted in the same memory: what was committed is not kept. */
  readonly shown: undefined;
  /** How many updates were committed. */
  commits = 0;
  /** The damage of the last committed update: x, y, width, height around all of it. */
  lastDamage: readonly [number, number, number, number] = [0, 0, 0, 0];
  /** The cursor as told last. */
  pointer: { x: number; y: number; visible: boolean; shape: CursorShape | undefined } | undefined;
  /** What the cursor looks like, as told last. */
  shape: CursorPicture | undefined;
  /** The lights, as told last. */
  lights: number | undefined;
  #left = Infinity;
  #top = Infinity;
  #right = 0;
  #bottom = 0;

  resize(width: number, height: number): void {
    assert(width >= 1 && height >= 1 && width <= MAX_PICTURE_SIDE && height <= MAX_PICTURE_SIDE, "a size");
    this.width = width;
    this.height = height;
    this.stride = width * 4;
    this.pixels = new Uint8Array(width * height * 4);
    this.words = new Int32Array(this.pixels.buffer);
    this.#left = this.#top = Infinity;
    this.#right = this.#bottom = 0;
  }

  damage(x: number, y: number, width: number, height: number): void {
    assert(x >= 0 && y >= 0 && x + width <= this.width && y + height <= this.height, "damage lies within");
    if (width === 0 || height === 0) return;
    this.#left = Math.min(this.#left, x);
    this.#top = Math.min(this.#top, y);
    this.#right = Math.max(this.#right, x + width);
    this.#bottom = Math.max(this.#bottom, y + height);
  }

  repaint(x: number, y: number, width: number, height: number): void {
    this.damage(x, y, width, height);
  }

  commit(_nowNs: number): void {
    if (this.#right === 0) return;
    this.lastDamage = [this.#left, this.#top, this.#right - this.#left, this.#bottom - this.#top];
    this.#left = this.#top = Infinity;
    this.#right = this.#bottom = 0;
    this.commits++;
  }

  cursor(x: number, y: number, visible: boolean, shape?: CursorShape): void {
    this.pointer = { x, y, visible, shape: shape ?? this.pointer?.shape };
  }

  cursorPicture(picture: CursorPicture | undefined): void {
    this.shape = picture;
  }

  leds(bits: number | undefined): void {
    this.lights = bits;
  }
}
