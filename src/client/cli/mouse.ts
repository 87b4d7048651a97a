/**
 * `vmsig mouse`: moves, clicks, drags, scrolls.
 * @module
 */
import { suggestion } from "../../base/closest_name.ts";
import { type InputControl, takeInput } from "../input_control.ts";
import { type ButtonName, BUTTONS, MAX_ABS, moveFrame, type Point } from "../mouse_frames.ts";
import type { Call, CommandModule } from "./command.ts";
import { understood, usage } from "./command_line.ts";
import { done, inputOptions, TIMEOUT_OPTION } from "./input_command.ts";
import { visible } from "./table.ts";

type Action = (input: InputControl) => Promise<void>;

/** The command. */
export const mouse: CommandModule = {
  args: { min: 2, max: 6 },
  options: {
    ...TIMEOUT_OPTION,
    hold: {
      takes: "number",
      value: "MS",
      max: 3_600_000,
      help: "down: keep the button down for this long (0)",
    },
    steps: { takes: "number", value: "N", min: 1, max: 10_000, help: "drag: number of steps (16)" },
    duration: {
      takes: "number",
      value: "MS",
      max: 3_600_000,
      help: "drag: how long the drag takes (as fast as possible)",
    },
    horizontal: { takes: "nothing", help: "scroll: the horizontal wheel" },
  },
  details:
    `X and Y go from 0 to ${MAX_ABS} on each axis, whatever the screen's size, or are percentages of it: 50%. Buttons: ${
      Object.keys(BUTTONS).join(", ")
    }.
scroll turns the wheel N notches up, or down when N is negative. Acquires the input lease for the command, and fails with "busy" if another control owns it. Buttons that are still held when the command ends are released with the lease: to keep one down, use --hold or drag.`,
  examples: [
    "mouse web move 16384 16384",
    "mouse web move 50% 50%",
    "mouse web click right",
    "mouse web drag 10% 10% 80% 10% --duration 500",
    "mouse web scroll -3",
  ],
  async run(call) {
    const [ref = "", verb = "", ...rest] = call.args;
    const action = actionOf(call, verb, rest);
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    await using input = await takeInput(client, ref, inputOptions(call));
    await action(input);
    done(call, client, input.lease.endpoint, { action: verb }, verb);
  },
};

const ARGUMENTS: Readonly<Record<string, readonly [min: number, max: number, form: string]>> = {
  move: [2, 2, "move X Y"],
  click: [0, 1, "click [left|middle|right]"],
  down: [0, 1, "down [BUTTON]"],
  up: [0, 1, "up [BUTTON]"],
  drag: [4, 4, "drag X1 Y1 X2 Y2"],
  scroll: [1, 1, "scroll N"],
};

/** Parses the whole line before anything is sent. */
function actionOf(call: Call, verb: string, rest: readonly string[]): Action {
  const form = ARGUMENTS[Object.hasOwn(ARGUMENTS, verb) ? verb : ""];
  if (form === undefined) {
    throw usage("mouse", `there is no action ${visible(verb)}${suggestion(verb, Object.keys(ARGUMENTS))}`);
  }
  if (rest.length < form[0] || rest.length > form[1]) {
    throw usage("mouse", `${verb} has ${rest.length} arguments; it goes: ${form[2]}`);
  }
  switch (verb) {
    case "move": {
      const { x, y } = pointOf(rest, 0);
      return (input) => input.move(x, y);
    }
    case "drag": {
      const [from, to] = [pointOf(rest, 0), pointOf(rest, 2)];
      const options = { steps: call.number("steps") ?? 16, durationMs: call.number("duration") ?? 0 };
      return (input) => input.drag(from, to, options);
    }
    case "scroll": {
      const notches = notchesOf(rest[0] ?? "");
      return (input) => input.scroll(notches, call.flag("horizontal") ? 1 : 0);
    }
    default:
      return buttonAction(call, verb, buttonOf(rest[0] ?? "left"));
  }
}

function buttonAction(call: Call, verb: string, button: ButtonName): Action {
  if (verb === "click") return (input) => input.click(button);
  if (verb === "up") return (input) => input.up(button);
  const holdMs = call.number("hold") ?? 0;
  return async (input) => {
    await input.down(button);
    if (holdMs > 0) await input.wait(holdMs);
  };
}

function pointOf(rest: readonly string[], at: number): Point {
  const point = { x: coordinate(rest[at] ?? ""), y: coordinate(rest[at + 1] ?? "") };
  understood("mouse", () => moveFrame(point));
  return point;
}

function coordinate(text: string): number {
  const percent = /^([0-9]+(?:\.[0-9]+)?)%$/.exec(text)?.[1];
  if (percent !== undefined) return Math.round(Number(percent) / 100 * MAX_ABS);
  if (!/^-?[0-9]+$/.test(text)) {
    throw usage("mouse", `${visible(text)} is not a valid coordinate: write 0 to ${MAX_ABS}, or 0% to 100%`);
  }
  return Number(text);
}

function notchesOf(text: string): number {
  const notches = Number(text);
  if (!/^[-+]?[0-9]+$/.test(text) || notches === 0 || Math.abs(notches) > 1000) {
    throw usage(
      "mouse",
      `${visible(text)} is not a number of notches: write 1 to 1000, or negative to scroll down`,
    );
  }
  return notches;
}

function buttonOf(text: string): ButtonName {
  if (Object.hasOwn(BUTTONS, text)) return text as ButtonName;
  throw usage("mouse", `there is no button ${visible(text)}${suggestion(text, Object.keys(BUTTONS))}`);
}
