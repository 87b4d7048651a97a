/**
 * Chords in the usual notation: "ctrl-alt-delete", "f5", "shift+a", "ctrl--". Keys have the names of
 * `key_codes.ts`, or the character that they type on a US keyboard.
 * @module
 */
import { suggestion } from "../base/closest_name.ts";
import { Fault } from "../base/fault.ts";
import { type InputRecord, keyRecord } from "./input_record.ts";
import { KEY_CODES, keyCode } from "./key_codes.ts";
import { US_LAYOUT } from "./us_layout.ts";

const MAX_KEYS = 16;

/**
 * The keys of a chord, in the order in which they are pressed.
 *
 * @throws {Fault} `bad-argument`, suggesting the closest name
 */
export function parseChord(text: string): number[] {
  const codes: number[] = [];
  for (const name of keysOf(text)) {
    for (const code of codesOf(name, text)) {
      if (!codes.includes(code)) codes.push(code);
    }
  }
  if (codes.length === 0) throw bad(text, "it names no key");
  if (codes.length > MAX_KEYS) throw bad(text, `it has more than ${MAX_KEYS} keys`);
  return codes;
}

/** Presses all keys of a chord, in order. */
export function pressRecords(codes: readonly number[]): InputRecord[] {
  return codes.map((code) => keyRecord(code, true));
}

/** Releases all keys of a chord, the last one first. */
export function releaseRecords(codes: readonly number[]): InputRecord[] {
  return codes.map((code) => keyRecord(code, false)).reverse();
}

// A separator in place of a key's name stands for that key: "ctrl--", "ctrl-+", "-".
function keysOf(text: string): string[] {
  const names: string[] = [];
  const isSeparator = (c: string | undefined) => c === "-" || c === "+";
  for (let at = 0; at < text.length;) {
    let end = at + 1;
    while (end < text.length && !isSeparator(text[end]) && !isSeparator(text[at])) end++;
    names.push(text.slice(at, end));
    if (end === text.length) break;
    if (!isSeparator(text[end])) {
      throw bad(text, `between ${text.slice(at, end)} and the next key there is no -`);
    }
    at = end + 1;
    if (at === text.length) throw bad(text, `a key is missing behind the last ${text[end]}`);
  }
  return names;
}

function codesOf(name: string, text: string): number[] {
  const named = keyCode(name);
  if (named !== undefined) return [named];
  const stroke = US_LAYOUT.get(name);
  if (stroke === undefined) {
    throw bad(text, `there is no key ${JSON.stringify(name)}${suggestion(name, KEY_CODES.keys())}`);
  }
  return stroke.shift ? [keyCode("leftshift") ?? 0, stroke.code] : [stroke.code];
}

function bad(text: string, why: string): Fault {
  return new Fault("bad-argument", `Cannot press ${JSON.stringify(text)}: ${why}`);
}
