/**
 * What is published about the frames of one endpoint: it fills the inline zones of FRAME source events and
 * hands them to the sink. It keeps no pictures, and decides nothing.
 * @module
 */
import { INLINE_BYTES } from "../../base/limits.ts";
import { writeU64 } from "../../base/layout.ts";
import { CURSOR, FRAME_INFO, FRAME_RING, VGPU_STATUS } from "../../event/body_layout.ts";
import { VGPU_STATE } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import type { Cursor, FrameInfo, ProducerState } from "../../vgpu/snapshots.ts";
import type { EventSink } from "./event_sink.ts";
import type { FrameRing } from "./frame_ring.ts";

/** VGPU_STATUS.state. */
export type ProducerVerdict = (typeof VGPU_STATE)[keyof typeof VGPU_STATE];

/** Publishes for one endpoint. */
export class FramePublisher {
  readonly #endpoint: number;
  readonly #sink: EventSink;
  readonly #inline = new Uint8Array(INLINE_BYTES);
  readonly #view = new DataView(this.#inline.buffer);

  /**
   * A publisher of one endpoint's frames.
   *
   * @param endpoint the endpoint
   * @param sink takes the events
   */
  constructor(endpoint: number, sink: EventSink) {
    this.#endpoint = endpoint;
    this.#sink = sink;
  }

  /** VGPU_STATUS. What is not known of a candidate is 0. */
  producer(verdict: ProducerVerdict, state: ProducerState, pid: number): void {
    const view = this.#blank();
    const { at } = VGPU_STATUS;
    view.setUint32(at.state, verdict, true);
    view.setUint32(at.producerPid, pid, true);
    if (verdict !== VGPU_STATE.CANDIDATE) {
      view.setUint32(at.runEpoch, state.runEpoch, true);
      view.setUint32(at.status, state.status, true);
      view.setUint32(at.backend, state.backend, true);
      view.setUint32(at.errorCode, state.errorCode, true);
      view.setUint32(at.appliedFps, state.appliedFps, true);
    }
    this.#sink.publish(KIND.VGPU_STATUS, this.#endpoint, this.#inline, -1);
  }

  /** CURSOR_STATE. */
  cursor(cursor: Cursor): void {
    const view = this.#blank();
    const { at } = CURSOR;
    view.setInt32(at.x, cursor.x, true);
    view.setInt32(at.y, cursor.y, true);
    view.setUint32(at.visible, cursor.visible ? 1 : 0, true);
    view.setUint32(at.seq, cursor.seq, true);
    this.#sink.publish(KIND.CURSOR_STATE, this.#endpoint, this.#inline, -1);
  }

  /**
   * FRAME_INFO.
   *
   * @param source one of FRAME_SOURCE
   * @param runEpoch the run that its frame id counts in
   */
  frame(info: FrameInfo, source: number, runEpoch: number): void {
    const view = this.#blank();
    const { at } = FRAME_INFO;
    writeU64(view, at.frameId, info.frameId);
    writeU64(view, at.timestampNs, info.timestampNs);
    view.setUint32(at.width, info.width, true);
    view.setUint32(at.height, info.height, true);
    view.setUint32(at.stride, info.stride, true);
    view.setUint32(at.format, info.format, true);
    view.setUint32(at.source, source, true);
    view.setUint32(at.runEpoch, runEpoch, true);
    this.#sink.publish(KIND.FRAME_INFO, this.#endpoint, this.#inline, -1);
  }

  /** FRAME_RING, with the ring's read-only descriptor. */
  ring(ring: FrameRing, runEpoch: number): void {
    const view = this.#blank();
    const { at } = FRAME_RING;
    writeU64(view, at.bytes, ring.bytes);
    view.setUint32(at.slotCount, ring.slotCount, true);
    view.setUint32(at.slotStride, ring.slotStride, true);
    view.setUint32(at.runEpoch, runEpoch, true);
    this.#sink.publish(KIND.FRAME_RING, this.#endpoint, this.#inline, ring.fd);
  }

  #blank(): DataView {
    this.#inline.fill(0);
    return this.#view;
  }
}
