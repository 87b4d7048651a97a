/**
 * Converts records of a frame to QEMU's InputEvent (qapi/ui.json), and QEMU's replies to outcomes.
 * @module
 */
import { INPUT_KIND } from "../../event/body_number.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { StepOutcome } from "./input_driver.ts";
import type { InputFrame } from "./input_frame.ts";
import { QCODE_OF_KEY, QEMU_BUTTON_OF } from "./qmp_keys.ts";

const { ABS, REL, BTN, KEY } = INPUT_KIND;
const AXES = ["x", "y"] as const;

/** One notch of a wheel, which is a button in QEMU: axis 0 vertical, 1 horizontal. */
export function notchEvents(axis: number, forward: boolean): object[] {
  const button = axis === 0
    ? (forward ? "wheel-up" : "wheel-down")
    : (forward ? "wheel-right" : "wheel-left");
  return [
    { type: "btn", data: { button, down: true } },
    { type: "btn", data: { button, down: false } },
  ];
}

/** Whether a frame has absolute motion, which needs a tablet. */
export function hasAbsolute(frame: InputFrame): boolean {
  for (let i = 0; i < frame.count; i++) if (frame.kinds[i] === ABS) return true;
  return false;
}

/** Whether a step has keys, which go to another device than the rest. A release with both counts as keys. */
export function hasKeys(frame: InputFrame, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (frame.kinds[i] === KEY) return true;
  return false;
}

/** The outcome of a step, from its reply. */
export function outcomeOf(reply: QmpReply): StepOutcome {
  switch (reply.outcome) {
    case "done":
      return "applied";
    case "error":
    case "unsent":
      return "refused";
    default:
      return "uncertain";
  }
}

/** The records `from` to `to` of a frame, without scrolling, for input-send-event. */
export function eventsOf(frame: InputFrame, from: number, to: number): object[] {
  const events: object[] = [];
  for (let i = from; i < to; i++) {
    const code = frame.codes[i] ?? 0;
    const value = frame.values[i] ?? 0;
    switch (frame.kinds[i]) {
      case KEY:
        events.push({
          type: "key",
          data: { key: { type: "qcode", data: QCODE_OF_KEY[code] }, down: value === 1 },
        });
        break;
      case BTN:
        events.push({ type: "btn", data: { button: QEMU_BUTTON_OF[code], down: value === 1 } });
        break;
      case ABS:
        events.push({ type: "abs", data: { axis: AXES[code], value } });
        break;
      case REL:
        events.push({ type: "rel", data: { axis: AXES[code], value } });
        break;
    }
  }
  return events;
}
