/**
 * The picture of a linear mode, out of video memory onto a canvas. Pixels of 32 bits go there as they are;
 * the others are kept as they lie in memory, and widened where they have changed.
 * @module
 */
import { RowReader } from "../../../ffi/picture_rows.ts";
import type { Canvas } from "../canvas.ts";
import type { LinearMode } from "./dispi.ts";
import { readPalette, rowWriterOf, type Widening } from "./pixel_rows.ts";
import type { RowRange } from "./row_sweep.ts";
import type { VgaRegisters } from "./vga_state.ts";
import type { VideoMemory } from "./video_memory.ts";
import { paintWordRows } from "./word_rows.ts";

/** Paints one. */
export class LinearPicture {
  readonly #memory: VideoMemory;
  readonly #canvas: Canvas;
  readonly #widening: Widening;
  readonly #reader = new RowReader();
  readonly #palette = new Int32Array(256);
  /** The picture as it lies in video memory, for modes of fewer than 32 bits. */
  #raw = new Uint8Array(0);
  /** Whether what is in it is not pixels yet, or those of another palette. */
  #isRawNew = false;

  /**
   * Nothing is painted yet.
   *
   * @param widening how 15-bit pixels are widened
   */
  constructor(memory: VideoMemory, canvas: Canvas, widening: Widening) {
    this.#memory = memory;
    this.#canvas = canvas;
    this.#widening = widening;
  }

  /** There is another mode from now on. @param mode undefined when it is not a linear one */
  begin(mode: LinearMode | undefined): void {
    this.#raw = new Uint8Array(mode === undefined ? 0 : rawBytesOf(mode));
    this.#isRawNew = true;
  }

  /** The colours of a mode of 8 bits, as they are now. */
  takePalette({ palette, isWidePalette }: VgaRegisters): void {
    if (readPalette(palette, isWidePalette, this.#palette)) this.#isRawNew = true;
  }

  /**
   * Paints what has changed, and tells the canvas, which has the mode's size.
   *
   * @param rows those that are looked at: all of them, unless the mode has 32 bits
   * @returns how many rows changed; below 0 when the memory is not there any more
   */
  paint(mode: LinearMode, rows: RowRange): number {
    if (mode.bits !== 32) return this.#paintRaw(mode, mode.bits);
    const at = { memory: this.#memory, canvas: this.#canvas, reader: this.#reader };
    return paintWordRows(at, mode, { ...rows, step: 1 });
  }

  #paintRaw({ width, height, stride, offset }: LinearMode, bits: 8 | 15 | 16 | 24): number {
    const reader = this.#reader;
    const pixelBytes = (bits + 7) >>> 3;
    const rowBytes = width * pixelBytes;
    const where = { position: offset, stride, picture: this.#raw, to: 0, toStride: rowBytes };
    const changed = this.#memory.readRows(reader, { ...where, rowBytes, rows: height });
    if (changed < 0 || (changed === 0 && !this.#isRawNew)) return changed;
    const canvas = this.#canvas;
    const words = canvas.words;
    const write = rowWriterOf(bits, this.#palette, this.#widening);
    const [top, bottom] = this.#isRawNew ? [0, height] : [reader.top, reader.bottom];
    for (let y = top; y < bottom; y++) {
      write({ bytes: this.#raw, at: y * rowBytes, width }, words, y * canvas.stride / 4);
    }
    const left = this.#isRawNew ? 0 : Math.floor(reader.left / pixelBytes);
    const right = this.#isRawNew ? width : Math.ceil(reader.right / pixelBytes);
    canvas.damage(left, top, right - left, bottom - top);
    this.#isRawNew = false;
    return changed;
  }
}

/** Bytes of a picture as it lies in video memory, without what is between rows; 0: it is read as it is. */
function rawBytesOf({ width, height, bits }: LinearMode): number {
  return bits === 32 ? 0 : width * height * ((bits + 7) >>> 3);
}
