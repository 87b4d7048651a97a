/**
 * Cuts a frame into steps: what may reach the guest under one SYN_REPORT. A frame is atomic against other
 * controls; within it the guest must still see each key and button go down and up, in order, which several
 * transitions under one SYN would not grant.
 *
 * A step is one key or button; or a motion: each axis at most once; or one scroll record. In a release, whose
 * order means nothing, many key-ups are one step.
 * @module
 */
import { INPUT_KIND } from "../../event/body_number.ts";
import type { InputFrame } from "./input_frame.ts";

const { ABS, REL, BTN, KEY } = INPUT_KIND;

/**
 * Where the step that starts at a record ends.
 *
 * @param frame the frame
 * @param from the step's first record
 * @param releaseGroup how many key-ups of a release are one step
 * @returns one past its last record
 */
export function stepEnd(frame: InputFrame, from: number, releaseGroup: number): number {
  if (frame.isRelease) return Math.min(frame.count, from + releaseGroup);
  let axes = 0;
  for (let i = from; i < frame.count; i++) {
    const kind = frame.kinds[i];
    if (kind !== ABS && kind !== REL) return i === from ? i + 1 : i;
    const axis = 1 << ((kind === ABS ? 0 : 2) + (frame.codes[i] ?? 0));
    if ((axes & axis) !== 0) return i;
    axes |= axis;
  }
  return frame.count;
}

/** Whether a kind is a key or a button, which stays down until it is released. */
export function isTransition(kind: number | undefined): boolean {
  return kind === KEY || kind === BTN;
}
