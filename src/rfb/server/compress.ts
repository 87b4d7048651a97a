/**
 * zlib for rectangles: each piece is compressed for itself and ends at a byte's border without ending the
 * stream (a sync flush), so that another one may follow it in a viewer's stream.
 * @module
 */
import zlib from "node:zlib";

const { deflateRawSync, deflateSync, constants } = zlib;

/** What a zlib stream begins with; in front of the first piece that {@linkcode compressPiece} made. */
export const STREAM_HEAD: Uint8Array<ArrayBuffer> = new Uint8Array([0x78, 0x01]);

/** A piece of a stream that goes on, without the stream's head. */
export function compressPiece(bytes: Uint8Array<ArrayBuffer>, level: number): Uint8Array {
  return deflateRawSync(bytes, { level, finishFlush: constants.Z_SYNC_FLUSH });
}

/** A stream of its own, with its head, that might go on. */
export function compressStream(bytes: Uint8Array<ArrayBuffer>, level: number): Uint8Array {
  return deflateSync(bytes, { level, finishFlush: constants.Z_SYNC_FLUSH });
}
