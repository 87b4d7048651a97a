/**
 * Pixel formats as a table, and the arithmetic of a frame's size. All values come from a guest: nothing here
 * overflows (numbers are doubles, and every factor is bounded before it is multiplied) and nothing is
 * asserted.
 * @module
 */
import { MAX_VGPU_SLOT_BYTES } from "../base/limits.ts";

/** A pixel format's number. */
export const PIXEL_FORMAT = { bgra8888: 1, rgba8888: 2, bgrx8888: 3, rgb565: 4, nv12: 5 } as const;
/** A pixel format by its number. */
export type PixelFormat = (typeof PIXEL_FORMAT)[keyof typeof PIXEL_FORMAT];

/** Bytes of one pixel in a row (NV12: of its luma plane); 0 for a number that is not a format. */
export function bytesPerPixel(format: number): number {
  switch (format) {
    case PIXEL_FORMAT.bgra8888:
    case PIXEL_FORMAT.rgba8888:
    case PIXEL_FORMAT.bgrx8888:
      return 4;
    case PIXEL_FORMAT.rgb565:
      return 2;
    case PIXEL_FORMAT.nv12:
      return 1;
    default:
      return 0;
  }
}

/**
 * Bytes of a frame, tight: height × stride (NV12: × 3/2).
 *
 * @returns 0 when the four do not agree (no such format, no pixels, a row that does not fit its stride, odd
 *   NV12), or when the frame would be larger than any slot may be
 */
export function frameBytes(format: number, width: number, height: number, stride: number): number {
  const pixel = bytesPerPixel(format);
  if (pixel === 0 || width < 1 || height < 1 || stride < 1) return 0;
  if (stride > MAX_VGPU_SLOT_BYTES || width > stride / pixel || height > MAX_VGPU_SLOT_BYTES) return 0;
  let bytes = height * stride;
  if (format === PIXEL_FORMAT.nv12) {
    if (width % 2 !== 0 || height % 2 !== 0 || stride % 2 !== 0) return 0;
    bytes = bytes / 2 * 3;
  }
  return bytes > MAX_VGPU_SLOT_BYTES ? 0 : bytes;
}
