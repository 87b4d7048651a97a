/**
 * Waiting for a screen, told frame by frame: has this part changed, has it stood still for so long? Steppers:
 * whoever owns the time and the frames feeds them; nothing here sleeps.
 *
 * The producer's damage saves work when it can be trusted to be the whole story: when the frame is the next
 * one after the last that was seen. Otherwise, and where the damage touches the part, a hash of its pixels
 * decides.
 * @module
 */
import type { Rectangle } from "./picture.ts";
import { bytesPerPixel, PIXEL_FORMAT } from "./pixel_format.ts";
import type { FrameInfo } from "./snapshots.ts";

/** Follows one part of the screen (all of it by default) from frame to frame. */
export class ScreenPart {
  readonly #part: Rectangle | undefined;
  #shape = "";
  #hash = 0;
  #frameId = 0;
  #seen = false;

  /**
   * Follows a part from the first frame that it is told.
   *
   * @param part in the frame's pixels; what lies outside the frame is ignored
   */
  constructor(part?: Rectangle) {
    this.#part = part;
  }

  /**
   * Takes a frame.
   *
   * @param bytes as sampled
   * @param info as sampled
   * @returns whether the part differs from the last frame's; false for the first one
   */
  see(bytes: Uint8Array, info: FrameInfo): boolean {
    const next = this.#seen && info.frameId === this.#frameId + 1;
    this.#frameId = info.frameId;
    const shape = `${info.width} ${info.height} ${info.format}`;
    const same = shape === this.#shape;
    this.#shape = shape;
    if (same && next && !this.#touched(info)) return false;
    const hash = hashOf(bytes, info, this.#part);
    const changed = this.#seen && !(same && hash === this.#hash);
    this.#hash = hash;
    this.#seen = true;
    return changed;
  }

  #touched(info: FrameInfo): boolean {
    const part = this.#part;
    return part === undefined ||
      (info.damageX < part.x + part.width && part.x < info.damageX + info.damageW &&
        info.damageY < part.y + part.height && part.y < info.damageY + info.damageH);
  }
}

/** How a wait stands. */
export type WaitState = "waiting" | "done" | "timed-out";

/** Waits until a part of the screen changes. */
export class ChangeWait {
  readonly #part: ScreenPart;
  readonly #deadlineNs: number;
  #done = false;

  /**
   * A wait; the first frame it is told is what the others are compared with.
   *
   * @param deadlineNs when it gives up; Infinity = never
   * @param part which part, all of the screen by default
   */
  constructor(deadlineNs: number, part?: Rectangle) {
    this.#part = new ScreenPart(part);
    this.#deadlineNs = deadlineNs;
  }

  /** Tells it a frame. */
  frame(nowNs: number, bytes: Uint8Array, info: FrameInfo): WaitState {
    if (this.#part.see(bytes, info)) this.#done = true;
    return this.tick(nowNs);
  }

  /** Tells it that time went by without a frame. */
  tick(nowNs: number): WaitState {
    return this.#done ? "done" : nowNs >= this.#deadlineNs ? "timed-out" : "waiting";
  }

  /** When {@linkcode tick} has something new to say. */
  get nextNs(): number {
    return this.#deadlineNs;
  }
}

/** Waits until a part of the screen has not changed for a while. */
export class StillWait {
  readonly #part: ScreenPart;
  readonly #quietNs: number;
  readonly #deadlineNs: number;
  #sinceNs: number;

  /**
   * A wait.
   *
   * @param nowNs when it begins
   * @param quietNs how long nothing may change
   * @param deadlineNs when it gives up; Infinity = never
   * @param part which part, all of the screen by default
   */
  constructor(nowNs: number, quietNs: number, deadlineNs: number, part?: Rectangle) {
    this.#part = new ScreenPart(part);
    this.#quietNs = quietNs;
    this.#deadlineNs = deadlineNs;
    this.#sinceNs = nowNs;
  }

  /** Tells it a frame. */
  frame(nowNs: number, bytes: Uint8Array, info: FrameInfo): WaitState {
    if (this.#part.see(bytes, info)) this.#sinceNs = nowNs;
    return this.tick(nowNs);
  }

  /** Tells it that time went by without a frame: a producer that has nothing new sends none. */
  tick(nowNs: number): WaitState {
    if (nowNs - this.#sinceNs >= this.#quietNs) return "done";
    return nowNs >= this.#deadlineNs ? "timed-out" : "waiting";
  }

  /** When {@linkcode tick} has something new to say. */
  get nextNs(): number {
    return Math.min(this.#sinceNs + this.#quietNs, this.#deadlineNs);
  }
}

/** A hash of a part's pixels (of its luma plane for NV12), padding left out. */
function hashOf(bytes: Uint8Array, info: FrameInfo, part: Rectangle | undefined): number {
  const pixel = bytesPerPixel(info.format);
  const left = Math.max(0, part?.x ?? 0);
  const top = Math.max(0, part?.y ?? 0);
  const right = Math.min(info.width, part === undefined ? Infinity : part.x + part.width);
  const bottom = Math.min(info.height, part === undefined ? Infinity : part.y + part.height);
  if (right <= left || bottom <= top) return 0;
  let hash = 2166136261 | 0;
  for (let y = top; y < bottom; y++) {
    const from = y * info.stride + left * pixel;
    hash = hashRow(bytes, from, y * info.stride + right * pixel, hash);
  }
  if (info.format === PIXEL_FORMAT.nv12 && part === undefined) {
    hash = hashRow(bytes, info.stride * info.height, info.bytes, hash);
  }
  return hash;
}

/** FNV-1a over words where they are aligned, over bytes at the ends. */
function hashRow(bytes: Uint8Array, from: number, end: number, seed: number): number {
  let hash = seed;
  let at = from;
  while (at < end && (bytes.byteOffset + at) % 4 !== 0) {
    hash = Math.imul(hash ^ (bytes[at++] as number), 16777619);
  }
  const count = (end - at) >>> 2;
  const row = new Int32Array(bytes.buffer, bytes.byteOffset + at, count);
  for (let i = 0; i < count; i++) {
    hash = Math.imul(hash ^ (row[i] as number), 16777619);
    hash ^= hash >>> 15;
  }
  at += count * 4;
  while (at < end) hash = Math.imul(hash ^ (bytes[at++] as number), 16777619);
  return hash;
}
