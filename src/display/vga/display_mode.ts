/**
 * What a std VGA shows: a picture that lies in its memory, text, or something that is not read here.
 * @module
 */
import { type CardRule, type LinearMode, modeOf, type OtherMode } from "./dispi.ts";
import { type TextMode, textModeOf } from "./text_mode.ts";
import type { VgaRegisters } from "./vga_state.ts";

/** What a card shows. */
export type DisplayMode = LinearMode | TextMode | OtherMode;

/** The mode that a VGA's registers name, all of them being known. */
export function fullModeOf(registers: VgaRegisters, card: CardRule): DisplayMode {
  const mode = modeOf(registers.dispi, card);
  return mode.kind === "vga" && registers.hasCrt ? textModeOf(registers) ?? mode : mode;
}

/** Whether two modes are the same; a text mode is, as long as its picture has the same size. */
export function isSameMode(a: DisplayMode | undefined, b: DisplayMode): boolean {
  if (a?.kind !== b.kind) return false;
  if (a.kind === "text" && b.kind === "text") {
    return a.columns === b.columns && a.rows === b.rows && a.cellWidth === b.cellWidth &&
      a.cellHeight === b.cellHeight;
  }
  if (a.kind !== "linear" || b.kind !== "linear") return true;
  return a.width === b.width && a.height === b.height && a.bits === b.bits && a.stride === b.stride &&
    a.offset === b.offset;
}

/**
 * Whether one mode shows a picture like the other's, of 32 bits, that lies elsewhere in video memory: the
 * guest scrolls by that, or shows what it has drawn aside.
 */
export function isMoved(a: DisplayMode | undefined, b: DisplayMode): boolean {
  return a?.kind === "linear" && b.kind === "linear" && a.bits === 32 && b.bits === 32 &&
    a.width === b.width && a.height === b.height;
}

/** The size of a mode's picture; undefined for a mode without one. */
export function pictureSize(
  mode: DisplayMode | undefined,
): { readonly width: number; readonly height: number } | undefined {
  switch (mode?.kind) {
    case "linear":
      return mode;
    case "text":
      return { width: mode.columns * mode.cellWidth, height: mode.rows * mode.cellHeight };
    default:
      return undefined;
  }
}
