/**
 * Tools of keyboard and mouse. Their names and arguments are those of the computer-use tools that models were
 * trained on: coordinate, start_coordinate, text, scroll_direction, scroll_amount, duration.
 * @module
 */
import { z } from "zod";
import { Fault } from "../base/fault.ts";
import type { EndpointId } from "../base/ids.ts";
import { LAYOUT_NAMES } from "../client/keyboard_layout.ts";
import { type InputControl, typingOn } from "../client/input_control.ts";
import { type ButtonName, clickFramesAt, type Point } from "../client/mouse_frames.ts";
import { pointAt } from "../testing/click_target.ts";
import { chordOf } from "./chord_words.ts";
import { viewFor } from "./screen_tools.ts";
import { toScreen } from "./screen_view.ts";
import type { Seat } from "./seat.ts";
import { text, type Tool, tool, type ToolCall, VM } from "./tool.ts";

/** Characters that one call types. */
const MOST_TYPED = 10_000;
/** Seconds that a key is held. */
const MOST_HELD_S = 30;

const LEASE = " Takes keyboard and mouse for you when they are free.";
const COORDINATE = z.array(z.number().int().min(0).max(65535)).length(2)
  .describe("[x, y] in pixels of the last whole screenshot, from the top left");

/** `click`, `double_click`, `right_click`, `middle_click`. */
export const clicks: readonly Tool[] = ([
  ["click", "left", 1, "Clicks the left button"],
  ["double_click", "left", 2, "Clicks the left button twice"],
  ["right_click", "right", 1, "Clicks the right button"],
  ["middle_click", "middle", 1, "Clicks the middle button"],
] as const satisfies readonly (readonly [string, ButtonName, number, string])[]).map((
  [name, button, count, what],
) =>
  tool({
    name,
    description:
      `${what} at a pixel of the screenshot; where the pointer is if coordinate is left out.${LEASE}`,
    needs: ["INPUT"],
    changes: "guest",
    args: { vm: VM, coordinate: COORDINATE.optional() },
    run: async ({ vm, coordinate }, call) => {
      const endpoint = await call.seat.endpoint(vm);
      const at = coordinate === undefined ? undefined : await pointOf(call, endpoint, coordinate);
      return await done(call, endpoint, (input) => input.frames(clickFramesAt(at, button, count)));
    },
  })
);

/** `move`. */
export const move: Tool = tool({
  name: "move",
  description: `Moves the pointer to a pixel of the screenshot.${LEASE}`,
  needs: ["INPUT"],
  changes: "guest",
  args: { vm: VM, coordinate: COORDINATE },
  run: async ({ vm, coordinate }, call) => {
    const endpoint = await call.seat.endpoint(vm);
    const { x, y } = await pointOf(call, endpoint, coordinate);
    return await done(call, endpoint, (input) => input.move(x, y));
  },
});

/** `drag`. */
export const drag: Tool = tool({
  name: "drag",
  description: `Drags with the left button from start_coordinate to coordinate.${LEASE}`,
  needs: ["INPUT"],
  changes: "guest",
  args: {
    vm: VM,
    start_coordinate: COORDINATE,
    coordinate: COORDINATE,
    duration: z.number().min(0).max(MOST_HELD_S).optional().describe("Seconds (default 0.3)"),
  },
  run: async ({ vm, start_coordinate, coordinate, duration = 0.3 }, call) => {
    const endpoint = await call.seat.endpoint(vm);
    const from = await pointOf(call, endpoint, start_coordinate);
    const to = await pointOf(call, endpoint, coordinate);
    return await done(call, endpoint, (input) => input.drag(from, to, { durationMs: duration * 1000 }));
  },
});

/** `scroll`. */
export const scroll: Tool = tool({
  name: "scroll",
  description: `Turns the mouse wheel at a pixel of the screenshot.${LEASE}`,
  needs: ["INPUT"],
  changes: "guest",
  args: {
    vm: VM,
    coordinate: COORDINATE.optional(),
    scroll_direction: z.enum(["up", "down", "left", "right"]),
    scroll_amount: z.number().int().min(1).max(100).describe("Notches of the wheel"),
  },
  run: async ({ vm, coordinate, scroll_direction: way, scroll_amount: amount }, call) => {
    const endpoint = await call.seat.endpoint(vm);
    const at = coordinate === undefined ? undefined : await pointOf(call, endpoint, coordinate);
    const notches = way === "up" || way === "right" ? amount : -amount;
    return await done(call, endpoint, async (input) => {
      if (at !== undefined) await input.move(at.x, at.y);
      await input.scroll(notches, way === "left" || way === "right" ? 1 : 0);
    });
  },
});

/** `key`. */
export const key: Tool = tool({
  name: "key",
  description:
    `Presses a key or a chord and releases it: "Return", "ctrl+c", "ctrl+alt+Delete", "F2", "Page_Down".${LEASE}`,
  needs: ["INPUT"],
  changes: "guest",
  args: { vm: VM, text: z.string().min(1).max(200).describe("The key or chord") },
  run: async ({ vm, text: chord }, call) => {
    const endpoint = await call.seat.endpoint(vm);
    const keys = chordOf(chord);
    return await done(call, endpoint, (input) => input.key(keys));
  },
});

/** `hold_key`. */
const holdKey: Tool = tool({
  name: "hold_key",
  description: `Holds a key or a chord down for a time and releases it.${LEASE}`,
  needs: ["INPUT"],
  changes: "guest",
  args: {
    vm: VM,
    text: z.string().min(1).max(200).describe("The key or chord"),
    duration: z.number().min(0.01).max(MOST_HELD_S).describe(`Seconds, at most ${MOST_HELD_S}`),
  },
  run: async ({ vm, text: chord, duration }, call) => {
    const endpoint = await call.seat.endpoint(vm);
    const keys = chordOf(chord);
    return await done(call, endpoint, (input) => input.key(keys, duration * 1000));
  },
});

/** `type`. */
export const type: Tool = tool({
  name: "type",
  description:
    `Types text on the guest's keyboard layout; a line break is Enter. At most ${MOST_TYPED} characters ` +
    `per call; what the layout lacks is refused before anything is typed.${LEASE}`,
  needs: ["INPUT"],
  changes: "guest",
  args: {
    vm: VM,
    text: z.string().min(1).max(MOST_TYPED),
    layout: z.enum(LAYOUT_NAMES as [string, ...string[]]).optional()
      .describe("The guest's keyboard layout (default us)"),
  },
  run: async ({ vm, text: typed, layout = "us" }, call) => {
    const endpoint = await call.seat.endpoint(vm);
    const frames = (await typingOn(layout))(typed);
    return await done(
      call,
      endpoint,
      (input) => input.frames(frames),
      `typed ${typed.length} character${typed.length === 1 ? "" : "s"}`,
    );
  },
});

/** Takes or gives back keyboard and mouse, or lets a person have them. */
const leaseTake: Tool = tool({
  name: "lease_take",
  description: "Takes a VM's keyboard and mouse, and keeps them until lease_give_back or a minute without " +
    "input. When a person or another agent has them, waits for your turn for wait_s seconds.",
  needs: ["INPUT"],
  changes: "guest",
  args: { vm: VM, wait_s: z.number().min(0).max(300).optional().describe("Seconds (default 0)") },
  run: async ({ vm, wait_s = 0 }, { seat }) => {
    await seat.takeInput(await seat.endpoint(vm), wait_s * 1000);
    return text(
      "Keyboard and mouse are yours. Take a screenshot: the person who had them may have changed things.",
    );
  },
});

/** `lease_give_back`. */
const leaseGiveBack: Tool = tool({
  name: "lease_give_back",
  description: "Gives a VM's keyboard and mouse back, so that a person or another agent can use them.",
  needs: ["INPUT"],
  changes: "guest",
  args: { vm: VM },
  run: async ({ vm }, { seat }) =>
    text(await seat.giveBack(await seat.endpoint(vm)) ? "Given back." : "You did not have them."),
});

/** All of them. */
export const INPUT_TOOLS: readonly Tool[] = [
  ...clicks,
  move,
  drag,
  scroll,
  key,
  holdKey,
  type,
  leaseTake,
  leaseGiveBack,
];

async function done(
  { seat, signal }: ToolCall,
  endpoint: EndpointId,
  use: (input: InputControl) => Promise<void>,
  what = "done",
) {
  await seat.withInput(endpoint, signal, use);
  if (signal.aborted) throw new Fault("interrupted", "Cannot go on: the call was cancelled");
  return text(`${what}. Take a screenshot or use wait to see what came of it.`);
}

async function pointOf(
  { seat, signal }: { readonly seat: Seat; readonly signal: AbortSignal },
  endpoint: EndpointId,
  [x = 0, y = 0]: readonly number[],
): Promise<Point> {
  const view = await viewFor(seat, endpoint, signal);
  const at = toScreen({ x, y }, view);
  return pointAt(at.x, at.y, { width: view.screenWidth, height: view.screenHeight, columns: 0, rows: 0 });
}
