/**
 * What the server says after the handshake, as bytes.
 * @module
 */
import { joinedBytes } from "../../base/joined_bytes.ts";
import { BGRX, writePixelFormat } from "../pixel_format.ts";
import { ENCODING, HEAD, PIXEL_FORMAT_BYTES, SERVER_MESSAGE } from "../protocol.ts";
import type { Rect } from "./dirty_tiles.ts";

/** The cursor's shape. */
export interface CursorPicture {
  /** Pixels in a row, at most 256; 0: no cursor is to be seen. */
  readonly width: number;
  /** Rows, at most 256. */
  readonly height: number;
  /** The pixel that points. */
  readonly hotX: number;
  /** See {@linkcode hotX}. */
  readonly hotY: number;
  /** 0xAARRGGBB, row by row; what is less than half opaque is not seen. */
  readonly words: Int32Array;
}

/** ServerInit. @param name shown in a viewer's title */
export function serverInit(width: number, height: number, name: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array(4 + PIXEL_FORMAT_BYTES + 4 + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, width);
  view.setUint16(2, height);
  writePixelFormat(view, 4, BGRX);
  view.setUint32(4 + PIXEL_FORMAT_BYTES, text.length);
  bytes.set(text, 8 + PIXEL_FORMAT_BYTES);
  return bytes;
}

/** FramebufferUpdate: its head; rectangles follow. */
export function updateHead(rects: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEAD.UPDATE);
  new DataView(bytes.buffer).setUint16(2, rects);
  return bytes;
}

/** A rectangle's head. */
export function rectHead(rect: Rect, encoding: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEAD.RECTANGLE);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, rect.x);
  view.setUint16(2, rect.y);
  view.setUint16(4, rect.width);
  view.setUint16(6, rect.height);
  view.setInt32(8, encoding);
  return bytes;
}

/** A rectangle that only tells something by its head. */
export function tellRect(encoding: number, x = 0, y = 0, width = 0, height = 0): Uint8Array<ArrayBuffer> {
  return rectHead({ x, y, width, height }, encoding);
}

/**
 * ExtendedDesktopSize: one screen as large as the picture.
 *
 * @param reason 0 the server's own doing, 1 the answer to this viewer's wish
 * @param status of the answer: 0 done, 1 not allowed
 */
export function extendedSizeRect(
  reason: number,
  status: number,
  width: number,
  height: number,
): Uint8Array<ArrayBuffer> {
  const screens = new Uint8Array(HEAD.SCREENS + HEAD.SCREEN);
  const view = new DataView(screens.buffer);
  view.setUint8(0, 1);
  // libvncclient takes no size from a screen whose number is 0.
  view.setUint32(HEAD.SCREENS, 1);
  view.setUint16(HEAD.SCREENS + 8, width);
  view.setUint16(HEAD.SCREENS + 10, height);
  return joinedBytes([tellRect(ENCODING.EXTENDED_DESKTOP_SIZE, reason, status, width, height), screens]);
}

/** DesktopName. */
export function nameRect(name: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(name);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, text.length);
  return joinedBytes([tellRect(ENCODING.DESKTOP_NAME), length, text]);
}

/** CopyRect: rows that have moved up or down. @param fromY where their first one was */
export function copyRect(to: Rect, fromY: number): Uint8Array<ArrayBuffer> {
  const source = new Uint8Array(HEAD.COPY);
  const view = new DataView(source.buffer);
  view.setUint16(0, to.x);
  view.setUint16(2, fromY);
  return joinedBytes([rectHead(to, ENCODING.COPY_RECT), source]);
}

/** The lights of the keyboard. @param bits those of LED */
export function ledsRect(bits: number): Uint8Array<ArrayBuffer> {
  return joinedBytes([tellRect(ENCODING.QEMU_LEDS), new Uint8Array([bits])]);
}

/** The cursor's shape. @param write writes its pixels as the viewer wants them */
export function cursorRect(cursor: CursorPicture, pixels: Uint8Array): Uint8Array<ArrayBuffer> {
  const { width, height, hotX, hotY, words } = cursor;
  const maskBytes = Math.ceil(width / 8);
  const mask = new Uint8Array(maskBytes * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if ((words[y * width + x] as number) < 0) mask[y * maskBytes + (x >> 3)]! |= 0x80 >> (x & 7);
    }
  }
  return joinedBytes([tellRect(ENCODING.CURSOR, hotX, hotY, width, height), pixels, mask]);
}

/** A bell: a key was not taken. */
export function bell(): Uint8Array<ArrayBuffer> {
  return new Uint8Array([SERVER_MESSAGE.BELL]);
}

/** Continuous updates are known, or are over. */
export function endOfContinuous(): Uint8Array<ArrayBuffer> {
  return new Uint8Array([SERVER_MESSAGE.END_OF_CONTINUOUS]);
}

/** A fence. */
export function fence(flags: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(9 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, SERVER_MESSAGE.FENCE);
  view.setUint32(4, flags);
  view.setUint8(8, payload.length);
  bytes.set(payload, 9);
  return bytes;
}

/** 256 colours for viewers that want a map: the numbers are those of `MAPPED`. */
export function colourMap(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEAD.COLOUR_MAP + 256 * HEAD.COLOUR);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, SERVER_MESSAGE.COLOUR_MAP);
  view.setUint16(4, 256);
  for (let i = 0; i < 256; i++) {
    const at = HEAD.COLOUR_MAP + i * HEAD.COLOUR;
    view.setUint16(at, Math.round((i & 7) * 65535 / 7));
    view.setUint16(at + 2, Math.round((i >> 3 & 7) * 65535 / 7));
    view.setUint16(at + 4, Math.round((i >> 6 & 3) * 65535 / 3));
  }
  return bytes;
}
