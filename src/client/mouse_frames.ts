/**
 * Pointer actions as frames. Coordinates are those of the protocol, 0 to 0x7FFF on each axis whatever the
 * screen's size.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { absRecord, buttonRecord, type InputRecord } from "./input_record.ts";

/** The largest coordinate. */
export const MAX_ABS = 0x7fff;

/** Buttons by name, with their evdev codes. */
export const BUTTONS = { left: 0x110, right: 0x111, middle: 0x112, side: 0x113, extra: 0x114 } as const;
/** A button's name. */
export type ButtonName = keyof typeof BUTTONS;

/** A point on the screen. */
export interface Point {
  /** From the left, 0 to 0x7FFF. */
  readonly x: number;
  /** From the top, 0 to 0x7FFF. */
  readonly y: number;
}

/**
 * Moves the pointer to a point.
 *
 * @throws {Fault} `bad-argument` when it is out of range
 */
export function moveFrame({ x, y }: Point): InputRecord[] {
  for (const value of [x, y]) {
    if (!Number.isInteger(value) || value < 0 || value > MAX_ABS) {
      throw new Fault(
        "bad-argument",
        `Cannot move the pointer to ${x} ${y}: coordinates are whole numbers from 0 to ${MAX_ABS}, whatever the screen's size`,
      );
    }
  }
  return [absRecord(0, x), absRecord(1, y)];
}

/** Presses and releases a button in two frames, so that a guest which samples states sees both. */
export function clickFrames(button: ButtonName): InputRecord[][] {
  return [[buttonRecord(BUTTONS[button], true)], [buttonRecord(BUTTONS[button], false)]];
}

/**
 * Clicks at a point: the first frame both moves the pointer and presses the button, and is carried out or
 * refused as a whole. So no frame has to wait for another's acknowledgement, and no button is ever pressed at
 * the pointer's old position.
 *
 * @param at the point; undefined: the pointer's current position
 * @param count number of clicks
 */
export function clickFramesAt(at: Point | undefined, button: ButtonName, count = 1): InputRecord[][] {
  const frames = Array.from({ length: count }, () => clickFrames(button)).flat();
  if (at !== undefined) frames[0]?.unshift(...moveFrame(at));
  return frames;
}

/**
 * The points of a straight line, with its end and without its start.
 *
 * @param steps number of points, at least 1
 */
export function pointsBetween(from: Point, to: Point, steps: number): Point[] {
  return Array.from({ length: steps }, (_, i) => ({
    x: Math.round(from.x + (to.x - from.x) * (i + 1) / steps),
    y: Math.round(from.y + (to.y - from.y) * (i + 1) / steps),
  }));
}
