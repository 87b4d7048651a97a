/**
 * The US keyboard layout: which key types a character, and whether Shift is needed. A text with a character
 * that the layout lacks is refused as a whole, before anything is sent.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { type InputRecord, keyRecord } from "./input_record.ts";
import { keyCode } from "./key_codes.ts";

/** A key stroke. */
export interface KeyStroke {
  /** The key's evdev code. */
  readonly code: number;
  /** Whether Shift is held. */
  readonly shift: boolean;
}

const LEFT_SHIFT = code("leftshift");

// Character without shift, character with shift, key; letters are added below.
const PAIRS =
  "`~grave 1!1 2@2 3#3 4$4 5%5 6^6 7&7 8*8 9(9 0)0 -_minus =+equal [{leftbrace ]}rightbrace \\|backslash ;:semicolon '\"apostrophe ,<comma .>dot /?slash";

/** Character to key stroke. */
export const US_LAYOUT: ReadonlyMap<string, KeyStroke> = makeLayout();

/**
 * Text as frames, one per character, which press and release its key, with Shift if needed. No key is held
 * after any frame.
 *
 * @throws {Fault} `bad-argument` when a character is not on the layout; line ends may be "\n" or "\r\n"
 */
export function framesOfText(text: string): InputRecord[][] {
  const frames: InputRecord[][] = [];
  let position = 0;
  for (const character of text.replaceAll("\r\n", "\n")) {
    position++;
    const stroke = US_LAYOUT.get(character);
    if (stroke === undefined) throw untypable(character, position);
    frames.push(recordsOfStroke(stroke));
  }
  return frames;
}

/** The records that type one character. */
export function recordsOfStroke({ code, shift }: KeyStroke): InputRecord[] {
  const press = [keyRecord(code, true), keyRecord(code, false)];
  return shift ? [keyRecord(LEFT_SHIFT, true), ...press, keyRecord(LEFT_SHIFT, false)] : press;
}

function untypable(character: string, position: number): Fault {
  const point = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return new Fault(
    "bad-argument",
    `Cannot type the text: character ${position} (${
      JSON.stringify(character)
    }, U+${point}) is not on the US layout; nothing was typed`,
  );
}

function makeLayout(): Map<string, KeyStroke> {
  const layout = new Map<string, KeyStroke>();
  for (const pair of PAIRS.split(" ")) {
    const key = code(pair.slice(2));
    layout.set(pair.charAt(0), { code: key, shift: false });
    layout.set(pair.charAt(1), { code: key, shift: true });
  }
  for (const letter of "abcdefghijklmnopqrstuvwxyz") {
    layout.set(letter, { code: code(letter), shift: false });
    layout.set(letter.toUpperCase(), { code: code(letter), shift: true });
  }
  layout.set(" ", { code: code("space"), shift: false });
  layout.set("\n", { code: code("enter"), shift: false });
  layout.set("\t", { code: code("tab"), shift: false });
  return layout;
}

function code(name: string): number {
  return keyCode(name) ?? 0;
}
