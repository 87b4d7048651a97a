/**
 * The text of one endpoint's screen: out of a picture, with the fonts that every PC has and those that the
 * guest's own kernel has; and out of a Linux guest's consoles, where no picture shows it. What is learnt of a
 * kernel is kept for as long as it runs.
 * @module
 */
import { Fault } from "../../../base/fault.ts";
import type { GuestOs } from "../../../guest/guest_os.ts";
import { LinuxGuest } from "../../../guest/linux/linux_guest.ts";
import { vgaFonts } from "../../../display/text/glyph_font.ts";
import { GlyphReader } from "../../../display/text/glyph_reader.ts";
import { LinuxConsoles } from "../../../display/text/linux_console.ts";
import { readLinuxFonts } from "../../../display/text/linux_fonts.ts";
import { readConsoleTables } from "../../../display/text/linux_kernel_tables.ts";
import type { ScreenText } from "../../../display/text/screen_text.ts";
import type { RingCanvas } from "../ring_canvas.ts";

/** What was learnt of a kernel. */
interface Learnt {
  readonly os: GuestOs | undefined;
  readonly glyphs: GlyphReader;
  /** Its consoles; undefined for a guest that has none, or whose cannot be read. */
  readonly consoles: LinuxConsoles | undefined;
}

/** Reads the text of one endpoint's screens. */
export class TextReader {
  readonly #system: () => GuestOs | undefined;
  #learnt: Learnt | undefined;

  /**
   * Nothing is read yet.
   *
   * @param system the guest's system that is known to run now, if any
   */
  constructor(system: () => GuestOs | undefined) {
    this.#system = system;
  }

  /** The text in a canvas's picture; undefined when it shows none. */
  ofPicture({ width, height, stride, words }: RingCanvas): ScreenText | undefined {
    return this.#learn().glyphs.read({ width, height, strideWords: stride / 4, words, isRgb: false });
  }

  /** The text of a Linux guest's console in front; undefined where there is none that can be read. */
  ofConsole(): ScreenText | undefined {
    const { consoles } = this.#learn();
    try {
      const result = consoles?.read();
      return result?.state === "read" ? result.text : undefined;
    } catch (error) {
      // Its memory was truncated, or another system runs by now.
      if (error instanceof Fault) return undefined;
      throw error;
    }
  }

  #learn(): Learnt {
    const os = this.#system();
    if (this.#learnt === undefined || this.#learnt.os !== os) this.#learnt = learn(os);
    return this.#learnt;
  }
}

function learn(os: GuestOs | undefined): Learnt {
  try {
    const tables = os instanceof LinuxGuest ? readConsoleTables(os) : undefined;
    if (os instanceof LinuxGuest && tables !== undefined && !("unsupported" in tables)) {
      const glyphs = new GlyphReader([...readLinuxFonts(os, tables), ...vgaFonts()]);
      return { os, glyphs, consoles: new LinuxConsoles(os, tables) };
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
  return { os, glyphs: new GlyphReader(vgaFonts()), consoles: undefined };
}
