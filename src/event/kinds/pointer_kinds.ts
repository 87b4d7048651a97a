/**
 * Kinds of what a person at the VM's own screen would see beside its picture: what the guest's cursor looks
 * like, and which lights of its keyboard are on.
 * @module
 */
import { type Layout, layout } from "../../base/layout.ts";
import { INLINE_BYTES, MAX_BODY_BYTES } from "../../base/limits.ts";
import { anyOf, type KindRow, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";
import { BASE_CAPS as CAP } from "./base_caps.ts";

/** Pixels of a cursor's side at most. */
export const MAX_CURSOR_SHAPE_SIDE = 256;
/** Pixels of a cursor at most: four bytes each in one body. */
export const MAX_CURSOR_SHAPE_PIXELS: number = MAX_BODY_BYTES / 4;

/** CURSOR_SHAPE.state: 0 = not known, 1 = it is the one in the body; of no pixels: none is to be seen. */
export const CURSOR_SHAPE_STATE = { UNKNOWN: 0, KNOWN: 1 } as const;

/** CURSOR_SHAPE: whose cursor the body is, and its pixel that points. */
export const CURSOR_SHAPE: Layout<
  {
    readonly head: readonly [0, "u32"];
    readonly state: readonly [4, "u32"];
    readonly width: readonly [8, "u16"];
    readonly height: readonly [10, "u16"];
    readonly hotX: readonly [12, "u16"];
    readonly hotY: readonly [14, "u16"];
  }
> = layout(INLINE_BYTES, {
  head: [0, "u32"],
  state: [4, "u32"],
  width: [8, "u16"],
  height: [10, "u16"],
  hotX: [12, "u16"],
  hotY: [14, "u16"],
});

/** Whether a cursor can be told: its sides are not too long, and the pixel that points is at it. */
export function isCursorTold({ width, height, hotX, hotY }: {
  readonly width: number;
  readonly height: number;
  readonly hotX: number;
  readonly hotY: number;
}): boolean {
  return Math.max(width, height) <= MAX_CURSOR_SHAPE_SIDE &&
    hotX >= 0 && hotY >= 0 && hotX <= width && hotY <= height;
}

/** Bits of KEYBOARD_LEDS; RFB and QEMU number them the same. */
export const LED = { SCROLL: 1, NUM: 2, CAPS: 4 } as const;

/** All of them. */
export const ALL_LEDS: number = LED.SCROLL | LED.NUM | LED.CAPS;

/** KEYBOARD_LEDS: which lights are on, where `known` is 1. */
export const KEYBOARD_LEDS: Layout<
  {
    readonly head: readonly [0, "u32"];
    readonly known: readonly [4, "u32"];
    readonly bits: readonly [8, "u32"];
  }
> = layout(INLINE_BYTES, { head: [0, "u32"], known: [4, "u32"], bits: [8, "u32"] });

/** Rows of the catalogue. */
export const POINTER_KINDS = {
  CURSOR_SHAPE: {
    // Its body has the pixels, row by row: blue, green, red, how opaque, a byte each.
    number: 147,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: CURSOR_SHAPE,
    needs: anyOf(CAP.FRAME),
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: MAX_BODY_BYTES,
    retained: 6,
    retainedBy: "head",
    publishable: true,
  },
  KEYBOARD_LEDS: {
    number: 148,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: KEYBOARD_LEDS,
    needs: anyOf(CAP.OBSERVE | CAP.INPUT),
    ...PLAIN,
    retained: 7,
    retainedBy: "head",
    publishable: true,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
