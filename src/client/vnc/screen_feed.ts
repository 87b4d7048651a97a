/**
 * Feeds an RFB server with the frames of one head of a VM, while somebody looks: only what the bus tells as
 * damage is looked at. Where frames were missed, all of the picture is. The VM may reset, change its mode, go
 * and come, and so may the daemon (with a client that reconnects): the feed goes on when it can, and the last
 * picture stays until then.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import { CODE } from "../../base/codes.ts";
import { FRAME_OP, ROSTER_STATE } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE } from "../../event/source.ts";
import type { FramePixels, Rect } from "../../rfb/server/rfb_server.ts";
import { toPicture } from "../../vgpu/picture.ts";
import { PIXEL_FORMAT } from "../../vgpu/pixel_format.ts";
import type { FrameInfo } from "../../vgpu/snapshots.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";
import type { PointerNews } from "../pointer_news.ts";
import { DisplayPatience } from "../display_patience.ts";
import { pause } from "../pause.ts";
import type { EndpointRef } from "../roster_view.ts";
import { fillRequest } from "../screen_control.ts";

/** Who takes frames. `part` is where a frame may differ from the one before; its pixels are borrowed. */
export type FrameTaker =
  /** Of a copy, in memory of the feed's own. */
  | { readonly onFrame: (frame: FramePixels, part: Rect) => void }
  /**
   * Where they lie: `read` takes what it needs of pixels that may change under it, and is called from the
   * start again when they did; `onRead` is told that what it took last is of one frame.
   */
  | { readonly read: (frame: FramePixels, part: Rect) => void; readonly onRead: () => void };

/** Whose frames. */
export interface FeedOptions {
  /** A client whose subscription has the sources CORE and FRAME. */
  readonly client: Client;
  /** The VM. */
  readonly ref: EndpointRef;
  /** The head. */
  readonly head: number;
  /** Frames per second at most. */
  readonly perSecond: number;
  /** Takes them. */
  readonly taker: FrameTaker;
  /** Told what the cursor looks like and which lights are on, as far as that is known. */
  readonly onPointer?: (news: PointerNews) => void;
  /** Told why there are no frames; "" when there are some again. */
  readonly onTrouble: (why: string) => void;
}

/** A picture may take long: its source may have to be opened first. */
const PICTURE_MS = 20_000;
/** Damages that are kept of frames that were told and not yet looked at. */
const MOST_DAMAGES = 64;
/** Who wants fewer frames per second than this is given no more of them, whatever others want. */
const PACED = 10;
/** The part of a period after which a frame is not too early. */
const PACE = 0.9;

/** The frames of one head. */
export class ScreenFeed {
  readonly #options: FeedOptions;
  #memory = new Uint8Array(0);
  /** The frame that was taken last; 0: none of this ring. */
  #lastId = 0;
  #takenMs = -Infinity;
  readonly #damages = new Map<number, Rect>();
  readonly #patience: DisplayPatience;
  #ending: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #trouble = "";

  /** A feed that rests. */
  constructor(options: FeedOptions) {
    this.#options = options;
    this.#patience = new DisplayPatience(options.client, options.ref);
  }

  /** Begins, or ends when nobody looks any more. */
  want(isWanted: boolean): void {
    assert(isWanted !== (this.#ending !== undefined), "what is wanted changes");
    if (!isWanted) {
      this.#ending?.abort();
      this.#ending = undefined;
      return;
    }
    const ending = new AbortController();
    this.#ending = ending;
    this.#running = this.#running.then(() => this.#run(ending.signal));
  }

  /** Ends it, and waits until the daemon has been told. */
  async close(): Promise<void> {
    if (this.#ending !== undefined) this.want(false);
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#patience.untilThere(signal, (why) => this.#tell(why));
        if (!signal.aborted) await this.#watch(signal);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        if (signal.aborted) break;
        this.#tell(error.message);
      }
      await this.#patience.rest(signal);
    }
    this.#memory = new Uint8Array(0);
  }

  /** Watches until the VM or the daemon has gone. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { client, ref, head, perSecond } = this.#options;
    const endpoint = await client.endpoint(ref);
    const what = `watch the screen of ${client.roster.nameOf(endpoint)}`;
    const ask = (op: number, rate: number) =>
      client.command(KIND.CMD_FRAME, endpoint, what, (event) => fillRequest(event, op, head, rate), {
        timeoutMs: PICTURE_MS,
      });
    await using stream = client.events({
      kinds: ["FRAME_INFO", "FRAME_RING", "ROSTER", "SEAM_UP", "ERROR", "CURSOR_SHAPE", "KEYBOARD_LEDS"],
      endpoints: [endpoint],
    });
    const stop = () => stream.end();
    signal.addEventListener("abort", stop, { once: true });
    this.#forget();
    const rate = client.screens.watches.add(endpoint, head, perSecond);
    try {
      await ask(FRAME_OP.WATCH, rate);
      await ask(FRAME_OP.ONCE, 0);
      this.#take(endpoint);
      this.#tellPointer(endpoint);
      for await (const event of stream) {
        if (signal.aborted || isGone(event, head)) break;
        if (event.kind === KIND.RECONNECTED) {
          throw new Fault("unreachable", "Cannot go on: the daemon was replaced by another one");
        }
        // Another source begins with a picture only when something changes.
        if (event.kind === KIND.SEAM_UP && event.source === SOURCE.FRAME) await ask(FRAME_OP.ONCE, 0);
        if (event.kind === KIND.CURSOR_SHAPE || event.kind === KIND.KEYBOARD_LEDS) {
          this.#tellPointer(endpoint);
        }
        this.#note(event);
        if (stream.buffered > 0) continue;
        if (this.#isPaced) {
          await this.#early(signal);
          if (signal.aborted) break;
        }
        this.#take(endpoint);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      const left = client.screens.watches.remove(endpoint, head, perSecond);
      await ask(left === 0 ? FRAME_OP.UNWATCH : FRAME_OP.WATCH, left).catch((error) => {
        // It has gone, and with it what was watched.
        if (!(error instanceof Fault)) throw error;
      });
    }
  }

  /** Whether it is given no more frames than it wants, though another viewer may want more. */
  get #isPaced(): boolean {
    return this.#options.perSecond < PACED;
  }

  /** Waits for its own time: it takes the newest frame then. */
  async #early(signal: AbortSignal): Promise<void> {
    const earlyMs = this.#takenMs + PACE * 1000 / this.#options.perSecond - performance.now();
    if (earlyMs > 0) await pause(earlyMs, signal);
  }

  #forget(): void {
    this.#lastId = 0;
    this.#damages.clear();
  }

  /** Keeps what an event tells of later frames. */
  #note(event: ClientEvent): void {
    const ring = event.as("FRAME_RING");
    if (event.kind === KIND.OVERRUN || ring?.head === this.#options.head) this.#forget();
    const info = event.as("FRAME_INFO");
    if (info === undefined || info.head !== this.#options.head) return;
    if (this.#damages.size >= MOST_DAMAGES) this.#damages.clear();
    const { frameId, damageX: x, damageY: y, damageW: width, damageH: height } = info;
    if (width > 0 && height > 0) this.#damages.set(frameId, { x, y, width, height });
  }

  #tellPointer(endpoint: EndpointId): void {
    const { client, head, onPointer } = this.#options;
    onPointer?.(client.screens.pointers.of(endpoint, head));
  }

  /** Takes the newest frame, if there is a new one. */
  #take(endpoint: EndpointId): void {
    const { client, head, taker } = this.#options;
    const { rings } = client.screens;
    if ("read" in taker) {
      const info = rings.read(endpoint, head, (found, bytes) => {
        if (found.frameId !== this.#lastId) taker.read(pixelsOf(found, bytes), this.#partOf(found));
      });
      if (info === undefined || info.frameId === this.#lastId) return;
      this.#took(info);
      return taker.onRead();
    }
    const sampled = rings.sample(endpoint, head, (bytes) => this.#room(bytes));
    if (sampled === undefined || sampled.info.frameId === this.#lastId) return;
    const part = this.#partOf(sampled.info);
    this.#took(sampled.info);
    taker.onFrame(pixelsOf(sampled.info, sampled.bytes), part);
  }

  /** A frame was taken. */
  #took({ frameId }: FrameInfo): void {
    assert(frameId !== this.#lastId, "a frame is taken once");
    this.#lastId = frameId;
    this.#takenMs = performance.now();
    for (const id of this.#damages.keys()) if (id <= frameId) this.#damages.delete(id);
    this.#tell("");
    this.#patience.onPicture();
  }

  #room(bytes: number): Uint8Array<ArrayBuffer> {
    if (this.#memory.length < bytes) this.#memory = new Uint8Array(bytes);
    return this.#memory;
  }

  /** Where a frame may differ from the one before: all of it where one of those between was not told. */
  #partOf(info: FrameInfo): Rect {
    const whole = { x: 0, y: 0, width: info.width, height: info.height };
    const missed = info.frameId - this.#lastId;
    if (this.#lastId === 0 || missed < 1 || missed > MOST_DAMAGES) return whole;
    let [left, top] = [info.damageX, info.damageY];
    let [right, bottom] = [left + info.damageW, top + info.damageH];
    for (let id = this.#lastId + 1; id < info.frameId; id++) {
      const damage = this.#damages.get(id);
      if (damage === undefined) return whole;
      left = Math.min(left, damage.x);
      top = Math.min(top, damage.y);
      right = Math.max(right, damage.x + damage.width);
      bottom = Math.max(bottom, damage.y + damage.height);
    }
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  #tell(why: string): void {
    if (why === this.#trouble) return;
    this.#trouble = why;
    this.#options.onTrouble(why);
  }
}

/** Whether the VM or its head has gone. */
function isGone(event: ClientEvent, head: number): boolean {
  const roster = event.as("ROSTER");
  if (roster !== undefined) return roster.state === ROSTER_STATE.GONE;
  const refusal = event.source === SOURCE.FRAME ? event.as("ERROR") : undefined;
  return refusal?.code === CODE["bad-argument"] && refusal.detail === head;
}

/** A frame's pixels as words: as they are where they are 32 bits with blue first. */
function pixelsOf(info: FrameInfo, bytes: Uint8Array<ArrayBuffer>): FramePixels {
  const { width, height, stride, format } = info;
  const isPlain = format === PIXEL_FORMAT.bgrx8888 || format === PIXEL_FORMAT.bgra8888;
  if (isPlain && stride % 4 === 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, height * stride / 4);
    return { words, stride: stride / 4, width, height };
  }
  const { rgba } = toPicture(bytes, info);
  const words = new Int32Array(rgba.buffer);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    words[i] = (word & 0xff) << 16 | word & 0xff00 | word >>> 16 & 0xff;
  }
  return { words, stride: width, width, height };
}
