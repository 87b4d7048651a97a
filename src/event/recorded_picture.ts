/**
 * What a recording keeps beside an event that came with descriptors: a picture of a screen instead of its
 * ring (FRAME_RING), a file with the guest's RAM instead of its descriptors (MEMCTX). They are further fields
 * of the event's map, which readers that do not know them pass over.
 *
 * A picture is kept as what changed since the one before of the same endpoint and head: rectangles of bytes
 * in a frame of `bytes / stride` rows, whatever its pixel format, and their content one after another,
 * deflated (RFC 1950). A file comes from anywhere: every number is checked here, and what is inflated is
 * bounded by what the rectangles say.
 * @module
 */
import { deflateSync, inflateSync } from "node:zlib";
import { assert } from "../base/assert.ts";
import { MAX_HEADS, MAX_VGPU_SLOT_BYTES } from "../base/limits.ts";

/** A rectangle of a frame's bytes. */
export type ByteRect = readonly [column: number, row: number, columns: number, rows: number];

/** A picture, or what changed in it. */
export interface RecordedPicture {
  /** The head. */
  readonly head: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows of pixels. */
  readonly height: number;
  /** Bytes from row to row. */
  readonly stride: number;
  /** One of PIXEL_FORMAT. */
  readonly format: number;
  /** FRAME_INFO.flags. */
  readonly flags: number;
  /** Its number. */
  readonly frameId: number;
  /** When it was taken, ns, by its source's clock. */
  readonly timestampNs: number;
  /** FRAME_INFO.source, as a replay's plan found it in the events beside it; not kept in the picture. */
  readonly source?: number | undefined;
  /** Bytes of the whole frame. */
  readonly bytes: number;
  /** Whether it needs no picture before it. */
  readonly whole: boolean;
  /** What `data` covers: four numbers each, see {@linkcode ByteRect}. */
  readonly rects: readonly number[];
  /** The rectangles' rows, one after another, deflated. */
  readonly data: Uint8Array;
}

/** A file with the guest's RAM, beside the recording. */
export interface RecordedMemory {
  /** Its name, without a folder. */
  readonly file: string;
  /** Its size. */
  readonly bytes: number;
  /** Whether the VM ran while it was copied: then it is not one moment of its memory. Left out: unknown. */
  readonly moving?: boolean;
}

/** Rows that are compared together. */
const BAND_ROWS = 16;
/** Rectangles of one picture at most: a frame of 64 Ki rows, in bands. */
const MAX_RECTS = 4096;
const MAX_NAME = 255;

/** What changed from one frame to the next, of one shape: for each band of rows the columns between. */
export function changedRects(before: Uint8Array, after: Uint8Array, stride: number): ByteRect[] {
  assert(before.length === after.length && after.length % stride === 0, "two frames of one shape");
  const rows = after.length / stride;
  const band = Math.max(BAND_ROWS, Math.ceil(rows / MAX_RECTS));
  const rects: ByteRect[] = [];
  for (let top = 0; top < rows; top += band) {
    const end = Math.min(top + band, rows);
    let left = stride, right = -1, first = -1, last = -1;
    for (let row = top; row < end; row++) {
      const at = row * stride;
      let from = 0;
      while (from < stride && before[at + from] === after[at + from]) from++;
      if (from === stride) continue;
      let to = stride - 1;
      while (before[at + to] === after[at + to]) to--;
      left = Math.min(left, from);
      right = Math.max(right, to);
      if (first < 0) first = row;
      last = row;
    }
    if (first >= 0) rects.push([left, first, right - left + 1, last - first + 1]);
  }
  return rects;
}

/** The content of rectangles of a frame, deflated. */
export function packRects(frame: Uint8Array, stride: number, rects: readonly ByteRect[]): Uint8Array {
  const packed = new Uint8Array(rects.reduce((sum, [, , columns, rows]) => sum + columns * rows, 0));
  let done = 0;
  for (const [column, row, columns, rows] of rects) {
    for (let i = 0; i < rows; i++) {
      const at = (row + i) * stride + column;
      packed.set(frame.subarray(at, at + columns), done);
      done += columns;
    }
  }
  return new Uint8Array(deflateSync(packed, { level: 1 }));
}

/**
 * Paints a picture that {@linkcode pictureOf} has checked over the frame before it.
 *
 * @param frame of the picture's size
 * @returns whether its content was as long as its rectangles; if not, nothing was painted
 */
export function paintPicture(frame: Uint8Array, { bytes, stride, rects, data }: RecordedPicture): boolean {
  assert(frame.length === bytes, "a picture is painted over a frame of its size");
  let total = 0;
  for (let i = 0; i < rects.length; i += 4) total += (rects[i + 2] as number) * (rects[i + 3] as number);
  let packed: Uint8Array;
  try {
    packed = inflateSync(data, { maxOutputLength: Math.max(total, 1) });
  } catch {
    // zlib's many ways to say that the bytes are not a zlib stream.
    return false;
  }
  if (packed.length !== total) return false;
  let done = 0;
  for (let i = 0; i < rects.length; i += 4) {
    const [column, row, columns, rows] = rects.slice(i, i + 4) as unknown as ByteRect;
    for (let k = 0; k < rows; k++) {
      frame.set(packed.subarray(done, done + columns), (row + k) * stride + column);
      done += columns;
    }
  }
  return true;
}

/** A picture out of a file's map; undefined when it is not valid. */
export function pictureOf(value: unknown): RecordedPicture | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const picture = value as RecordedPicture;
  const { head, width, height, stride, format, flags, frameId, timestampNs, bytes, whole, rects, data } =
    picture;
  const isSound = isWithin(head, 0, MAX_HEADS - 1) && isWithin(width, 1, 0xffff) &&
    isWithin(height, 1, 0xffff) &&
    isWithin(bytes, 1, MAX_VGPU_SLOT_BYTES) && isWithin(stride, 1, bytes) && bytes % stride === 0 &&
    isWithin(format, 0, 0xffff) && isWithin(flags, 0, 0xffff) &&
    isWithin(frameId, 1, Number.MAX_SAFE_INTEGER) && isWithin(timestampNs, 0, Number.MAX_SAFE_INTEGER) &&
    typeof whole === "boolean" && data instanceof Uint8Array && Array.isArray(rects) &&
    rects.length % 4 === 0 &&
    rects.length <= 4 * MAX_RECTS;
  if (!isSound) return undefined;
  let area = 0;
  for (let i = 0; i < rects.length; i += 4) {
    const [column, row, columns, rows] = rects.slice(i, i + 4) as unknown as ByteRect;
    if (!isWithin(column, 0, stride - 1) || !isWithin(columns, 1, stride - column)) return undefined;
    if (!isWithin(row, 0, bytes / stride - 1) || !isWithin(rows, 1, bytes / stride - row)) return undefined;
    area += columns * rows;
  }
  // Rectangles do not overlap: more pixels than the frame has are not valid.
  return area > bytes ? undefined : picture;
}

/** A memory file out of a file's map; undefined when it is not valid. */
export function memoryOf(value: unknown): RecordedMemory | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { file, bytes, moving } = value as RecordedMemory;
  if (typeof file !== "string" || file.length === 0 || file.length > MAX_NAME) return undefined;
  // It stands beside the recording: a name from a file must not lead elsewhere.
  if (/[/\0]/.test(file) || file === "." || file === "..") return undefined;
  if (moving !== undefined && typeof moving !== "boolean") return undefined;
  if (!isWithin(bytes, 1, Number.MAX_SAFE_INTEGER)) return undefined;
  return moving === undefined ? { file, bytes } : { file, bytes, moving };
}

function isWithin(value: unknown, least: number, most: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most;
}
