/**
 * The text of a VGA's text mode, directly from video memory: what firmware, a boot loader or any system shows
 * there, without a picture and without a font.
 * @module
 */
import {
  CellReader,
  cursorOf,
  PLAIN_COLOURS,
  PLAIN_TEXT,
  textColoursOf,
  textModeOf,
} from "../vga/text_mode.ts";
import type { VgaRegisters } from "../vga/vga_state.ts";
import type { VideoMemory } from "../vga/video_memory.ts";
import { CODE_PAGE_437 } from "./code_page_437.ts";
import { type ScreenText, TextBuilder } from "./screen_text.ts";

/** Reads the text of one VGA. */
export class VgaTextReader {
  readonly #reader = new CellReader();
  #cells = new Uint16Array(0);

  /**
   * Reads the screen.
   *
   * @param memory the VGA's
   * @param registers its registers; undefined where they are not known: 80 columns, 25 rows, from the start
   * @returns undefined in a mode without text, or when QEMU has gone
   */
  read(memory: VideoMemory, registers: VgaRegisters | undefined): ScreenText | undefined {
    const mode = registers === undefined ? PLAIN_TEXT : textModeOf(registers);
    if (mode === undefined) return undefined;
    const colours = registers === undefined ? PLAIN_COLOURS : textColoursOf(registers);
    const count = mode.columns * mode.rows;
    if (this.#cells.length !== count) this.#cells = new Uint16Array(count);
    if (!this.#reader.read(memory, mode, this.#cells)) return undefined;
    const text = new TextBuilder(mode.columns, mode.rows);
    for (const cell of this.#cells) {
      const character = CODE_PAGE_437[cell & 0xff] as string;
      text.add(character, colours[cell >>> 8 & 15] as number, colours[cell >>> 12] as number);
    }
    return text.finish("vga", cursorOf(mode));
  }
}
