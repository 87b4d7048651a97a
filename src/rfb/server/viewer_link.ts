/**
 * One viewer's connection: its handshake, what it asked for, what of the picture it does not have, and the
 * updates that it gets. A viewer gets an update when it has asked for one and has taken the one before:
 * whoever is slow gets fewer, and what waits for it is one update at most.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { joinedBytes } from "../../base/joined_bytes.ts";
import { BGRX, type PixelFormat } from "../pixel_format.ts";
import { ENCODING } from "../protocol.ts";
import { DirtyTiles, type Rect } from "./dirty_tiles.ts";
import type { Wish } from "./encoder_group.ts";
import type { Scroll } from "./scroll_search.ts";
import { ServerHandshake } from "./server_handshake.ts";
import {
  bell,
  colourMap,
  copyRect,
  endOfContinuous,
  extendedSizeRect,
  fence,
  rectHead,
  serverInit,
  tellRect,
  updateHead,
} from "./server_messages.ts";
import { type News, newsRect } from "./viewer_news.ts";
import type { Viewer, ViewerHome } from "./viewer_home.ts";
import { ViewerMessages, type ViewerMessageSink } from "./viewer_messages.ts";
import type { ViewerInput, ViewerTransport } from "./viewer_transport.ts";
import { zrleRect } from "./zrle_encoder.ts";

/** While so much has not left there is no further update. */
export const MOST_BUFFERED: number = 256 * 1024;
/** How long a viewer may take for its handshake. */
export const HANDSHAKE_MS = 10_000;
/** How long a viewer may take nothing of what waits for it. */
export const STALL_MS = 60_000;
/** Updates of one viewer are at least so far apart. */
const UPDATE_GAP_MS = 1000 / 60;
/** Answers to fences that may be awaited while updates go on. */
const MOST_FENCES = 3;
const FENCE_REQUEST = 0x8000_0000;
/** The fence waits for what came before it. */
const FENCE_BLOCK_BEFORE = 1;
/** What we know of a fence's flags: block before, block after, synchronise next. */
const FENCE_KNOWN = 7;
/** zlib's level where a viewer says nothing of it. */
const LEVEL = 4;

/** A viewer's connection. */
export class ViewerLink implements Viewer, ViewerInput, ViewerMessageSink {
  readonly label: string;
  readonly #home: ViewerHome;
  readonly #transport: ViewerTransport;
  readonly #handshake: ServerHandshake;
  readonly #messages = new ViewerMessages(this);
  readonly #dirty = new DirtyTiles();
  readonly #news = new Set<News>();
  readonly #knows = new Set<number>();
  readonly #beganMs = performance.now();
  /** `refused`: it has ended before it was let in. */
  #state: "entering" | "in" | "refused" | "left" = "entering";
  /** What of a step of the handshake has come. */
  #early: number[] = [];
  #note = "";
  #wish: Wish = { format: BGRX, encoding: ENCODING.RAW, level: LEVEL };
  /** The size that it knows. */
  #width = 0;
  #height = 0;
  /** What it is told to move before anything else. */
  #scroll: Scroll | undefined;
  #isAsked = false;
  #isContinuous = false;
  #isZrleBegun = false;
  #owesBell = false;
  #fences = 0;
  #nextMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When something of what waits has left, or nothing waited. */
  #movedMs = performance.now();

  /** Begins the handshake. */
  constructor(home: ViewerHome, transport: ViewerTransport, label: string) {
    this.#home = home;
    this.#transport = transport;
    this.label = label;
    this.#handshake = new ServerHandshake({
      send: (bytes) => transport.send(bytes.slice()),
      mayTry: () => home.mayTry(),
      onWrongPassword: () => {},
    }, home.password);
  }

  /** Whether it is let in. */
  get isIn(): boolean {
    return this.#state === "in";
  }

  /** Whether it has ever been. */
  get wasIn(): boolean {
    return this.#state === "in" || this.#state === "left";
  }

  /** What it does not have. */
  get dirty(): DirtyTiles {
    return this.#dirty;
  }

  get note(): string {
    return this.#note;
  }

  set note(note: string) {
    if (note === this.#note) return;
    this.#note = note;
    this.tell("name");
    this.flush();
  }

  receive(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#hasEnded) return;
    try {
      const from = this.#enter(bytes);
      if (this.#isEntered()) this.#messages.feed(bytes.subarray(from), () => !this.#isEntered());
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.end(error.message);
    }
  }

  drained(): void {
    this.#movedMs = performance.now();
    if (this.#owesBell) this.bell();
    this.flush();
  }

  gone(): void {
    this.end("it disconnected");
  }

  bell(): void {
    if (!this.isIn) return;
    // Who is slow to read hears it later.
    this.#owesBell = this.#transport.bufferedBytes >= MOST_BUFFERED;
    if (!this.#owesBell) this.#transport.send(bell());
  }

  end(why: string): void {
    if (this.#hasEnded) return;
    this.#state = this.isIn ? "left" : "refused";
    clearTimeout(this.#timer);
    this.#transport.close();
    this.#home.onEnded(this, why);
  }

  /** Looks whether it takes too long for what it has to do. */
  check(nowMs: number): void {
    if (this.#state === "entering" && nowMs > this.#beganMs + HANDSHAKE_MS) {
      this.end("its handshake takes too long");
    } else if (this.#transport.bufferedBytes === 0) this.#movedMs = nowMs;
    else if (nowMs > this.#movedMs + STALL_MS) this.end("it does not read");
  }

  /** Something beside pixels is new. */
  tell(news: News): void {
    if (this.isIn && this.#isKnown(news)) this.#news.add(news);
  }

  /** Whether it can be told now that a part of its picture has moved: it has all of it, and knows how. */
  get takesCopies(): boolean {
    const { width, height } = this.#home.picture;
    const isWhole = this.isIn && this.#dirty.isEmpty && this.#scroll === undefined && this.#news.size === 0;
    return isWhole && width === this.#width && height === this.#height && this.#knows.has(ENCODING.COPY_RECT);
  }

  /** Rows have moved: it is told to move them, or has them to get. */
  scrolled(scroll: Scroll): void {
    if (this.takesCopies) this.#scroll = scroll;
    else this.#dirty.mark(scroll.to);
  }

  /** The picture has another size: all of it is new. */
  resized(): void {
    this.#scroll = undefined;
    const { width, height } = this.#home.picture;
    this.#dirty.resize(width, height);
    this.#dirty.mark({ x: 0, y: 0, width, height });
    if (this.isIn && (width !== this.#width || height !== this.#height)) {
      this.#news.add(this.#knows.has(ENCODING.EXTENDED_DESKTOP_SIZE) ? "extended-size" : "size");
    }
  }

  onPixelFormat(format: PixelFormat): void {
    this.#wish = { ...this.#wish, format };
    if (!format.trueColour) this.#answer(colourMap());
  }

  onEncodings(encodings: readonly number[]): void {
    const knew = new Set(this.#knows);
    this.#knows.clear();
    for (const encoding of encodings) this.#knows.add(encoding);
    const best = encodings.find((each) =>
      each === ENCODING.TIGHT || each === ENCODING.ZRLE || each === ENCODING.RAW
    );
    const level = encodings.find((each) => each >= ENCODING.COMPRESS_0 && each <= ENCODING.COMPRESS_9);
    this.#wish = {
      ...this.#wish,
      encoding: best ?? ENCODING.RAW,
      level: level === undefined ? LEVEL : Math.max(1, level - ENCODING.COMPRESS_0),
    };
    const isNew = (encoding: number) => this.#knows.has(encoding) && !knew.has(encoding);
    if (isNew(ENCODING.FENCE)) this.#answer(fence(FENCE_REQUEST, new Uint8Array(0)));
    if (isNew(ENCODING.CONTINUOUS)) this.#answer(endOfContinuous());
    if (isNew(ENCODING.QEMU_EXTENDED_KEY)) this.#news.add("keys");
    if (isNew(ENCODING.EXTENDED_DESKTOP_SIZE)) this.#news.add("extended-size");
    if (isNew(ENCODING.QEMU_POINTER_MODE)) this.#news.add("pointer-mode");
    if (isNew(ENCODING.DESKTOP_NAME)) this.tell("name");
    if (isNew(ENCODING.CURSOR)) this.tell("cursor");
    if (isNew(ENCODING.QEMU_LEDS)) this.tell("leds");
  }

  onRequest(incremental: boolean, area: Rect): void {
    // Like QEMU's, an update has all that is new, whatever part was asked for.
    if (!incremental) this.#dirty.mark(area);
    this.#isAsked = true;
    this.flush();
  }

  onContinuous(on: boolean, area: Rect): void {
    if (!this.#knows.has(ENCODING.CONTINUOUS)) return;
    if (on && !this.#isContinuous) this.#dirty.mark(area);
    if (!on && this.#isContinuous) this.#answer(endOfContinuous());
    this.#isContinuous = on;
    this.flush();
  }

  onFence(flags: number, payload: Uint8Array): void {
    if ((flags & FENCE_REQUEST) === 0) {
      this.#fences = Math.max(0, this.#fences - 1);
      return this.flush();
    }
    this.#answer(fence(flags & FENCE_KNOWN, payload));
  }

  onWishedSize(): void {
    if (!this.#knows.has(ENCODING.EXTENDED_DESKTOP_SIZE)) return;
    const { picture } = this.#home;
    // The guest decides.
    this.#answer(joinedBytes([updateHead(1), extendedSizeRect(1, 1, picture.width, picture.height)]));
  }

  onKey(down: boolean, keysym: number, scanCode: number | undefined): void {
    this.#home.seat.onKey(this, down, keysym, scanCode);
  }

  onPointer(buttons: number, x: number, y: number): void {
    const { width, height } = this.#home.picture;
    this.#home.seat.onPointer(this, buttons, Math.min(x, width - 1), Math.min(y, height - 1));
  }

  /** Sends an update, if one is asked for, there is something to tell, and the viewer has taken the last. */
  flush(): void {
    if (!this.isIn || !(this.#isAsked || this.#isContinuous)) return;
    if (this.#news.size === 0 && this.#dirty.isEmpty && this.#scroll === undefined) return;
    if (this.#transport.bufferedBytes > MOST_BUFFERED || this.#fences >= MOST_FENCES) return;
    const waitMs = this.#nextMs - performance.now();
    if (waitMs > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.flush();
      }, waitMs);
      return;
    }
    const rects = this.#rects();
    if (rects.count === 0) return;
    this.#nextMs = performance.now() + UPDATE_GAP_MS;
    this.#isAsked = false;
    if (this.#transport.bufferedBytes === 0) this.#movedMs = performance.now();
    const pieces = [updateHead(rects.count), ...rects.pieces];
    if (this.#isContinuous && this.#knows.has(ENCODING.FENCE)) {
      this.#fences++;
      pieces.push(fence((FENCE_REQUEST | FENCE_BLOCK_BEFORE) >>> 0, new Uint8Array([1])));
    }
    this.#transport.send(joinedBytes(pieces));
  }

  /** Sends what was asked for at once; whoever asks and does not read would have it kept for ever. */
  #answer(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#hasEnded) return;
    if (this.#transport.bufferedBytes > MOST_BUFFERED) return this.end("it asks and does not read");
    this.#transport.send(bytes);
  }

  get #hasEnded(): boolean {
    return this.#state === "refused" || this.#state === "left";
  }

  #isEntered(): boolean {
    return this.#state === "in";
  }

  /** Takes what belongs to the handshake; tells where the messages begin. */
  #enter(bytes: Uint8Array<ArrayBuffer>): number {
    let at = 0;
    while (this.#state === "entering" && at < bytes.length) {
      this.#early.push(bytes[at++] as number);
      if (this.#early.length < this.#handshake.wanted) continue;
      const step = new Uint8Array(this.#early);
      this.#early = [];
      this.#handshake.take(step);
      if (this.#handshake.isDone) this.#begin();
    }
    return at;
  }

  #begin(): void {
    assert(this.#state === "entering", "a viewer is let in once");
    this.#state = "in";
    const { width, height } = this.#home.picture;
    this.#width = width;
    this.#height = height;
    this.#dirty.resize(width, height);
    this.#dirty.mark({ x: 0, y: 0, width, height });
    this.#transport.send(serverInit(width, height, this.#title()));
    this.#home.onEntered();
    this.#home.seat.onEnter(this);
  }

  #title(): string {
    const { name } = this.#home;
    return this.#note === "" ? name : `${name} (${this.#note})`;
  }

  #isKnown(news: News): boolean {
    switch (news) {
      case "name":
        return this.#knows.has(ENCODING.DESKTOP_NAME);
      case "cursor":
        return this.#knows.has(ENCODING.CURSOR) && this.#home.cursor !== undefined;
      case "leds":
        return this.#knows.has(ENCODING.QEMU_LEDS) && this.#home.leds !== undefined;
      case "pointer-mode":
        return this.#knows.has(ENCODING.QEMU_POINTER_MODE);
      default:
        return true;
    }
  }

  /** What the next update tells. A new size goes alone: pixels of the new picture come with the next one. */
  #rects(): { readonly count: number; readonly pieces: readonly Uint8Array[] } {
    const pieces: Uint8Array[] = [];
    if (this.#news.delete("extended-size")) {
      pieces.push(extendedSizeRect(0, 0, ...this.#newSize()));
      this.#news.delete("size");
      return { count: 1, pieces };
    }
    if (this.#news.delete("size") && this.#knows.has(ENCODING.DESKTOP_SIZE)) {
      return { count: 1, pieces: [tellRect(ENCODING.DESKTOP_SIZE, 0, 0, ...this.#newSize())] };
    }
    for (const news of this.#news) {
      assert(news !== "size" && news !== "extended-size", "a size is told alone");
      pieces.push(newsRect(news, this.#home, { title: this.#title(), format: this.#wish.format }));
    }
    this.#news.clear();
    if (this.#scroll !== undefined) pieces.push(copyRect(this.#scroll.to, this.#scroll.fromY));
    this.#scroll = undefined;
    let count = pieces.length;
    for (const rect of this.#dirty.take({ x: 0, y: 0, width: this.#width, height: this.#height })) {
      const encoded = this.#home.encoders.encode(this.#wish, rect);
      const isZrle = encoded.encoding === ENCODING.ZRLE;
      const bytes = isZrle ? zrleRect(encoded, !this.#isZrleBegun) : encoded.bytes;
      if (isZrle) this.#isZrleBegun = true;
      pieces.push(rectHead(rect, encoded.encoding), bytes);
      count++;
    }
    return { count, pieces };
  }

  #newSize(): [width: number, height: number] {
    const { width, height } = this.#home.picture;
    this.#width = width;
    this.#height = height;
    return [width, height];
  }
}
