/**
 * What is published about the frames of one endpoint: it fills the inline zones of FRAME source events and
 * hands them to the sink. It keeps no pictures, and decides nothing.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { EndpointId } from "../../base/ids.ts";
import { INLINE_BYTES } from "../../base/limits.ts";
import { writeU64 } from "../../base/layout.ts";
import { CURSOR, FRAME_INFO, FRAME_RING, VGPU_STATUS } from "../../event/body_layout.ts";
import { type FrameSourceNumber, VGPU_STATE } from "../../event/body_number.ts";
import { writeText } from "../../event/inline_text.ts";
import {
  CURSOR_SHAPE,
  CURSOR_SHAPE_STATE,
  KEYBOARD_LEDS,
  MAX_CURSOR_SHAPE_PIXELS,
} from "../../event/kinds/pointer_kinds.ts";
import { KIND } from "../../event/kind.ts";
import type { CursorPicture } from "../../display/canvas.ts";
import type { Cursor, FrameInfo, ProducerState } from "../../vgpu/snapshots.ts";
import type { EventSink } from "./event_sink.ts";
import type { FrameRing } from "./frame_ring.ts";
import type { CanvasListener } from "./ring_canvas.ts";

/** VGPU_STATUS.state. */
export type ProducerPhase = (typeof VGPU_STATE)[keyof typeof VGPU_STATE];

/** Where a frame belongs. */
export interface FramePlace {
  /** What it came from. */
  readonly source: FrameSourceNumber;
  /** The head. */
  readonly head: number;
  /** The run that its frame id counts in. */
  readonly runEpoch: number;
}

/** Where a ring belongs. */
export interface RingPlace {
  /** The head. */
  readonly head: number;
  /** The run of the frames in it. */
  readonly runEpoch: number;
  /** The display device's id, where it has one. */
  readonly device?: string;
}

const MAX_U16 = 0xffff;
const DEVICE_BYTES = 24;

/** Publishes for one endpoint. */
export class FramePublisher {
  readonly #endpoint: EndpointId;
  readonly #sink: EventSink;
  readonly #inline = new Uint8Array(INLINE_BYTES);
  readonly #view = new DataView(this.#inline.buffer);

  /**
   * A publisher of one endpoint's frames.
   *
   * @param endpoint the endpoint
   * @param sink takes the events
   */
  constructor(endpoint: EndpointId, sink: EventSink) {
    this.#endpoint = endpoint;
    this.#sink = sink;
  }

  /** VGPU_STATUS. What is not known of a candidate is 0. */
  producer(phase: ProducerPhase, state: ProducerState, pid: number): void {
    const view = this.#blank();
    const { at } = VGPU_STATUS;
    view.setUint32(at.state, phase, true);
    view.setUint32(at.producerPid, pid, true);
    if (phase !== VGPU_STATE.CANDIDATE) {
      view.setUint32(at.runEpoch, state.runEpoch, true);
      view.setUint32(at.status, state.status, true);
      view.setUint32(at.backend, state.backend, true);
      view.setUint32(at.errorCode, state.errorCode, true);
      view.setUint32(at.appliedFps, state.appliedFps, true);
    }
    this.#sink.publish(KIND.VGPU_STATUS, this.#endpoint, this.#inline, -1);
  }

  /** CURSOR_STATE. */
  cursor(cursor: Cursor, head: number): void {
    const view = this.#blank();
    const { at } = CURSOR;
    view.setInt32(at.x, cursor.x, true);
    view.setInt32(at.y, cursor.y, true);
    view.setUint32(at.visible, cursor.visible ? 1 : 0, true);
    view.setUint32(at.seq, cursor.seq, true);
    view.setUint32(at.head, head, true);
    view.setUint16(at.width, cursor.glyphW, true);
    view.setUint16(at.height, cursor.glyphH, true);
    view.setUint16(at.hotX, cursor.hotX, true);
    view.setUint16(at.hotY, cursor.hotY, true);
    this.#sink.publish(KIND.CURSOR_STATE, this.#endpoint, this.#inline, -1);
  }

  /** Publishes what a canvas tells of a head's pointer and of the keyboard. */
  pointerOf(head: number): Pick<CanvasListener, "onCursor" | "onCursorPicture" | "onLeds"> {
    return {
      onCursor: (cursor) => this.cursor(cursor, head),
      onCursorPicture: (picture) => this.cursorShape(picture, head),
      onLeds: (bits) => this.leds(bits, head),
    };
  }

  /** CURSOR_SHAPE. */
  cursorShape(picture: CursorPicture | undefined, head: number): void {
    const view = this.#blank();
    const { at } = CURSOR_SHAPE;
    view.setUint32(at.head, head, true);
    if (picture === undefined) {
      view.setUint32(at.state, CURSOR_SHAPE_STATE.UNKNOWN, true);
      return this.#sink.publish(KIND.CURSOR_SHAPE, this.#endpoint, this.#inline, -1);
    }
    const { width, height, hotX, hotY, words } = picture;
    assert(words.length === width * height && words.length <= MAX_CURSOR_SHAPE_PIXELS, "a cursor is whole");
    view.setUint32(at.state, CURSOR_SHAPE_STATE.KNOWN, true);
    view.setUint16(at.width, width, true);
    view.setUint16(at.height, height, true);
    view.setUint16(at.hotX, hotX, true);
    view.setUint16(at.hotY, hotY, true);
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    this.#sink.publish(KIND.CURSOR_SHAPE, this.#endpoint, this.#inline, -1, bytes);
  }

  /** KEYBOARD_LEDS. */
  leds(bits: number | undefined, head: number): void {
    const view = this.#blank();
    const { at } = KEYBOARD_LEDS;
    view.setUint32(at.head, head, true);
    view.setUint32(at.known, bits === undefined ? 0 : 1, true);
    view.setUint32(at.bits, bits ?? 0, true);
    this.#sink.publish(KIND.KEYBOARD_LEDS, this.#endpoint, this.#inline, -1);
  }

  /** FRAME_INFO. */
  frame(info: FrameInfo, { source, head, runEpoch }: FramePlace): void {
    const view = this.#blank();
    const { at } = FRAME_INFO;
    writeU64(view, at.frameId, info.frameId);
    writeU64(view, at.timestampNs, info.timestampNs);
    view.setUint32(at.width, info.width, true);
    view.setUint32(at.height, info.height, true);
    view.setUint32(at.stride, info.stride, true);
    view.setUint16(at.format, info.format, true);
    view.setUint16(at.flags, info.flags, true);
    view.setUint16(at.source, source, true);
    view.setUint16(at.head, head, true);
    view.setUint32(at.runEpoch, runEpoch, true);
    const isWhole = info.damageW === info.width && info.damageH === info.height;
    if (!isWhole && Math.max(info.width, info.height) <= MAX_U16) {
      view.setUint16(at.damageX, info.damageX, true);
      view.setUint16(at.damageY, info.damageY, true);
      view.setUint16(at.damageW, info.damageW, true);
      view.setUint16(at.damageH, info.damageH, true);
    }
    this.#sink.publish(KIND.FRAME_INFO, this.#endpoint, this.#inline, -1);
  }

  /** FRAME_RING, with the ring's read-only descriptor. */
  ring(ring: FrameRing, { head, runEpoch, device = "" }: RingPlace): void {
    const view = this.#blank();
    const { at } = FRAME_RING;
    assert(ring.fd >= 0, "a ring that is published is open");
    writeU64(view, at.bytes, ring.bytes);
    view.setUint32(at.slotCount, ring.slotCount, true);
    view.setUint32(at.slotStride, ring.slotStride, true);
    view.setUint32(at.runEpoch, runEpoch, true);
    view.setUint32(at.head, head, true);
    writeText(this.#inline, at.device, DEVICE_BYTES, device);
    this.#sink.publish(KIND.FRAME_RING, this.#endpoint, this.#inline, ring.fd);
  }

  #blank(): DataView {
    this.#inline.fill(0);
    return this.#view;
  }
}
