/**
 * An RFB 3.8 server for one screen and any number of viewers, as a library: it opens no socket and knows no
 * VM. It is fed with frames, hands on what viewers do, and speaks over transports of any kind.
 *
 * How to use it, over a WebSocket for instance:
 *
 * ```ts ignore
 * const server = new RfbServer({ name: "web", seat, onDemand: (isWanted) => watchOrNot(isWanted) });
 * // A frame: words are 0x??RRGGBB; what of it may have changed since the last one.
 * server.frame({ words, stride: 1280, width: 1280, height: 800 }, { x: 0, y: 0, width: 1280, height: 800 });
 *
 * // A viewer. `server.isFull` first: then it is turned away.
 * const viewer = server.accept({
 *   get bufferedBytes() { return socket.bufferedAmount; },
 *   send: (bytes) => socket.send(bytes),
 *   close: () => socket.close(),
 * }, "somebody");
 * socket.onmessage = ({ data }) => viewer.receive(new Uint8Array(data));
 * socket.onclose = () => viewer.gone();
 * // A WebSocket does not tell when its buffer has been emptied: look now and then while it is not.
 * const timer = setInterval(() => viewer.drained(), 20);
 * ```
 *
 * `seat` gets keys and pointers, whatever viewers may do: `src/client/vnc` has one that types into a VM under
 * its input lease, and what feeds the server from the bus. `server.onDemand` tells whether anybody looks:
 * without a viewer nothing has to be fed.
 *
 * Hostile viewers: a viewer is let in within 10 s or ends; what it says is checked and bounded
 * (`viewer_messages.ts`); what waits for it is one update; one that takes nothing for a minute ends.
 *
 * Encodings: raw, CopyRect for what scrolls, ZRLE, Tight without JPEG; cursor, DesktopSize,
 * ExtendedDesktopSize (the guest decides on the size), DesktopName, QEMU's extended keys, pointer mode and
 * lights, fence, continuous updates.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { Rect } from "./dirty_tiles.ts";
import { EncoderGroups } from "./encoder_group.ts";
import { findScroll, type Scroll } from "./scroll_search.ts";
import type { CursorPicture } from "./server_messages.ts";
import { SharedPicture } from "./shared_picture.ts";
import type { Viewer, ViewerHome, ViewerSeat } from "./viewer_home.ts";
import { ViewerLink } from "./viewer_link.ts";
import type { NewsSource } from "./viewer_news.ts";
import type { ViewerInput, ViewerTransport } from "./viewer_transport.ts";

export type { CursorPicture } from "./server_messages.ts";
export type { Rect } from "./dirty_tiles.ts";
export type { Viewer, ViewerSeat } from "./viewer_home.ts";
export type { ViewerInput, ViewerTransport } from "./viewer_transport.ts";

/** How a server is made. */
export interface RfbServerOptions {
  /** What viewers show as their title. */
  readonly name: string;
  /** What has to be known to get in (its first eight bytes count); undefined: nothing. */
  readonly password?: string;
  /** Whom keys and pointers go to. */
  readonly seat: ViewerSeat;
  /** Viewers at most; {@linkcode MOST_VIEWERS} unless told. */
  readonly mostViewers?: number;
  /** Told when the first viewer is in, and when the last one has gone. */
  readonly onDemand?: (isWanted: boolean) => void;
  /** Told of each viewer that ends. @param why in words */
  readonly onEnded?: (viewer: Viewer, why: string) => void;
}

/** A frame. */
export interface FramePixels {
  /** 0x??RRGGBB. */
  readonly words: Int32Array<ArrayBufferLike>;
  /** Words from row to row. */
  readonly stride: number;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** Viewers at most, those in their handshakes included. */
const MOST_VIEWERS = 64;
const NO_CURSOR: CursorPicture = { width: 0, height: 0, hotX: 0, hotY: 0, words: new Int32Array(0) };
/** What is shown before the first frame. */
const FIRST_SIZE = { width: 640, height: 480 };
const CHECK_MS = 1000;
/** Passwords that may be tried at once, and how fast there are more. */
const MOST_TRIES = 10;
const TRY_MS = 1000;

/** The server of one screen. */
export class RfbServer implements ViewerHome, Disposable {
  readonly picture: SharedPicture = new SharedPicture();
  readonly encoders: EncoderGroups = new EncoderGroups(this.picture);
  readonly seat: ViewerSeat;
  readonly name: string;
  readonly password: string | undefined;
  readonly #options: RfbServerOptions;
  readonly #viewers = new Set<ViewerLink>();
  #cursor: CursorPicture | undefined;
  #leds: number | undefined;
  #isAbsolute = true;
  #timer: ReturnType<typeof setInterval> | undefined;
  #entered = 0;
  #tries = MOST_TRIES;
  #triedMs = performance.now();

  /** A server that shows nothing yet. */
  constructor(options: RfbServerOptions) {
    this.#options = options;
    this.seat = options.seat;
    this.name = options.name;
    this.password = options.password;
    this.picture.resize(FIRST_SIZE.width, FIRST_SIZE.height);
    this.picture.changed.clear();
  }

  /** Viewers, those in their handshakes included. */
  get viewers(): number {
    return this.#viewers.size;
  }

  /**
   * Whether there is no place for a further viewer. Those that have not authenticated take nobody's place.
   */
  get isFull(): boolean {
    return this.#entered >= this.#most;
  }

  /** Whether anybody looks. */
  get isWanted(): boolean {
    return this.#entered > 0;
  }

  get cursor(): CursorPicture | undefined {
    return this.#cursor;
  }

  /** The cursor's shape, from now on. */
  set cursor(cursor: CursorPicture | undefined) {
    assert(cursor === undefined || cursor.words.length === cursor.width * cursor.height, "a cursor is whole");
    this.#cursor = cursor;
    this.#tell("cursor");
  }

  /** What is known of the cursor and of the lights, from now on; what has not changed is not told again. */
  pointer({ cursor, leds }: Pick<NewsSource, "cursor" | "leds">): void {
    // Viewers know no "not known": where the guest paints its cursor itself, they show none.
    const shown = cursor ?? (this.#cursor === undefined ? undefined : NO_CURSOR);
    if (shown !== this.#cursor) this.cursor = shown;
    if (leds !== undefined && leds !== this.#leds) this.leds = leds;
  }

  get leds(): number | undefined {
    return this.#leds;
  }

  /** The keyboard's lights, from now on; bits as in LED. */
  set leds(bits: number | undefined) {
    this.#leds = bits;
    this.#tell("leds");
  }

  get isAbsolute(): boolean {
    return this.#isAbsolute;
  }

  /** Whether the pointer is absolute, from now on. */
  set isAbsolute(isAbsolute: boolean) {
    this.#isAbsolute = isAbsolute;
    this.#tell("pointer-mode");
  }

  /**
   * Takes a viewer in: the handshake begins.
   *
   * @param label who it is, for messages
   * @returns what the transport's owner tells it
   */
  accept(transport: ViewerTransport, label: string): ViewerInput {
    assert(!this.isFull, "a viewer is taken in where there is a place");
    if (this.#viewers.size >= this.#most) {
      // Whoever connects and says nothing keeps nobody out.
      for (const each of this.#viewers) {
        if (each.isIn) continue;
        each.end("another one came while it was not in yet");
        break;
      }
    }
    const viewer = new ViewerLink(this, transport, label);
    this.#viewers.add(viewer);
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS);
    return viewer;
  }

  /**
   * Shows a frame. It is not kept.
   *
   * @param part where it may differ from the frame before; of a frame of another size all of it
   */
  frame(frame: FramePixels, part: Rect): void {
    const { width, height, words, stride } = frame;
    const isResized = width !== this.picture.width || height !== this.picture.height;
    if (isResized) {
      this.picture.resize(width, height);
      for (const viewer of this.#viewers) viewer.resized();
    }
    const scroll = isResized ? undefined : this.#scrolled(frame, part);
    this.picture.take(words, stride, isResized ? { x: 0, y: 0, width, height } : part);
    const { changed } = this.picture;
    for (const viewer of this.#viewers) {
      if (!viewer.isIn) continue;
      if (scroll !== undefined) viewer.scrolled(scroll);
      if (!isResized) viewer.dirty.add(changed);
      viewer.flush();
    }
    changed.clear();
  }

  /** Sends everybody away. */
  [Symbol.dispose](): void {
    for (const viewer of [...this.#viewers]) viewer.end("the server ends");
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  mayTry(): boolean {
    const nowMs = performance.now();
    const more = Math.floor((nowMs - this.#triedMs) / TRY_MS);
    if (more > 0) {
      this.#tries = Math.min(MOST_TRIES, this.#tries + more);
      this.#triedMs = nowMs;
    }
    if (this.#tries === 0) return false;
    this.#tries--;
    return true;
  }

  onEntered(): void {
    if (++this.#entered === 1) this.#options.onDemand?.(true);
  }

  onEnded(viewer: Viewer, why: string): void {
    const link = viewer as ViewerLink;
    if (!this.#viewers.delete(link)) return;
    if (link.wasIn) {
      this.seat.onLeave(viewer);
      if (--this.#entered === 0) {
        this.encoders.forget();
        this.#options.onDemand?.(false);
      }
    }
    if (this.#viewers.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.#options.onEnded?.(viewer, why);
  }

  /** Moves what has only moved, where a viewer can be told so. */
  #scrolled({ words, stride }: FramePixels, part: Rect): Scroll | undefined {
    const { picture } = this;
    let isUseful = false;
    for (const viewer of this.#viewers) isUseful ||= viewer.takesCopies;
    if (!isUseful) return undefined;
    const before = { words: picture.words, stride: picture.width };
    const scroll = findScroll(before, { words, stride }, part, picture.width * picture.height);
    if (scroll !== undefined) picture.scroll(scroll);
    return scroll;
  }

  get #most(): number {
    return this.#options.mostViewers ?? MOST_VIEWERS;
  }

  #tell(news: "cursor" | "leds" | "pointer-mode"): void {
    for (const viewer of this.#viewers) {
      viewer.tell(news);
      viewer.flush();
    }
  }

  #check(): void {
    const nowMs = performance.now();
    for (const viewer of [...this.#viewers]) viewer.check(nowMs);
  }
}
