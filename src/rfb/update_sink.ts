/**
 * Where an RFB client's updates go: the picture that they are painted on, and whoever is told the rest. A
 * canvas of src/display fits; so does plain memory.
 * @module
 */

/** A picture of four bytes a pixel: blue, green, red, unused. */
export interface Picture {
  /** Bytes from row to row. */
  readonly stride: number;
  /** The rows. Asked for anew after each call of the sink or the picture. */
  readonly pixels: Uint8Array<ArrayBufferLike>;
  /** The picture has another size from now on; both are 1 or more. */
  resize(width: number, height: number): void;
  /** All pixels of a rectangle within it are about to be painted; {@linkcode damage} follows. */
  repaint(x: number, y: number, width: number, height: number): void;
  /** A rectangle within it has new pixels. */
  damage(x: number, y: number, width: number, height: number): void;
}

/** A cursor's shape. */
export interface RfbCursor {
  /** Pixels in a row; 0 for no cursor. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** The pixel that points. */
  readonly hotX: number;
  /** See {@linkcode hotX}. */
  readonly hotY: number;
  /** Whether any pixel of it is to be seen. */
  readonly visible: boolean;
  /** 0xAARRGGBB, row by row; undefined of one with more than MAX_CURSOR_PIXELS. */
  readonly words: Int32Array<ArrayBuffer> | undefined;
}

/** Told what an update holds beside pixels. None of these may throw or hand in bytes. */
export interface UpdateSink {
  /**
   * An update is whole.
   *
   * @param pixels whether it brought any rectangle of the picture, and not only what a server says unasked
   * @param hasProbe whether it brought the pixel that UpdateStream.probe has set
   */
  onUpdate(pixels: boolean, hasProbe: boolean): void;
  /** The picture has this size from now on; 0 by 0 is possible: then there is none until the next size. */
  onSize(width: number, height: number): void;
  /** The cursor has this shape. */
  onCursor(cursor: RfbCursor): void;
  /** The server has moved the cursor. */
  onPointer(x: number, y: number): void;
  /** QEMU: the pointer that it offers is absolute, or relative. */
  onPointerMode(absolute: boolean): void;
  /** QEMU: it knows extended key events. */
  onExtendedKeys(): void;
  /** QEMU: lights of the keyboard, bits as LED. */
  onLeds(bits: number): void;
}
