/**
 * One frame of a VM's screen, as a client receives it: a copy, valid for as long as it is kept.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { FRAME_STOPPED } from "../event/body_number.ts";
import { type Picture, toPicture } from "../vgpu/picture.ts";
import type { SampledFrame } from "./frame_rings.ts";

/** A frame. */
export class Frame {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** The head that shows it. */
  readonly head: number;
  /** The display device's id; "" where it has none. */
  readonly device: string;
  /** Width, pixels. */
  readonly width: number;
  /** Height, pixels. */
  readonly height: number;
  /** Bytes per row. */
  readonly stride: number;
  /** The pixel format, one of PIXEL_FORMAT. */
  readonly format: number;
  /** Its number: later frames of a head have larger ones as long as the source is the same. */
  readonly frameId: number;
  /** When it was taken, ns of CLOCK_MONOTONIC; with a producer in the guest, by the guest's clock. */
  readonly timestampNs: number;
  /** Whether the VM was paused: then it is the last picture before that. */
  readonly isStopped: boolean;
  /** The pixels. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** A frame from a ring. */
  constructor(endpoint: EndpointId, head: number, { info, bytes, device }: SampledFrame) {
    this.endpoint = endpoint;
    this.head = head;
    this.device = device;
    this.width = info.width;
    this.height = info.height;
    this.stride = info.stride;
    this.format = info.format;
    this.frameId = info.frameId;
    this.timestampNs = info.timestampNs;
    this.isStopped = (info.flags & FRAME_STOPPED) !== 0;
    this.bytes = bytes;
  }

  /** Converts it to a picture: RGBA, tightly packed, opaque. */
  picture(): Picture {
    return toPicture(this.bytes, this);
  }
}
