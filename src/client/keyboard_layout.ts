/**
 * Keyboard layouts other than the US one: how to type a text on the guest's layout. AltGr and dead keys are
 * used where needed; a text with a character that the layout lacks is refused as a whole, before anything is
 * sent.
 *
 * A guest receives keys, not characters, and its layout cannot be queried. With a wrong layout, other
 * characters appear.
 * @module
 */
import { suggestion } from "../base/closest_name.ts";
import { Fault } from "../base/fault.ts";
import { type InputRecord, keyRecord } from "./input_record.ts";
import { keyCode } from "./key_codes.ts";
import { LAYOUT_KEYS, LAYOUT_TABLES, type LayoutTable } from "./layout_tables.ts";

/** One key and the modifiers held with it. */
export interface LayoutStroke {
  /** The key's evdev code. */
  readonly code: number;
  /** Whether Shift is held. */
  readonly isShifted: boolean;
  /** Whether AltGr is held. */
  readonly isAltGr: boolean;
}

const [LEFT_SHIFT, ALT_GR] = [keyCode("leftshift") ?? 0, keyCode("rightalt") ?? 0];
const SPACE: LayoutStroke = { code: keyCode("space") ?? 0, isShifted: false, isAltGr: false };
/** Keys that every layout has. */
const CONTROLS: readonly (readonly [character: string, key: string])[] = [["\n", "enter"], ["\t", "tab"]];
/** Stands for "types nothing" in the tables. */
const NOTHING = "\ufffd";
/** Characters typed by a dead key and the space bar, the same on all systems. */
const SPACING: ReadonlyMap<string, string> = new Map([["^", "\u0302"], ["`", "\u0300"], ["~", "\u0303"]]);
/** Keys that some keyboards lack: used only for characters that no other key types. */
const RARE_KEYS: ReadonlySet<number> = new Set([keyCode("102nd"), keyCode("ro")].map((code) => code ?? 0));
const COMBINING = /^\p{Mn}$/u;

/** A keyboard layout: which keys type which character. */
export class KeyboardLayout {
  /** Its name: "de". */
  readonly name: string;
  /** Its title: "German". */
  readonly title: string;
  readonly #direct = new Map<string, LayoutStroke>();
  readonly #dead = new Map<string, LayoutStroke>();

  /** Makes a layout from its table. */
  constructor({ name, title, rows }: LayoutTable) {
    this.name = name;
    this.title = title;
    for (const [character, key] of CONTROLS) {
      this.#direct.set(character, { code: keyCode(key) ?? 0, isShifted: false, isAltGr: false });
    }
    this.#addKeys(rows, (code) => !RARE_KEYS.has(code));
    this.#addKeys(rows, (code) => RARE_KEYS.has(code));
  }

  #addKeys(rows: readonly string[], isMeant: (code: number) => boolean): void {
    for (const [level, row] of rows.entries()) {
      for (const [at, character] of [...row].entries()) {
        const code = LAYOUT_KEYS[at] ?? 0;
        if (character === NOTHING || !isMeant(code)) continue;
        const strokes = COMBINING.test(character) ? this.#dead : this.#direct;
        // The first key stroke found is the one with the fewest modifiers.
        if (strokes.has(character)) continue;
        strokes.set(character, { code, isShifted: (level & 1) !== 0, isAltGr: (level & 2) !== 0 });
      }
    }
  }

  /**
   * The strokes for one character: one key, or a dead key and another one.
   *
   * @returns undefined when this layout cannot type it
   */
  strokesOf(character: string): readonly LayoutStroke[] | undefined {
    const direct = this.#direct.get(character);
    if (direct !== undefined) return [direct];
    const spacing = this.#dead.get(SPACING.get(character) ?? "");
    if (spacing !== undefined) return [spacing, SPACE];
    const [base = "", mark = "", ...more] = character.normalize("NFD");
    if (more.length > 0) return undefined;
    const [dead, plain] = [this.#dead.get(mark), this.#direct.get(base)];
    return dead === undefined || plain === undefined ? undefined : [dead, plain];
  }

  /**
   * Text as frames, one per key, which press and release it together with its modifiers, so that no key is
   * held after any frame.
   *
   * @throws {Fault} `bad-argument` when a character cannot be typed; line ends may be "\n" or "\r\n"
   */
  framesOfText(text: string): InputRecord[][] {
    const frames: InputRecord[][] = [];
    let position = 0;
    for (const character of text.normalize("NFC").replaceAll("\r\n", "\n")) {
      position++;
      const strokes = this.strokesOf(character);
      if (strokes === undefined) throw this.#untypable(character, position);
      frames.push(...strokes.map(recordsOf));
    }
    return frames;
  }

  #untypable(character: string, position: number): Fault {
    const point = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const others = LAYOUT_TABLES.map(layoutOfTable)
      .filter((layout) => layout.strokesOf(character) !== undefined)
      .map(({ name }) => name);
    const where = others.length === 0 ? "" : ` (it is on: ${others.join(", ")})`;
    return new Fault(
      "bad-argument",
      `Cannot type the text: character ${position} (${
        JSON.stringify(character)
      }, U+${point}) is not on the ` +
        `${this.name} layout${where}; nothing was typed`,
    );
  }
}

/** Layouts already made, by name. */
const made = new Map<string, KeyboardLayout>();

/** The names of all layouts, the US one first. */
export const LAYOUT_NAMES: readonly string[] = LAYOUT_TABLES.map(({ name }) => name);

/**
 * A layout by its name, "de".
 *
 * @throws {Fault} `bad-argument`, with the layouts that there are
 */
export function keyboardLayout(name: string): KeyboardLayout {
  const table = LAYOUT_TABLES.find((one) => one.name === name);
  if (table !== undefined) return layoutOfTable(table);
  throw new Fault(
    "bad-argument",
    `Cannot type on the layout ${JSON.stringify(name)}: there is none${suggestion(name, LAYOUT_NAMES)}; ` +
      `there are: ${LAYOUT_NAMES.join(", ")}`,
  );
}

function layoutOfTable(table: LayoutTable): KeyboardLayout {
  let layout = made.get(table.name);
  if (layout === undefined) made.set(table.name, layout = new KeyboardLayout(table));
  return layout;
}

function recordsOf({ code, isShifted, isAltGr }: LayoutStroke): InputRecord[] {
  const around = [...(isAltGr ? [ALT_GR] : []), ...(isShifted ? [LEFT_SHIFT] : [])];
  return [
    ...around.map((modifier) => keyRecord(modifier, true)),
    keyRecord(code, true),
    keyRecord(code, false),
    ...around.toReversed().map((modifier) => keyRecord(modifier, false)),
  ];
}
