/**
 * Where a click goes: to a place that was seen on the screen, in the pointer's own coordinates.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { WaitMatch } from "../client/wait_condition.ts";
import { MAX_ABS, type Point } from "../client/mouse_frames.ts";
import type { Needle } from "./needle_file.ts";
import type { NeedleMatch } from "./needle_match.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";

/** What is clicked on. */
export type ClickTarget =
  /** The middle of a text, once it is there, on a text screen whose first cell is at the corner. */
  | { readonly text: RegExp | string }
  /** The middle of a picture on the screen, once it is there: pixels, or a PNG file's path. */
  | { readonly image: Picture | string; readonly area?: Rectangle; readonly tolerance?: number }
  /** One of openQA's needles, or its file's path: its click point, or the middle of its last area. */
  | { readonly needle: Needle | string }
  /** A pixel, from the screen's left and top. */
  | { readonly x: number; readonly y: number };

/** A screen's size in pixels, and in cells where it is a text screen. */
export interface ScreenSize {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows of pixels. */
  readonly height: number;
  /** Cells in a line; 0 where there are none. */
  readonly columns: number;
  /** Lines of cells; 0 where there are none. */
  readonly rows: number;
}

/** A target in words, for a trace. */
export function describeTarget(target: ClickTarget): string {
  if ("text" in target) return `the text ${JSON.stringify(`${target.text}`)}`;
  if ("x" in target) return `${target.x},${target.y}`;
  const named = "image" in target ? target.image : target.needle;
  return typeof named === "string" ? named : "a picture";
}

/** The pixel in the middle of what was found. */
export function middleOf(match: WaitMatch, size: ScreenSize): { readonly x: number; readonly y: number } {
  if (match.what === "image") {
    return { x: match.x + match.width / 2, y: match.y + match.height / 2 };
  }
  if (match.what !== "text" || size.columns === 0 || size.rows === 0) {
    throw new Fault("not-supported", "Cannot click on it: it has no place on the screen");
  }
  // A text over several lines is clicked on in its first one.
  const [line = ""] = match.text.split("\n");
  const [cellWidth, cellHeight] = [
    Math.floor(size.width / size.columns),
    Math.floor(size.height / size.rows),
  ];
  return {
    x: (match.column + [...line].length / 2) * cellWidth,
    y: (match.row + 0.5) * cellHeight,
  };
}

/**
 * Where a click on a needle goes: the click point of the first area that has one, or else the middle of the
 * last area.
 */
export function clickPointOf({ areas }: NeedleMatch): { readonly x: number; readonly y: number } {
  const said = areas.find(({ clickPoint }) => clickPoint !== undefined)?.clickPoint;
  const last = areas.at(-1);
  if (said !== undefined || last === undefined) return said ?? { x: 0, y: 0 };
  return { x: last.x + last.width / 2, y: last.y + last.height / 2 };
}

/**
 * A pixel as the pointer's coordinates.
 *
 * @throws {Fault} `bad-argument` when it is not on the screen
 */
export function pointAt(x: number, y: number, { width, height }: ScreenSize): Point {
  if (!(x >= 0 && y >= 0 && x < width && y < height)) {
    throw new Fault(
      "bad-argument",
      `Cannot point at ${x},${y}: the screen has ${width}x${height} pixels, from 0,0`,
    );
  }
  const scale = (value: number, size: number): number =>
    size < 2 ? 0 : Math.min(MAX_ABS, Math.round(value * MAX_ABS / (size - 1)));
  return { x: scale(x, width), y: scale(y, height) };
}
