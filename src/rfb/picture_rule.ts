/**
 * What a server's pictures and updates may not be, and how that is told.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MAX_PICTURE_SIDE, MAX_VGPU_SLOT_BYTES } from "../base/limits.ts";

/**
 * Checks that a picture fits the largest ring; either side may be 0.
 *
 * @throws {Fault} `too-large`
 */
export function checkPictureSize(width: number, height: number): void {
  const isWithin = width <= MAX_PICTURE_SIDE && height <= MAX_PICTURE_SIDE;
  if (isWithin && width * height * 4 <= MAX_VGPU_SLOT_BYTES) return;
  throw new Fault(
    "too-large",
    `Cannot show a picture of ${width}x${height} pixels: it may have ${MAX_PICTURE_SIDE} a side and ${MAX_VGPU_SLOT_BYTES} bytes`,
  );
}

/** A server broke the protocol. */
export function wrongUpdate(what: string): Fault {
  return new Fault("protocol-error", `Cannot follow the VNC server: ${what}`);
}
