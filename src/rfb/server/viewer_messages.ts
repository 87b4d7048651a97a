/**
 * What a viewer says after the handshake (RFC 6143, 7.5, and the community's register), taken apart from
 * bytes in pieces of any size. It keeps one message's head at most: text that a viewer cuts, and encodings
 * past {@linkcode MOST_ENCODINGS}, are thrown away as they come.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { type PixelFormat, readPixelFormat } from "../pixel_format.ts";
import { CLIENT_MESSAGE, PIXEL_FORMAT_BYTES, QEMU_EXTENDED_KEY } from "../protocol.ts";
import type { Rect } from "./dirty_tiles.ts";

/** Encodings of one message that count; no viewer has as many. */
const MOST_ENCODINGS = 256;
/** Bytes of a text at most: what is longer is an attempt to keep the server busy. */
const MOST_TEXT_BYTES: number = 16 * 1024 * 1024;
/** Bytes that a fence may carry. */
const MOST_FENCE_BYTES = 64;

/** Takes what a viewer says. */
export interface ViewerMessageSink {
  /** How pixels are to be written. */
  onPixelFormat(format: PixelFormat): void;
  /** What it knows, the best first. */
  onEncodings(encodings: readonly number[]): void;
  /** It wants an update. @param incremental only what has changed */
  onRequest(incremental: boolean, area: Rect): void;
  /** A key. @param scanCode XT's, with 0x80 for those behind 0xe0; undefined when the viewer does not tell */
  onKey(down: boolean, keysym: number, scanCode: number | undefined): void;
  /** The pointer. @param buttons bit 0 left, 1 middle, 2 right, 3 to 6 the wheel, 7 back */
  onPointer(buttons: number, x: number, y: number): void;
  /** Updates are to come without requests, or no longer. */
  onContinuous(on: boolean, area: Rect): void;
  /** A fence. @param payload borrowed */
  onFence(flags: number, payload: Uint8Array): void;
  /** It would like another size. */
  onWishedSize(): void;
}

/** Bytes of the heads of messages by their types. */
const HEADS: Readonly<Record<number, number>> = {
  [CLIENT_MESSAGE.SET_PIXEL_FORMAT]: 4 + PIXEL_FORMAT_BYTES,
  [CLIENT_MESSAGE.SET_ENCODINGS]: 4,
  [CLIENT_MESSAGE.UPDATE_REQUEST]: 10,
  [CLIENT_MESSAGE.KEY]: 8,
  [CLIENT_MESSAGE.POINTER]: 6,
  [CLIENT_MESSAGE.CUT_TEXT]: 8,
  [CLIENT_MESSAGE.CONTINUOUS]: 10,
  [CLIENT_MESSAGE.FENCE]: 9,
  [CLIENT_MESSAGE.SET_DESKTOP_SIZE]: 8,
  [CLIENT_MESSAGE.QEMU]: 12,
};
const LARGEST_HEAD = 4 + PIXEL_FORMAT_BYTES;
const ENCODING_BYTES = 4;
const SCREEN_BYTES = 16;

/** What comes behind a head. */
type Rest = "none" | "encodings" | "fence" | "skip";

/** The stream of a viewer's messages. */
export class ViewerMessages {
  readonly #sink: ViewerMessageSink;
  /** A head, or a fence with what it carries. */
  readonly #head = new Uint8Array(LARGEST_HEAD + MOST_FENCE_BYTES);
  readonly #view = new DataView(this.#head.buffer);
  #filled = 0;
  #rest: Rest = "none";
  #restLeft = 0;
  #encodings: number[] = [];

  /** Of one viewer. */
  constructor(sink: ViewerMessageSink) {
    this.#sink = sink;
  }

  /**
   * Takes what has come.
   *
   * @returns how many bytes were used: all, or those up to the end of the message after which the sink has
   *   enough
   * @throws {Fault} `protocol-error`, `too-large`
   */
  feed(bytes: Uint8Array<ArrayBuffer>, hasEnough: () => boolean): number {
    let at = 0;
    while (at < bytes.length && !hasEnough()) at += this.#one(bytes, at);
    return at;
  }

  #one(bytes: Uint8Array<ArrayBuffer>, at: number): number {
    if (this.#rest === "skip") return this.#skip(bytes.length - at);
    const wanted = this.#wanted(this.#filled === 0 ? bytes[at] as number : this.#head[0] as number);
    const used = Math.min(wanted - this.#filled, bytes.length - at);
    this.#head.set(bytes.subarray(at, at + used), this.#filled);
    this.#filled += used;
    if (this.#filled === wanted) this.#whole();
    return used;
  }

  /** How many bytes there have to be. */
  #wanted(type: number): number {
    if (this.#rest === "encodings") return ENCODING_BYTES;
    if (this.#rest === "fence") return (HEADS[CLIENT_MESSAGE.FENCE] as number) + this.#restLeft;
    const head = HEADS[type];
    if (head === undefined) throw wrong(`a message of type ${type} came`);
    return head;
  }

  #skip(there: number): number {
    const used = Math.min(there, this.#restLeft);
    this.#restLeft -= used;
    if (this.#restLeft === 0) this.#rest = "none";
    return used;
  }

  /** All of what was waited for is there. */
  #whole(): void {
    if (this.#rest === "encodings") return this.#encoding();
    if (this.#rest === "fence") return this.#fence();
    this.#filled = 0;
    const view = this.#view;
    switch (view.getUint8(0)) {
      case CLIENT_MESSAGE.SET_PIXEL_FORMAT:
        return this.#sink.onPixelFormat(readPixelFormat(view, 4));
      case CLIENT_MESSAGE.SET_ENCODINGS:
        return this.#beginEncodings(view.getUint16(2));
      case CLIENT_MESSAGE.UPDATE_REQUEST:
        return this.#sink.onRequest(view.getUint8(1) !== 0, this.#area());
      case CLIENT_MESSAGE.KEY:
        return this.#sink.onKey(view.getUint8(1) !== 0, view.getUint32(4), undefined);
      case CLIENT_MESSAGE.POINTER:
        return this.#sink.onPointer(view.getUint8(1), view.getUint16(2), view.getUint16(4));
      case CLIENT_MESSAGE.CUT_TEXT:
        // A negative length is an extended clipboard's, which was not offered: its amount says as much.
        return this.#beginSkip(Math.abs(view.getInt32(4)), "a text");
      case CLIENT_MESSAGE.CONTINUOUS:
        return this.#sink.onContinuous(view.getUint8(1) !== 0, this.#area());
      case CLIENT_MESSAGE.FENCE:
        return this.#beginFence(view.getUint8(8));
      case CLIENT_MESSAGE.SET_DESKTOP_SIZE:
        this.#beginSkip(view.getUint8(6) * SCREEN_BYTES, "screens");
        return this.#sink.onWishedSize();
      case CLIENT_MESSAGE.QEMU:
        return this.#qemu();
    }
    assert(false, "a message whose head has a length is known");
  }

  #area(): Rect {
    const view = this.#view;
    return {
      x: view.getUint16(2),
      y: view.getUint16(4),
      width: view.getUint16(6),
      height: view.getUint16(8),
    };
  }

  #qemu(): void {
    const view = this.#view;
    // Sound was not offered, and is the only other one.
    if (view.getUint8(1) !== QEMU_EXTENDED_KEY) throw wrong(`QEMU's message ${view.getUint8(1)} came`);
    this.#sink.onKey(view.getUint16(2) !== 0, view.getUint32(4), view.getUint32(8));
  }

  #beginSkip(length: number, what: string): void {
    if (length > MOST_TEXT_BYTES) {
      throw new Fault("too-large", `Cannot go on with the viewer: it sends ${what} of ${length} bytes`);
    }
    this.#restLeft = length;
    this.#rest = length === 0 ? "none" : "skip";
  }

  #beginEncodings(count: number): void {
    this.#encodings = [];
    this.#restLeft = count;
    if (count > 0) this.#rest = "encodings";
    else this.#sink.onEncodings(this.#encodings);
  }

  #encoding(): void {
    this.#filled = 0;
    if (this.#encodings.length < MOST_ENCODINGS) this.#encodings.push(this.#view.getInt32(0));
    if (--this.#restLeft > 0) return;
    this.#rest = "none";
    this.#sink.onEncodings(this.#encodings);
  }

  #beginFence(length: number): void {
    if (length > MOST_FENCE_BYTES) throw wrong(`a fence of ${length} bytes came`);
    this.#restLeft = length;
    // What it carries is read behind its head.
    this.#filled = HEADS[CLIENT_MESSAGE.FENCE] as number;
    this.#rest = "fence";
    if (length === 0) this.#fence();
  }

  #fence(): void {
    const head = HEADS[CLIENT_MESSAGE.FENCE] as number;
    this.#filled = 0;
    this.#rest = "none";
    this.#sink.onFence(this.#view.getUint32(4), this.#head.subarray(head, head + this.#restLeft));
    this.#restLeft = 0;
  }
}

function wrong(what: string): Fault {
  return new Fault("protocol-error", `Cannot go on with the viewer: ${what}`);
}
