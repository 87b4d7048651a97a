/**
 * What an endpoint's config may say of its display.
 * @module
 */
import { FRAME_SOURCE, type FrameSourceName } from "../../event/body_number.ts";

/** A choice: one way to read the display, the best of them, or none at all. */
export type DisplayChoice = "auto" | FrameSourceName | "none";
/** The choices. */
export const DISPLAY_CHOICES: readonly DisplayChoice[] = [
  "auto",
  ...Object.keys(FRAME_SOURCE).map((name) => name.toLowerCase() as FrameSourceName),
  "none",
];
