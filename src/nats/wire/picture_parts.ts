/**
 * A picture from a host: its pixels are deflated, and sent in parts that any server accepts. Each part begins
 * with 12 bytes (u32 picture, u32 part, u32 parts); the contents of the first one begin with a JSON
 * description, preceded by its length (u32).
 *
 * The receiver does not trust the sender: the described size limits the inflation, and inconsistent data is
 * discarded.
 * @module
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { EndpointId } from "../../base/ids.ts";
import { MAX_ENDPOINTS, MAX_HEADS, MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import { frameBytes } from "../../vgpu/pixel_format.ts";
import { copied } from "./envelope.ts";
import { countField, readJson, textField, writeJson } from "./json_body.ts";

/** Size of a part, bytes. */
const PART_BYTES = 256 * 1024;
const HEAD_BYTES = 12;
const MOST_ABOUT_BYTES = 4096;
const MAX_U32 = 0xffff_ffff;
const FAST = { level: 1 };

/** The description of a picture. */
export interface PictureAbout {
  /** The endpoint's number on its host. */
  readonly endpoint: EndpointId;
  /** The head. */
  readonly head: number;
  /** Width, pixels. */
  readonly width: number;
  /** Height, pixels. */
  readonly height: number;
  /** Bytes per row. */
  readonly stride: number;
  /** The pixel format. */
  readonly format: number;
  /** Its number. */
  readonly frameId: number;
  /** When it was taken, ns of the host's CLOCK_MONOTONIC; comparable only within that host. */
  readonly timestampNs: number;
  /** Flags of FRAME_INFO. */
  readonly flags: number;
  /** Its source, as in FRAME_INFO. */
  readonly source: number;
  /** The display device's id. */
  readonly device: string;
}

/** The parts of a picture, ready to be sent. */
export function pictureParts(
  number: number,
  about: PictureAbout,
  pixels: Uint8Array,
): Uint8Array<ArrayBuffer>[] {
  const text = writeJson({ ...about, bytes: pixels.length });
  const packed = deflateRawSync(pixels, FAST);
  const whole = new Uint8Array(4 + text.length + packed.length);
  new DataView(whole.buffer).setUint32(0, text.length, true);
  whole.set(text, 4);
  whole.set(packed, 4 + text.length);
  const count = Math.ceil(whole.length / PART_BYTES);
  return Array.from({ length: count }, (_, i) => {
    const bytes = whole.subarray(i * PART_BYTES, (i + 1) * PART_BYTES);
    const part = new Uint8Array(HEAD_BYTES + bytes.length);
    const view = new DataView(part.buffer);
    view.setUint32(0, number, true);
    view.setUint32(4, i, true);
    view.setUint32(8, count, true);
    part.set(bytes, HEAD_BYTES);
    return part;
  });
}

/** Assembles the parts of one sender. */
export class PictureAssembler {
  #number = -1;
  #count = 0;
  #bytes = 0;
  #parts: Uint8Array[] = [];

  /** Adds a part, which is copied; returns the picture when it is complete and valid. */
  take(
    part: Uint8Array,
  ): { readonly about: PictureAbout; readonly pixels: Uint8Array<ArrayBuffer> } | undefined {
    if (part.length < HEAD_BYTES || part.length > HEAD_BYTES + PART_BYTES) return this.#drop();
    const view = new DataView(part.buffer, part.byteOffset, part.length);
    const [number, index, count] = [0, 4, 8].map((at) => view.getUint32(at, true)) as [
      number,
      number,
      number,
    ];
    if (count === 0 || count > 2 + MAX_VGPU_SLOT_BYTES / PART_BYTES) return this.#drop();
    if (index === 0) {
      this.#drop();
      this.#number = number;
      this.#count = count;
    }
    // Parts arrive in order: another one belongs to a picture that was abandoned.
    if (number !== this.#number || count !== this.#count || index !== this.#parts.length) return this.#drop();
    this.#parts.push(copied(part.subarray(HEAD_BYTES)));
    this.#bytes += part.length - HEAD_BYTES;
    if (this.#parts.length < count) return undefined;
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const each of this.#parts) {
      whole.set(each, at);
      at += each.length;
    }
    this.#drop();
    return pictureOf(whole);
  }

  #drop(): undefined {
    this.#number = -1;
    this.#count = 0;
    this.#bytes = 0;
    this.#parts = [];
    return undefined;
  }
}

function pictureOf(
  whole: Uint8Array<ArrayBuffer>,
): { readonly about: PictureAbout; readonly pixels: Uint8Array<ArrayBuffer> } | undefined {
  if (whole.length < 4) return undefined;
  const length = new DataView(whole.buffer).getUint32(0, true);
  if (length > MOST_ABOUT_BYTES || 4 + length > whole.length) return undefined;
  const map = readJson(whole.subarray(4, 4 + length), MOST_ABOUT_BYTES);
  if (map === undefined) return undefined;
  const number = (key: string, most: number): number => countField(map, key, most) ?? -1;
  const about = {
    endpoint: number("endpoint", MAX_ENDPOINTS - 1) as EndpointId,
    head: number("head", MAX_HEADS - 1),
    width: number("width", 1 << 15),
    height: number("height", 1 << 15),
    stride: number("stride", 1 << 20),
    format: number("format", 0xffff),
    frameId: number("frameId", Number.MAX_SAFE_INTEGER),
    timestampNs: number("timestampNs", Number.MAX_SAFE_INTEGER),
    flags: number("flags", MAX_U32),
    source: number("source", 0xffff),
  };
  const bytes = number("bytes", MAX_VGPU_SLOT_BYTES);
  if (bytes < 0 || Object.values(about).some((value) => value < 0)) return undefined;
  if (frameBytes(about.format, about.width, about.height, about.stride) !== bytes || bytes === 0) {
    return undefined;
  }
  let pixels: Uint8Array<ArrayBuffer>;
  try {
    pixels = new Uint8Array(inflateRawSync(whole.subarray(4 + length), { maxOutputLength: bytes }));
  } catch {
    return undefined;
  }
  if (pixels.length !== bytes) return undefined;
  return { about: { ...about, device: textField(map, "device", 64) ?? "" }, pixels };
}
