/**
 * The surface that a display source draws on: the picture of one head, four bytes per pixel (blue, green,
 * red, unused). A source draws an update rectangle by rectangle and commits it, so that nobody sees half an
 * update. It is a slot of the frame ring, or plain memory ({@linkcode MemoryCanvas}).
 * @module
 */
import { assert } from "../base/assert.ts";
import { MAX_PICTURE_SIDE } from "../base/limits.ts";

/** The shape of a cursor, if the source knows it. */
export interface CursorShape {
  /** Width, pixels, at most 256. */
  readonly width: number;
  /** Height, pixels, at most 256. */
  readonly height: number;
  /** The hot spot. */
  readonly hotX: number;
  /** See {@linkcode hotX}. */
  readonly hotY: number;
}

/** The picture of a cursor. */
export interface CursorPicture extends CursorShape {
  /** 0xAARRGGBB, row by row, at most MAX_CURSOR_SHAPE_PIXELS; no pixels: an invisible cursor. */
  readonly words: Int32Array<ArrayBuffer>;
}

/** The picture of one head, for its source. */
export interface Canvas {
  /** Width, pixels; 0 before the first {@linkcode resize}. */
  readonly width: number;
  /** Height, pixels. */
  readonly height: number;
  /** Bytes per row: a multiple of 4. */
  readonly stride: number;
  /**
   * The picture: what was committed last, plus what was drawn since. To be read again after {@linkcode
   * resize} and {@linkcode commit}, because each update may be in other memory.
   */
  readonly pixels: Uint8Array<ArrayBufferLike>;
  /**
   * The last committed picture, for reading only; undefined before the first commit, and while something was
   * drawn and not committed.
   */
  readonly shown: Uint8Array<ArrayBufferLike> | undefined;
  /** The same memory as words, `stride / 4` per row: 0x00RRGGBB in the low three bytes. */
  readonly words: Int32Array<ArrayBufferLike>;
  /**
   * Sets the picture's size and makes it black; what was drawn and not committed is lost.
   *
   * @param width 1 to MAX_PICTURE_SIDE
   * @param height 1 to MAX_PICTURE_SIDE
   */
  resize(width: number, height: number): void;
  /** Reports that a rectangle within the picture was drawn. */
  damage(x: number, y: number, width: number, height: number): void;
  /**
   * Announces that all pixels of a rectangle within the picture will be drawn: damage reported in advance, so
   * that their old contents need not be copied. To be called before `pixels` or `words` are read.
   */
  repaint(x: number, y: number, width: number, height: number): void;
  /**
   * Completes the update and shows it. Does nothing without damage.
   *
   * @param nowNs the time of the picture, CLOCK_MONOTONIC
   */
  commit(nowNs: number): void;
  /**
   * Reports the cursor's position.
   *
   * @param shape its shape, undefined while the source does not know it
   */
  cursor(x: number, y: number, visible: boolean, shape?: CursorShape): void;
  /** Reports the cursor's picture; undefined: unknown, or no longer known. */
  cursorPicture(picture: CursorPicture | undefined): void;
  /** Reports which keyboard lights are on, bits as in KEYBOARD_LEDS; undefined: unknown. */
  leds(bits: number | undefined): void;
}

/** A canvas in plain memory, for a single picture and for tests. */
export class MemoryCanvas implements Canvas {
  width = 0;
  height = 0;
  stride = 0;
  pixels: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  words: Int32Array<ArrayBuffer> = new Int32Array(0);
  /** There is only one buffer, so the committed picture is not kept. */
  readonly shown: undefined;
  /** Number of committed updates. */
  commits = 0;
  /** The bounding rectangle of the last update's damage: x, y, width, height. */
  lastDamage: readonly [number, number, number, number] = [0, 0, 0, 0];
  /** The last reported cursor position. */
  pointer: { x: number; y: number; visible: boolean; shape: CursorShape | undefined } | undefined;
  /** The last reported cursor picture. */
  shape: CursorPicture | undefined;
  /** The last reported lights. */
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
