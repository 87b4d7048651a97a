/**
 * What a model sees of a screen, and where its pixels are on the real one. A screenshot is made smaller when
 * its longer side is too long; clicks are in the screenshot's pixels.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** Longest side of a screenshot, pixels, unless told. */
export const DEFAULT_LONGEST_SIDE = 1280;

/** A screen and the screenshot of it. */
export interface ScreenView {
  /** Pixels in a row of the real screen. */
  readonly screenWidth: number;
  /** Rows of the real screen. */
  readonly screenHeight: number;
  /** Pixels in a row of the screenshot. */
  readonly width: number;
  /** Rows of the screenshot. */
  readonly height: number;
}

/** A point in pixels. */
export interface Pixel {
  /** From the left. */
  readonly x: number;
  /** From the top. */
  readonly y: number;
}

/** The view of a screen whose longer side is at most `longest`; never larger than the screen. */
export function viewOf(
  screenWidth: number,
  screenHeight: number,
  longest = DEFAULT_LONGEST_SIDE,
): ScreenView {
  const factor = Math.min(1, longest / Math.max(screenWidth, screenHeight, 1));
  return {
    screenWidth,
    screenHeight,
    width: Math.max(1, Math.round(screenWidth * factor)),
    height: Math.max(1, Math.round(screenHeight * factor)),
  };
}

/**
 * The real screen's pixel in the middle of a screenshot's pixel.
 *
 * @throws {Fault} `bad-argument` off the screenshot
 */
export function toScreen({ x, y }: Pixel, view: ScreenView): Pixel {
  const { width, height, screenWidth, screenHeight } = view;
  if (!(x >= 0 && y >= 0 && x < width && y < height)) {
    throw new Fault(
      "bad-argument",
      `Cannot point at ${x},${y}: the screenshot has ${width}x${height} pixels, from 0,0 to ${width - 1},${
        height - 1
      }`,
    );
  }
  return {
    x: Math.min(screenWidth - 1, Math.floor((x + 0.5) * screenWidth / width)),
    y: Math.min(screenHeight - 1, Math.floor((y + 0.5) * screenHeight / height)),
  };
}

/** The screenshot's pixel of a real screen's pixel. */
export function toView({ x, y }: Pixel, view: ScreenView): Pixel {
  return {
    x: Math.min(view.width - 1, Math.floor((x + 0.5) * view.width / view.screenWidth)),
    y: Math.min(view.height - 1, Math.floor((y + 0.5) * view.height / view.screenHeight)),
  };
}
