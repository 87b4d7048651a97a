/**
 * Divides a frame into steps: the records that may reach the guest under one SYN_REPORT. A frame is atomic
 * towards other controls; but the guest must see each key and button go down and up, in order, which several
 * transitions under one SYN would not guarantee.
 *
 * A step is one key or button; or a motion, with each axis at most once; or one scroll record. In a release,
 * where order does not matter, many key-ups are one step.
 * @module
 */
import { INPUT_KIND } from "../../event/body_number.ts";
import type { InputFrame } from "./input_frame.ts";

const { ABS, REL, BTN, KEY } = INPUT_KIND;

/**
 * The end of the step that begins at a record.
 *
 * @param frame the frame
 * @param from the step's first record
 * @param releaseGroup number of key-ups of a release in one step
 * @returns the index after its last record
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

/** Whether a kind is a key or a button, which stays down until released. */
export function isTransition(kind: number | undefined): boolean {
  return kind === KEY || kind === BTN;
}
