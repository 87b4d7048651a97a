/**
 * What a client says to an RFB server, as bytes.
 * @module
 */
import { type PixelFormat, writePixelFormat } from "./pixel_format.ts";
import { CLIENT_MESSAGE, PIXEL_FORMAT_BYTES, QEMU_EXTENDED_KEY } from "./protocol.ts";

/** A part of the picture. */
export interface Area {
  /** Pixels from the left. */
  readonly x: number;
  /** Rows from the top. */
  readonly y: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** SetPixelFormat: how pixels are to be sent from now on. */
export function setPixelFormat(format: PixelFormat): Uint8Array<ArrayBuffer> {
  const { bytes, view } = message(4 + PIXEL_FORMAT_BYTES, CLIENT_MESSAGE.SET_PIXEL_FORMAT);
  writePixelFormat(view, 4, format);
  return bytes;
}

/** SetEncodings: what the client knows, the best first. */
export function setEncodings(encodings: readonly number[]): Uint8Array<ArrayBuffer> {
  const { bytes, view } = message(4 + 4 * encodings.length, CLIENT_MESSAGE.SET_ENCODINGS);
  view.setUint16(2, encodings.length);
  encodings.forEach((encoding, i) => view.setInt32(4 + 4 * i, encoding));
  return bytes;
}

/**
 * FramebufferUpdateRequest.
 *
 * @param incremental whether only what has changed is wanted; the server waits until something has
 */
export function updateRequest(incremental: boolean, area: Area): Uint8Array<ArrayBuffer> {
  const { bytes, view } = message(10, CLIENT_MESSAGE.UPDATE_REQUEST);
  view.setUint8(1, incremental ? 1 : 0);
  view.setUint16(2, area.x);
  view.setUint16(4, area.y);
  view.setUint16(6, area.width);
  view.setUint16(8, area.height);
  return bytes;
}

/**
 * KeyEvent.
 *
 * @param keysym X11's number of the key
 */
export function keyEvent(down: boolean, keysym: number): Uint8Array<ArrayBuffer> {
  const { bytes, view } = message(8, CLIENT_MESSAGE.KEY);
  view.setUint8(1, down ? 1 : 0);
  view.setUint32(4, keysym);
  return bytes;
}

/**
 * QEMU's extended key event, for servers that know it (ENCODING.QEMU_EXTENDED_KEY).
 *
 * @param keysym X11's number of the key; 0 for none
 * @param scanCode XT's code; 0xe0 NN is NN | 0x80
 */
export function extendedKeyEvent(
  down: boolean,
  keysym: number,
  scanCode: number,
): Uint8Array<ArrayBuffer> {
  const { bytes, view } = message(12, CLIENT_MESSAGE.QEMU);
  view.setUint8(1, QEMU_EXTENDED_KEY);
  view.setUint16(2, down ? 1 : 0);
  view.setUint32(4, keysym);
  view.setUint32(8, scanCode);
  return bytes;
}

/**
 * PointerEvent.
 *
 * @param buttons bit 0 left, 1 middle, 2 right, 3 and 4 the wheel
 */
export function pointerEvent(buttons: number, x: number, y: number): Uint8Array<ArrayBuffer> {
  const { bytes, view } = message(6, CLIENT_MESSAGE.POINTER);
  view.setUint8(1, buttons);
  view.setUint16(2, x);
  view.setUint16(4, y);
  return bytes;
}

function message(length: number, type: number): { bytes: Uint8Array<ArrayBuffer>; view: DataView } {
  const bytes = new Uint8Array(length);
  bytes[0] = type;
  return { bytes, view: new DataView(bytes.buffer) };
}
