/**
 * The conditions about a screen, evaluated frame by frame: a state machine without clock and socket.
 *
 * What was there before a reset does not count. A picture right after a reset may be the old one, which the
 * firmware has not overwritten yet: so what matched when the guest was reset must be gone once before it
 * counts again.
 * @module
 */
import type { ScreenText } from "../display/text/screen_text.ts";
import { findPicture } from "../vgpu/find_picture.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";
import type { WaitCondition, WaitMatch } from "./wait_condition.ts";

/** A frame to be examined. */
export interface SeenFrame {
  /** Its number. */
  readonly frameId: number;
  /** Its pixels. */
  readonly picture: Picture;
  /** Its text; undefined if it was not requested, or there is none. */
  readonly text: ScreenText | undefined;
}

/** A condition about the screen. */
export type ScreenCondition = Exclude<
  WaitCondition,
  { readonly process: string } | { readonly state: string } | { readonly ready: true }
>;

/** Examines frames for one condition. */
export class ScreenWait {
  readonly #condition: ScreenCondition;
  #last: Picture | undefined;
  #frameId = 0;
  #held = false;
  /** Whether the current match existed before the reset and does not count. */
  #isStale: boolean;

  /**
   * A wait.
   *
   * @param condition the condition
   * @param isFresh whether what is there at first does not count either
   */
  constructor(condition: ScreenCondition, isFresh: boolean) {
    this.#condition = condition;
    this.#isStale = isFresh;
  }

  /** Why the last frame could not match, whatever it showed; "" when it could. */
  get misfit(): string {
    const { image, area } = this.#condition as { readonly image?: Picture; readonly area?: Rectangle };
    if (this.#last === undefined) return "";
    const { width, height } = this.#last;
    const screen = `the screen of ${width}x${height}`;
    if (area !== undefined && (area.x >= width || area.y >= height)) {
      return `the area was outside of ${screen}`;
    }
    if (image === undefined) return "";
    const right = Math.min(width, area === undefined ? Infinity : area.x + area.width);
    const bottom = Math.min(height, area === undefined ? Infinity : area.y + area.height);
    const fits = image.width <= right - (area?.x ?? 0) && image.height <= bottom - (area?.y ?? 0);
    const place = area === undefined ? screen : "the area";
    return fits ? "" : `the picture of ${image.width}x${image.height} did not fit into ${place}`;
  }

  /** Whether frames must come with their text. */
  get needsText(): boolean {
    return "text" in this.#condition;
  }

  /** Time for which nothing may change, ms; undefined for other conditions. */
  get stillMs(): number | undefined {
    return "stillMs" in this.#condition ? this.#condition.stillMs : undefined;
  }

  /** The guest was reset: a current match does not count until it was gone. */
  reset(): void {
    this.#isStale = this.#held;
  }

  /**
   * Examines a frame.
   *
   * @returns the match, if there is one; "changed" when the examined part differs from that of the last frame
   *   (or is the first); otherwise "same"
   */
  see(frame: SeenFrame): WaitMatch | "changed" | "same" {
    const difference = this.#difference(frame.picture);
    this.#last = frame.picture;
    this.#frameId = frame.frameId;
    const match = this.#match(frame, difference);
    this.#held = match !== undefined;
    if (match === undefined) this.#isStale = false;
    else if (!this.#isStale) return match;
    return difference === undefined ? "same" : "changed";
  }

  /** Nothing has changed for the requested time. */
  stoodStill(): WaitMatch {
    return { what: "still", stillMs: this.stillMs ?? 0, frameId: this.#frameId };
  }

  #match(frame: SeenFrame, difference: Rectangle | "first" | undefined): WaitMatch | undefined {
    const condition = this.#condition;
    const { frameId } = frame;
    if ("text" in condition) return matchText(condition.text, frame);
    if ("image" in condition) {
      const { image, area, tolerance = 0 } = condition;
      const found = findPicture(frame.picture, image, {
        tolerance,
        ...(area === undefined ? {} : { within: area }),
      });
      if (!found.found) return undefined;
      const { x, y, score } = found;
      return { what: "image", x, y, width: image.width, height: image.height, score, frameId };
    }
    if ("change" in condition && typeof difference === "object") {
      return { what: "change", ...difference, frameId };
    }
    return undefined;
  }

  /** The difference from the last frame within the part; "first" for the first one, and for another size. */
  #difference(picture: Picture): Rectangle | "first" | undefined {
    const last = this.#last;
    if (last === undefined) return "first";
    const { area } = this.#condition as { readonly area?: Rectangle };
    const whole = { x: 0, y: 0, width: picture.width, height: picture.height };
    if (last.width !== picture.width || last.height !== picture.height) return area ?? whole;
    return differenceOf(last, picture, area ?? whole);
  }
}

/** The first match in a screen's text. */
function matchText(expression: RegExp, { text, frameId }: SeenFrame): WaitMatch | undefined {
  if (text === undefined) return undefined;
  // A copy, because one with the flag g or y would continue from its last match.
  const once = new RegExp(expression.source, expression.flags.replace(/[gy]/g, ""));
  const all = text.lines.join("\n");
  const found = once.exec(all);
  if (found === null) return undefined;
  const before = all.slice(0, found.index);
  const row = before.split("\n").length - 1;
  const column = [...before.slice(before.lastIndexOf("\n") + 1)].length;
  return { what: "text", text: found[0], row, column, frameId };
}

/** The bounding rectangle of all pixels that differ within a part; undefined if none do. */
export function differenceOf(a: Picture, b: Picture, part: Rectangle): Rectangle | undefined {
  const [one, other] = [wordsOf(a), wordsOf(b)];
  const right = Math.min(a.width, part.x + part.width);
  const bottom = Math.min(a.height, part.y + part.height);
  let [left, top, end, last] = [right, bottom, 0, 0];
  for (let y = part.y; y < bottom; y++) {
    const row = y * a.width;
    let x = part.x;
    while (x < right && one[row + x] === other[row + x]) x++;
    if (x >= right) continue;
    let stop = right;
    while (one[row + stop - 1] === other[row + stop - 1]) stop--;
    left = Math.min(left, x);
    end = Math.max(end, stop);
    top = Math.min(top, y);
    last = y + 1;
  }
  return end === 0 ? undefined : { x: left, y: top, width: end - left, height: last - top };
}

function wordsOf({ rgba }: Picture): Int32Array {
  return new Int32Array(rgba.buffer, rgba.byteOffset, rgba.length >>> 2);
}
