/**
 * The screens of an endpoint that plays a recording: each recorded picture is painted over the one before and
 * shown in a ring of this process's own, as a live daemon's is; FRAME_RING and FRAME_INFO are told for it.
 * Requests for a picture are answered when the head has one.
 * @module
 */
import { encode } from "cborg";
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import { closeFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { CODE } from "../../base/codes.ts";
import { writeU64 } from "../../base/layout.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import type { Seat } from "../../core/adapter_port.ts";
import { FRAME_INFO, FRAME_REQUEST, FRAME_RING } from "../../event/body_layout.ts";
import { FRAME_OP, FRAME_SOURCE } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { paintPicture, type RecordedPicture } from "../../event/recorded_picture.ts";
import type { RecordedEvent } from "../../event/recording.ts";
import { BODY, type PayloadOwner, type TransferEvent } from "../../event/transfer_event.ts";
import { FrameInfo } from "../../vgpu/snapshots.ts";

/** The writing side of a ring; see controls/perception/frame_ring.ts. */
export interface ReplayRing extends Disposable {
  /** Its read-only descriptor, borrowed. */
  readonly fd: number;
  /** Bytes of the memfd. */
  readonly bytes: number;
  /** Slots. */
  readonly slotCount: number;
  /** Bytes from slot to slot. */
  readonly slotStride: number;
  /** Opens the next slot for painting. */
  open(): number;
  /** A slot's bytes. */
  bytesOf(slot: number): Uint8Array;
  /** Shows what was painted. */
  show(slot: number, info: FrameInfo): void;
}

/** Makes a ring for frames of so many bytes. @throws {OsError} without memory */
export type MakeRing = (frameBytes: number) => ReplayRing;

/** One head. */
interface Head {
  ring: ReplayRing | undefined;
  /** The picture that is shown; empty before the first. */
  frame: Uint8Array;
  shape: string;
}

const CLOSE_FDS: PayloadOwner = {
  releasePayload: (event) => {
    for (const fd of event.fds) closeFd(fd);
  },
};

/** The screens of one endpoint. */
export class ReplayScreen implements Disposable {
  readonly #makeRing: MakeRing;
  readonly #expected: ReadonlySet<number>;
  readonly #heads = new Map<number, Head>();
  readonly #waiting: { readonly head: number; readonly ticket: number }[] = [];

  /**
   * Shows nothing yet.
   *
   * @param expected heads of which the recording has pictures
   */
  constructor(makeRing: MakeRing, expected: ReadonlySet<number>) {
    this.#makeRing = makeRing;
    this.#expected = expected;
  }

  /**
   * Shows a recorded picture.
   *
   * @returns whether it could: it is whole, or what it changes is there, and its content is what it says
   */
  show(seat: Seat, recorded: RecordedEvent, picture: RecordedPicture): boolean {
    const head = this.#headOf(picture.head);
    const { width, height, stride, format, bytes } = picture;
    const shape = [width, height, stride, format, bytes].join(" ");
    if (shape !== head.shape) {
      if (!picture.whole) return false;
      head.frame = new Uint8Array(bytes);
      head.shape = "";
    }
    if (!paintPicture(head.frame, picture)) return false;
    head.shape = shape;
    if (head.ring === undefined || head.ring.slotStride < bytes) {
      head.ring?.[Symbol.dispose]();
      head.ring = undefined;
      head.ring = this.#makeRing(bytes);
      this.#paint(head.ring, head.frame, picture);
      tellRing(seat, head.ring, recorded);
    } else this.#paint(head.ring, head.frame, picture);
    tellFrame(seat, picture);
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const { head: wanted, ticket } = this.#waiting[i] as { head: number; ticket: number };
      if (wanted !== picture.head) continue;
      this.#waiting.splice(i, 1);
      seat.ack(ticket, CODE.ok);
    }
    return true;
  }

  /** Answers a CMD_FRAME. */
  command(seat: Seat, event: TransferEvent): void {
    const op = event.words[FRAME_REQUEST.at.op / 4] as number;
    const head = event.words[FRAME_REQUEST.at.head / 4] as number;
    const { ticket } = event;
    if (op === FRAME_OP.STATUS) return this.#status(seat, ticket);
    if (head >= MAX_HEADS) return seat.ack(ticket, CODE["bad-argument"]);
    if (op === FRAME_OP.UNWATCH) return seat.ack(ticket, CODE.ok);
    if (op === FRAME_OP.TEXT) {
      return seat.ack(ticket, CODE["not-supported"], 0, 0, "a recording has pictures and no text");
    }
    if (!this.#expected.has(head)) {
      const words = "the recording has no pictures of it: record them with vmsig record --frames";
      return seat.ack(ticket, CODE["not-supported"], 0, 0, words);
    }
    if (op === FRAME_OP.WATCH || this.#heads.get(head)?.ring !== undefined) return seat.ack(ticket, CODE.ok);
    this.#waiting.push({ head, ticket });
  }

  /** Releases all rings; a reader that has mapped one keeps its last picture. */
  [Symbol.dispose](): void {
    for (const { ring } of this.#heads.values()) ring?.[Symbol.dispose]();
    this.#heads.clear();
    this.#waiting.length = 0;
  }

  #headOf(number: number): Head {
    assert(number < MAX_HEADS, "a picture's head was checked");
    let head = this.#heads.get(number);
    if (head === undefined) {
      this.#heads.set(number, head = { ring: undefined, frame: new Uint8Array(0), shape: "" });
    }
    return head;
  }

  #paint(ring: ReplayRing, frame: Uint8Array, picture: RecordedPicture): void {
    const slot = ring.open();
    ring.bytesOf(slot).set(frame);
    const info = new FrameInfo();
    const { width, height, stride, format, flags, frameId, timestampNs, bytes } = picture;
    Object.assign(info, { width, height, stride, format, flags, frameId, timestampNs, bytes });
    info.damageW = width;
    info.damageH = height;
    ring.show(slot, info);
  }

  #status(seat: Seat, ticket: number): void {
    const heads = [...this.#expected].sort((a, b) => a - b).map((head) => {
      const isShown = this.#heads.get(head)?.ring !== undefined;
      return {
        head,
        device: "",
        state: isShown ? "shown" : "untried",
        source: "",
        why: "a recording is played",
      };
    });
    const event = seat.event(KIND.DISPLAY);
    event.setBody(BODY.CBOR, encode({ display: "auto", known: true, heads }));
    seat.reply(ticket, event);
  }
}

function tellRing(seat: Seat, ring: ReplayRing, recorded: RecordedEvent): void {
  const event = seat.event(KIND.FRAME_RING);
  // The head and its device are as they were.
  event.inline.set(recorded.inline);
  const { at } = FRAME_RING;
  writeU64(event.view, at.bytes, ring.bytes);
  event.view.setUint32(at.slotCount, ring.slotCount, true);
  event.view.setUint32(at.slotStride, ring.slotStride, true);
  event.own([reopen(ring.fd, OPEN.READ_ONLY).release()], CLOSE_FDS);
  seat.emit(event);
}

/** Of a recording that does not tell whose picture it was it is said as of one that was dumped. */
function tellFrame(seat: Seat, picture: RecordedPicture): void {
  const event = seat.event(KIND.FRAME_INFO);
  const { at } = FRAME_INFO;
  const { view } = event;
  writeU64(view, at.frameId, picture.frameId);
  writeU64(view, at.timestampNs, picture.timestampNs);
  view.setUint32(at.width, picture.width, true);
  view.setUint32(at.height, picture.height, true);
  view.setUint32(at.stride, picture.stride, true);
  view.setUint16(at.format, picture.format, true);
  view.setUint16(at.flags, picture.flags, true);
  view.setUint16(at.source, picture.source ?? FRAME_SOURCE.SCREENDUMP, true);
  view.setUint16(at.head, picture.head, true);
  seat.emit(event);
}
