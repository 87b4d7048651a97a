/**
 * What the guest's cursor looks like and which lights of its keyboard are on, as the daemon told them last:
 * they are told when they change, and a viewer may come later.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { EndpointId } from "../base/ids.ts";
import { MAX_HEADS } from "../base/limits.ts";
import type { CursorPicture } from "../display/canvas.ts";
import { ROSTER_STATE } from "../event/body_number.ts";
import { CURSOR_SHAPE_STATE, isCursorTold } from "../event/kinds/pointer_kinds.ts";
import type { ClientEvent } from "./client_event.ts";

/** What is known of one head; undefined: it is not known. */
export interface PointerNews {
  /** What the cursor looks like; of no pixels: none is to be seen. */
  readonly cursor: CursorPicture | undefined;
  /** Lights that are on: 1 scroll lock, 2 num lock, 4 caps lock. */
  readonly leds: number | undefined;
}

const NOTHING: PointerNews = { cursor: undefined, leds: undefined };

/** What is known of all heads. */
export class PointerBook {
  readonly #known = new Map<string, PointerNews>();

  /** Takes an event in. @returns whether something of its endpoint is other than before */
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

  /** What is known of a head. */
  of(endpoint: EndpointId, head: number): PointerNews {
    assert(head >= 0 && head < MAX_HEADS, "a head has a number");
    return this.#known.get(`${endpoint}:${head}`) ?? NOTHING;
  }

  /** Forgets all. */
  clear(): void {
    this.#known.clear();
  }
}

/** The cursor of a CURSOR_SHAPE; undefined where it is not known, or not whole. */
export function cursorOf(event: ClientEvent): CursorPicture | undefined {
  const shape = event.as("CURSOR_SHAPE");
  if (shape === undefined || shape.state !== CURSOR_SHAPE_STATE.KNOWN) return undefined;
  const { width, height, hotX, hotY } = shape;
  if (!isCursorTold(shape) || event.body.length !== 4 * width * height) return undefined;
  return { width, height, hotX, hotY, words: new Int32Array(event.body.slice().buffer) };
}
