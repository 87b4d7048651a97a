/**
 * Key names as models write them, which are those of X11: "Return", "Page_Down", "super+l".
 * @module
 */
import { parseChord } from "../client/chord.ts";

/** X11's names, in lower case without underscores, by those of `client/key_codes.ts`. */
const NAMES: Readonly<Record<string, string>> = {
  return: "enter",
  escape: "esc",
  super: "leftmeta",
  superl: "leftmeta",
  superr: "rightmeta",
  win: "leftmeta",
  cmd: "leftmeta",
  meta: "leftmeta",
  control: "leftctrl",
  controll: "leftctrl",
  controlr: "rightctrl",
  shiftl: "leftshift",
  shiftr: "rightshift",
  altl: "leftalt",
  altr: "rightalt",
  option: "leftalt",
  prior: "pageup",
  next: "pagedown",
  kpenter: "kpenter",
  print: "sysrq",
};

/**
 * A chord in the names that the client library knows.
 *
 * @throws {Fault} `bad-argument`, with the name that is closest
 */
export function chordOf(text: string): string {
  const chord = text.trim().replaceAll(/[A-Za-z][A-Za-z_]*/g, (word) => {
    const name = word.toLowerCase().replaceAll("_", "");
    return Object.hasOwn(NAMES, name) ? NAMES[name] ?? name : word;
  });
  parseChord(chord);
  return chord;
}
