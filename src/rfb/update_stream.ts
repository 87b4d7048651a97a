/**
 * What an RFB server says after the handshake (RFC 6143, 7.6 to 7.8), as a state machine over bytes in pieces
 * of any size. Raw pixels go row by row from the buffer in which they arrived into the picture, or are read
 * into it by whoever owns the socket ({@linkcode UpdateStream.span}): nothing else is kept, so that a server
 * can claim what it likes. Every rectangle lies in the picture, or it is a protocol error; text and colour
 * maps are thrown away as they come, and of cursors one is kept, up to 64 KiB.
 *
 * Copying within the picture and making a new one are work that few bytes ask for: past
 * {@linkcode TURN_WORK_BYTES} a turn, `feed` stops in the middle and is called again in the next turn.
 * @module
 */
import { assert } from "../base/assert.ts";
import { CursorReader } from "./cursor_reader.ts";
import { ENCODING, HEAD, SERVER_MESSAGE } from "./protocol.ts";
import { checkPictureSize, wrongUpdate } from "./picture_rule.ts";
import { paintRows } from "./raw_rows.ts";
import type { Picture, UpdateSink } from "./update_sink.ts";

/** Bytes that one turn may move within a picture, or zero in a new one. */
export const TURN_WORK_BYTES = 8 * 1024 * 1024;
/** Bytes of a pixel. */
const PIXEL = 4;
/** What a rectangle without pixels counts for: so many of them a turn are few. */
const RECT_WORK_BYTES = 1024;
/** Where the answer to a client's own wish for a size has its outcome. */
const ANSWER_TO_US = 1;

type Step = "message" | "rectangle" | "raw" | "copy-source" | "copy" | "screens" | "skip" | "cursor" | "leds";

/** The stream of a server's messages. */
export class UpdateStream {
  readonly #picture: Picture;
  readonly #sink: UpdateSink;
  readonly #asked: ReadonlySet<number>;
  #step: Step = "message";
  #width: number;
  #height: number;
  #work = 0;
  /** Rectangles of this update that have not begun. */
  #rectsLeft = 0;
  #hasPixels = false;
  /** A pixel; -1 for none, which every update has. */
  #probeX = -1;
  #probeY = -1;
  #hasProbe = true;
  /** The rectangle under way. */
  #x = 0;
  #y = 0;
  #w = 0;
  #h = 0;
  /** Raw: bytes of it that are in the picture. Copy: rows. */
  #done = 0;
  #sourceX = 0;
  #sourceY = 0;
  #skipLeft = 0;
  readonly #cursor = new CursorReader();

  /**
   * Makes one; the picture gets its first size at once.
   *
   * @param width what the server said at the end of the handshake
   * @param height see `width`
   * @param encodings those that were asked for: others are a protocol error
   * @throws {Fault} `too-large`
   */
  constructor(
    picture: Picture,
    sink: UpdateSink,
    width: number,
    height: number,
    encodings: readonly number[],
  ) {
    this.#picture = picture;
    this.#sink = sink;
    this.#asked = new Set(encodings);
    this.#width = this.#height = 0;
    this.#resize(width, height);
  }

  /** Pixels in a row; 0 while there is no picture. */
  get width(): number {
    return this.#width;
  }

  /** Rows; 0 while there is no picture. */
  get height(): number {
    return this.#height;
  }

  /** Whether it is in the middle of an update: the picture holds a part of it. */
  get isWithinUpdate(): boolean {
    return this.#step !== "message" || this.#rectsLeft > 0;
  }

  /** Whether `feed` stopped because this turn has done enough. */
  get isTired(): boolean {
    return this.#work >= TURN_WORK_BYTES;
  }

  /** Updates from the next one on tell whether they have this pixel; -1, -1 for none, which all have. */
  probe(x: number, y: number): void {
    assert(!this.isWithinUpdate, "a probe is set between updates");
    this.#probeX = x;
    this.#probeY = y;
  }

  /** A new turn: the work of the one before is forgotten. */
  beginTurn(): void {
    this.#work = 0;
  }

  /**
   * How many bytes come next that belong into the picture in one piece, at {@linkcode spanOffset}: they may
   * be read there from the socket, once all earlier bytes are fed. 0 when they are not in one piece.
   */
  get span(): number {
    if (this.#step !== "raw" || this.#w * PIXEL !== this.#picture.stride) return 0;
    return this.#w * PIXEL * this.#h - this.#done;
  }

  /** Where in the picture's pixels the bytes of {@linkcode span} belong. */
  get spanOffset(): number {
    return this.#y * this.#picture.stride + this.#done;
  }

  /** Says that `length` bytes of {@linkcode span} are where they belong. */
  spanRead(length: number): void {
    assert(length > 0 && length <= this.span, "what was read belongs there");
    this.#rawCame(length);
  }

  /**
   * Goes on with what has come.
   *
   * @param bytes the bytes from `from` to `to`
   * @returns how many were used; hand in the rest again, with more behind it or in the next turn
   * @throws {Fault} `protocol-error`; `too-large` for a picture that is larger than any ring
   */
  feed(bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>, from: number, to: number): number {
    assert(from >= 0 && to <= bytes.length && from <= to, "what is read lies in its buffer");
    let at = from;
    for (let used = -1; used !== 0 && !this.isTired; at += used) {
      // Copying goes on without any byte.
      if (this.#step === "copy") this.#copy();
      used = at === to ? 0 : this.#one(bytes, view, at, to);
    }
    return at - from;
  }

  /** Takes one step; 0 when there is too little for it. */
  #one(bytes: Uint8Array<ArrayBuffer>, view: DataView<ArrayBuffer>, at: number, to: number): number {
    const there = to - at;
    switch (this.#step) {
      case "message":
        return this.#message(view, at, there);
      case "rectangle":
        return there < HEAD.RECTANGLE ? 0 : this.#rectangle(view, at);
      case "raw":
        return this.#raw(bytes, at, there);
      case "copy-source":
        return there < HEAD.COPY ? 0 : this.#copySource(view, at);
      case "copy":
        return 0;
      case "screens":
        if (there < HEAD.SCREENS) return 0;
        this.#skip(view.getUint8(at) * HEAD.SCREEN);
        return HEAD.SCREENS;
      case "skip":
        return this.#skipSome(there);
      case "cursor":
        return this.#cursorSome(bytes, at, there);
      case "leds":
        this.#sink.onLeds(view.getUint8(at));
        this.#rectEnds();
        return 1;
    }
  }

  #message(view: DataView, at: number, there: number): number {
    const type = view.getUint8(at);
    switch (type) {
      case SERVER_MESSAGE.UPDATE:
        if (there < HEAD.UPDATE) return 0;
        this.#rectsLeft = view.getUint16(at + 2);
        this.#hasPixels = false;
        this.#hasProbe = this.#probeX < 0;
        this.#nextRect();
        return HEAD.UPDATE;
      case SERVER_MESSAGE.COLOUR_MAP:
        if (there < HEAD.COLOUR_MAP) return 0;
        this.#skip(view.getUint16(at + 4) * HEAD.COLOUR);
        return HEAD.COLOUR_MAP;
      case SERVER_MESSAGE.BELL:
        this.#work += RECT_WORK_BYTES;
        return 1;
      case SERVER_MESSAGE.CUT_TEXT:
        if (there < HEAD.CUT_TEXT) return 0;
        this.#skip(view.getUint32(at + 4));
        return HEAD.CUT_TEXT;
      default:
        throw wrongUpdate(`a message of type ${type} came`);
    }
  }

  #nextRect(): void {
    if (this.#rectsLeft > 0) {
      this.#step = "rectangle";
      return;
    }
    this.#step = "message";
    this.#work += RECT_WORK_BYTES;
    this.#sink.onUpdate(this.#hasPixels, this.#hasProbe);
  }

  /** The rectangle under way is over. */
  #rectEnds(): void {
    this.#rectsLeft--;
    this.#nextRect();
  }

  #rectangle(view: DataView, at: number): number {
    this.#x = view.getUint16(at);
    this.#y = view.getUint16(at + 2);
    this.#w = view.getUint16(at + 4);
    this.#h = view.getUint16(at + 6);
    this.#done = 0;
    this.#work += RECT_WORK_BYTES;
    const encoding = view.getInt32(at + 8);
    if (!this.#asked.has(encoding) && encoding !== ENCODING.RAW) {
      throw wrongUpdate(`a rectangle came with encoding ${encoding}, which nobody asked for`);
    }
    this.#rectangleOf(encoding);
    return HEAD.RECTANGLE;
  }

  #rectangleOf(encoding: number): void {
    switch (encoding) {
      case ENCODING.RAW:
        this.#checkInside(this.#x, this.#y, "a rectangle");
        this.#hasPixels = true;
        this.#step = "raw";
        if (this.#w * this.#h === 0) this.#rectEnds();
        else this.#picture.repaint(this.#x, this.#y, this.#w, this.#h);
        return;
      case ENCODING.COPY_RECT:
        this.#checkInside(this.#x, this.#y, "a rectangle");
        this.#hasPixels = true;
        this.#step = "copy-source";
        return;
      case ENCODING.DESKTOP_SIZE:
        this.#resize(this.#w, this.#h);
        return this.#rectEnds();
      case ENCODING.EXTENDED_DESKTOP_SIZE:
        // The answer to a wish that was not granted tells no size of the picture.
        if (!(this.#x === ANSWER_TO_US && this.#y !== 0)) this.#resize(this.#w, this.#h);
        this.#step = "screens";
        return;
      case ENCODING.LAST_RECT:
        this.#rectsLeft = 1;
        return this.#rectEnds();
      case ENCODING.CURSOR:
        this.#cursor.begin(this.#w, this.#h);
        this.#step = "cursor";
        if (this.#cursor.isWhole) this.#cursorEnds();
        return;
      case ENCODING.POINTER_POSITION:
        this.#sink.onPointer(this.#x, this.#y);
        return this.#rectEnds();
      case ENCODING.QEMU_POINTER_MODE:
        this.#sink.onPointerMode(this.#x !== 0);
        return this.#rectEnds();
      case ENCODING.QEMU_EXTENDED_KEY:
        this.#sink.onExtendedKeys();
        return this.#rectEnds();
      case ENCODING.QEMU_LEDS:
        this.#step = "leds";
        return;
      default:
        throw wrongUpdate(`a rectangle came with encoding ${encoding}`);
    }
  }

  #checkInside(x: number, y: number, what: string): void {
    if (x + this.#w > this.#width || y + this.#h > this.#height) {
      throw wrongUpdate(
        `${what} of ${this.#w}x${this.#h} at ${x},${y} lies outside of a picture of ${this.#width}x${this.#height}`,
      );
    }
  }

  #resize(width: number, height: number): void {
    // Servers tell the same size again and again; a picture would be lost.
    if (width === this.#width && height === this.#height) return;
    checkPictureSize(width, height);
    const isThere = width > 0 && height > 0;
    this.#width = isThere ? width : 0;
    this.#height = isThere ? height : 0;
    // One a turn: whoever owns the picture makes another one.
    this.#work += TURN_WORK_BYTES;
    if (isThere) this.#picture.resize(width, height);
    this.#sink.onSize(this.#width, this.#height);
  }

  #raw(bytes: Uint8Array<ArrayBuffer>, at: number, there: number): number {
    const used = Math.min(there, this.#w * PIXEL * this.#h - this.#done);
    const { pixels, stride } = this.#picture;
    paintRows(pixels, stride, {
      first: this.#y * stride + this.#x * PIXEL,
      rowBytes: this.#w * PIXEL,
      done: this.#done,
    }, bytes.subarray(at, at + used));
    this.#rawCame(used);
    return used;
  }

  #rawCame(length: number): void {
    this.#done += length;
    if (this.#done < this.#w * PIXEL * this.#h) return;
    this.#painted();
  }

  /** The rectangle under way has its pixels. */
  #painted(): void {
    const right = this.#probeX - this.#x;
    const down = this.#probeY - this.#y;
    if (right >= 0 && right < this.#w && down >= 0 && down < this.#h) this.#hasProbe = true;
    this.#picture.damage(this.#x, this.#y, this.#w, this.#h);
    this.#rectEnds();
  }

  #copySource(view: DataView, at: number): number {
    this.#sourceX = view.getUint16(at);
    this.#sourceY = view.getUint16(at + 2);
    this.#checkInside(this.#sourceX, this.#sourceY, "the source of a copied rectangle");
    this.#step = "copy";
    return HEAD.COPY;
  }

  /** Copies row by row, from the end that keeps what is still to be copied, as far as the turn allows. */
  #copy(): void {
    const { pixels, stride } = this.#picture;
    const length = this.#w * PIXEL;
    const isDownwards = this.#y > this.#sourceY;
    for (; length > 0 && this.#done < this.#h && !this.isTired; this.#done++) {
      const row = isDownwards ? this.#h - 1 - this.#done : this.#done;
      const from = (this.#sourceY + row) * stride + this.#sourceX * PIXEL;
      pixels.copyWithin((this.#y + row) * stride + this.#x * PIXEL, from, from + length);
      this.#work += length;
    }
    if (length > 0 && this.#done < this.#h) return;
    this.#painted();
  }

  #cursorSome(bytes: Uint8Array, at: number, there: number): number {
    const used = this.#cursor.take(bytes, at, there);
    if (this.#cursor.isWhole) this.#cursorEnds();
    return used;
  }

  #cursorEnds(): void {
    this.#sink.onCursor(this.#cursor.end(this.#x, this.#y));
    this.#rectEnds();
  }

  /** What comes next is of no use. */
  #skip(length: number): void {
    this.#skipLeft = length;
    this.#step = "skip";
    if (length === 0) this.#skipEnds();
  }

  #skipSome(there: number): number {
    const used = Math.min(there, this.#skipLeft);
    this.#skipLeft -= used;
    if (this.#skipLeft === 0) this.#skipEnds();
    return used;
  }

  #skipEnds(): void {
    // Screens are within an update; text and colours are messages of their own.
    if (this.#rectsLeft > 0) this.#rectEnds();
    else this.#step = "message";
  }
}
