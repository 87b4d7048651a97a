/**
 * What a VNC server tells of the guest's cursor and of the keyboard's lights, for the canvas: what it looks
 * like, and where it is, which few servers say, and QEMU's does not.
 * @module
 */
import { ALL_LEDS, isCursorTold } from "../../event/kinds/pointer_kinds.ts";
import type { RfbCursor } from "../../rfb/update_sink.ts";
import type { Canvas } from "../canvas.ts";

/** The cursor of one server. */
export class VncPointer implements Disposable {
  readonly #canvas: Canvas;
  #cursor: RfbCursor | undefined;
  #place: { readonly x: number; readonly y: number } | undefined;

  /** Nothing is known of it yet. */
  constructor(canvas: Canvas) {
    this.#canvas = canvas;
  }

  /** It looks so. */
  looks(cursor: RfbCursor): void {
    const { words } = cursor;
    // Of a larger one neither shape nor pixels are told.
    const isTold = isCursorTold(cursor);
    this.#cursor = isTold ? cursor : undefined;
    this.#canvas.cursorPicture(isTold && words !== undefined ? { ...cursor, words } : undefined);
    this.#tell();
  }

  /** It is there. */
  isAt(x: number, y: number): void {
    this.#place = { x, y };
    this.#tell();
  }

  /** These lights are on. @param bits those of LED */
  leds(bits: number): void {
    this.#canvas.leds(bits & ALL_LEDS);
  }

  /** Nothing is known any more. */
  [Symbol.dispose](): void {
    this.#canvas.cursorPicture(undefined);
    this.#canvas.leds(undefined);
  }

  #tell(): void {
    if (this.#place === undefined) return;
    const { x, y } = this.#place;
    this.#canvas.cursor(x, y, this.#cursor?.visible ?? true, this.#cursor);
  }
}
