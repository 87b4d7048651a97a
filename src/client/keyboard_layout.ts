/**
 * Keyboards other than the US one: how a text is typed on the layout that the guest has. AltGr and dead keys
 * are used where a layout needs them; what it cannot type is refused whole, before anything is sent.
 *
 * A guest is told keys, not characters: which layout it has cannot be asked from here. What is typed under
 * another layout than the guest's comes out as other characters.
 * @module
 */
import { suggestion } from "../base/closest_name.ts";
import { Fault } from "../base/fault.ts";
import { type InputRecord, keyRecord } from "./input_record.ts";
import { keyCode } from "./key_codes.ts";
import { LAYOUT_KEYS, LAYOUT_TABLES, type LayoutTable } from "./layout_tables.ts";

/** One key with what is down beside it. */
export interface LayoutStroke {
  /** The key's evdev code. */
  readonly code: number;
  /** Whether with shift. */
  readonly isShifted: boolean;
  /** Whether with AltGr. */
  readonly isAltGr: boolean;
}

const [LEFT_SHIFT, ALT_GR] = [keyCode("leftshift") ?? 0, keyCode("rightalt") ?? 0];
const SPACE: LayoutStroke = { code: keyCode("space") ?? 0, isShifted: false, isAltGr: false };
/** Keys that every layout has. */
const CONTROLS: readonly (readonly [character: string, key: string])[] = [["\n", "enter"], ["\t", "tab"]];
/** What types nothing, in the tables. */
const NOTHING = "\ufffd";
/** Characters that a dead key and the space bar give, on every system alike. */
const SPACING: ReadonlyMap<string, string> = new Map([["^", "\u0302"], ["`", "\u0300"], ["~", "\u0303"]]);
/** Keys that not every keyboard has: taken for what no other key types. */
const RARE_KEYS: ReadonlySet<number> = new Set([keyCode("102nd"), keyCode("ro")].map((code) => code ?? 0));
const COMBINING = /^\p{Mn}$/u;

/** A keyboard layout: which keys type a character. */
export class KeyboardLayout {
  /** What it is called: "de". */
  readonly name: string;
  /** What people call it: "German". */
  readonly title: string;
  readonly #direct = new Map<string, LayoutStroke>();
  readonly #dead = new Map<string, LayoutStroke>();

  /** A layout out of its table. */
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
        // The first is the one with the fewest modifiers.
        if (strokes.has(character)) continue;
        strokes.set(character, { code, isShifted: (level & 1) !== 0, isAltGr: (level & 2) !== 0 });
      }
    }
  }

  /**
   * The keys of one character: one stroke, or a dead key's and another.
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
   * Text as frames: one for each key, pressed and released with its modifiers around it, so that every frame
   * leaves the keyboard neutral.
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

/** Layouts that were made, by name. */
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
