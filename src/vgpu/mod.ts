/**
 * The picture of a guest's vgpu producer, or of any region laid out like one (src/vgpu/REGION.md), such as
 * the FRAME_RING that the bus brings: frames, cursor, geometry, state, and what automation does with a
 * picture.
 *
 * @example Reads a frame out of a region that this program maps
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import * as vgpu from "@vmsig/vmsig/vgpu";
 *
 * // A region with two slots of 4x2 pixels, as its producer leaves it: all red, frame 1.
 * const { REGION: { at: R }, SLOT: { at: S }, SLOTS_OFFSET, RING_OFFSET, REGION_PAGE_BYTES } = vgpu;
 * const buffer = new ArrayBuffer(RING_OFFSET + 2 * REGION_PAGE_BYTES);
 * vgpu.writeHeader(new Uint8Array(buffer, 0, REGION_PAGE_BYTES), {
 *   regionBytes: buffer.byteLength,
 *   slotCount: 2,
 *   slotStride: REGION_PAGE_BYTES,
 *   producerPid: 1,
 * });
 * const view = new DataView(buffer);
 * const [width, height] = [4, 2];
 * for (let i = 0; i < width * height; i++) view.setUint32(RING_OFFSET + 4 * i, 0xffff0000, true); // BGRA
 * view.setUint32(SLOTS_OFFSET + S.width, width, true);
 * view.setUint32(SLOTS_OFFSET + S.height, height, true);
 * view.setUint32(SLOTS_OFFSET + S.stride, 4 * width, true);
 * view.setUint32(SLOTS_OFFSET + S.format, vgpu.PIXEL_FORMAT.bgra8888, true);
 * view.setUint32(SLOTS_OFFSET + S.frameId, 1, true);
 * view.setUint32(R.latest, 0, true);
 *
 * const opened = vgpu.VgpuRegion.open(new vgpu.MappedRegion(buffer));
 * assert(opened.ok);
 * const { region } = opened;
 * const bytes = new Uint8Array(64);
 * const info = new vgpu.FrameInfo();
 * assertEquals(region.sampleFrame(bytes, info), vgpu.READ.FRESH);
 * assertEquals([info.width, info.height, info.frameId], [4, 2, 1]);
 * const picture = vgpu.toPicture(bytes, info);
 * assertEquals(vgpu.pixelAt(picture, 0, 0), 0xff0000);
 * assertEquals(region.sampleFrame(bytes, info), vgpu.READ.NOTHING); // nothing newer
 * assertEquals(region.why, "same");
 * ```
 * @module
 */
export { Fault } from "../base/fault.ts";
export {
  buildControlWrite,
  type ControlIntent,
  type ControlWrite,
  encodeControlWrite,
  isApplied,
  isFullFrameDone,
} from "./control_write.ts";
export { confirmAlive, type RegionCandidate, RegionScan, type ScanScope } from "./discovery.ts";
export { type FindOptions, findPicture, type FindResultPlace } from "./find_picture.ts";
export type { FrameSource } from "./frame_source.ts";
export { GuestRegion } from "./guest_region.ts";
export { MappedRegion } from "./mapped_region.ts";
export {
  crop,
  type FrameShape,
  type Picture,
  pictureOf,
  pixelAt,
  type Rectangle,
  toPicture,
} from "./picture.ts";
export { bytesPerPixel, frameBytes, PIXEL_FORMAT, type PixelFormat } from "./pixel_format.ts";
export { decodePng, encodePng } from "./png.ts";
export { READ, type ReadResult, type ReadWhy } from "./read_result.ts";
export {
  checkHeader,
  type HeaderCheck,
  type HeaderDefect,
  type RegionHeader,
  writeHeader,
} from "./region_header.ts";
export {
  BACKEND,
  COMMAND,
  type CommandName,
  CONTROL,
  CONTROL_OFFSET,
  CURSOR_ID,
  HEARTBEAT_PERIOD_MS,
  nameIn,
  NO_SLOT,
  PRODUCER_STATUS,
  REGION,
  REGION_PAGE_BYTES,
  RING_OFFSET,
  SLOT,
  SLOTS_OFFSET,
} from "./region_layout.ts";
export type { RegionMemory, SlotSpan } from "./region_memory.ts";
export { RegionSearch, type SearchState } from "./region_search.ts";
export { ChangeWait, ScreenPart, StillWait, type WaitState } from "./screen_wait.ts";
export { ControlState, Cursor, FrameInfo, Geometry, ProducerState } from "./snapshots.ts";
export { type OpenResult, VgpuRegion } from "./vgpu_region.ts";
