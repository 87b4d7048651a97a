/**
 * The shape of the guest's cursor and the lights of its keyboard, as the daemon last reported them: they are
 * sent when they change, and a viewer may start later.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { EndpointId } from "../base/ids.ts";
import { MAX_HEADS } from "../base/limits.ts";
import type { CursorPicture } from "../display/canvas.ts";
import { ROSTER_STATE } from "../event/body_number.ts";
import { CURSOR_SHAPE_STATE, isCursorTold } from "../event/kinds/pointer_kinds.ts";
import type { ClientEvent } from "./client_event.ts";

/** What is known about one head; undefined: unknown. */
export interface PointerNews {
  /** The shape of the cursor; without pixels: invisible. */
  readonly cursor: CursorPicture | undefined;
  /** Lights that are on: 1 scroll lock, 2 num lock, 4 caps lock. */
  readonly leds: number | undefined;
}

const NOTHING: PointerNews = { cursor: undefined, leds: undefined };

/** What is known about all heads. */
export class PointerBook {
  readonly #known = new Map<string, PointerNews>();

  /** Processes an event. @returns whether anything about its endpoint has changed */
  update(event: ClientEvent): boolean {
    const { endpoint } = event;
    if (event.as("ROSTER")?.state === ROSTER_STATE.GONE) {
      for (let head = 0; head < MAX_HEADS; head++) this.#known.delete(`${endpoint}:${head}`);
      return true;
    }
    const leds = event.as("KEYBOARD_LEDS");
    const shape = event.as("CURSOR_SHAPE");
    const head = leds?.head ?? shape?.head;
    if (head === undefined || head >= MAX_HEADS) return false;
    const before = this.of(endpoint, head);
    const news = leds !== undefined
      ? { ...before, leds: leds.known === 1 ? leds.bits : undefined }
      : { ...before, cursor: cursorOf(event) };
    this.#known.set(`${endpoint}:${head}`, news);
    return true;
  }

  /** What is known about a head. */
  of(endpoint: EndpointId, head: number): PointerNews {
    assert(head >= 0 && head < MAX_HEADS, "a head has a number");
    return this.#known.get(`${endpoint}:${head}`) ?? NOTHING;
  }

  /** Drops everything. */
  clear(): void {
    this.#known.clear();
  }
}

/** The cursor of a CURSOR_SHAPE; undefined if it is unknown or incomplete. */
export function cursorOf(event: ClientEvent): CursorPicture | undefined {
  const shape = event.as("CURSOR_SHAPE");
  if (shape === undefined || shape.state !== CURSOR_SHAPE_STATE.KNOWN) return undefined;
  const { width, height, hotX, hotY } = shape;
  if (!isCursorTold(shape) || event.body.length !== 4 * width * height) return undefined;
  return { width, height, hotX, hotY, words: new Int32Array(event.body.slice().buffer) };
}
