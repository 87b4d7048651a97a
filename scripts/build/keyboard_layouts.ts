/**
 * Makes src/client/layout_tables.ts: which key gives which character on the keyboards of many countries, as
 * xkeyboard-config (Debian's xkb-data, MIT) has them and libxkbcommon reads them.
 *
 *   deno run -A scripts/build/keyboard_layouts.ts
 *
 * A layout is four rows, one for each state of the modifiers (none, shift, AltGr, shift and AltGr); a row
 * has one character for each key of KEYS. A dead key is written as the combining character that it puts on
 * the next one; a key that types no character there as U+FFFD.
 * @module
 */

/** Name here, layout and variant there, and what people call it. */
const LAYOUTS: readonly (readonly [name: string, layout: string, variant: string, title: string])[] = [
  ["us", "us", "", "US"],
  ["us-intl", "us", "intl", "US, international, with dead keys"],
  ["gb", "gb", "", "United Kingdom"],
  ["de", "de", "", "German"],
  ["de-nodeadkeys", "de", "nodeadkeys", "German without dead keys"],
  ["fr", "fr", "", "French"],
  ["es", "es", "", "Spanish"],
  ["latam", "latam", "", "Spanish of Latin America"],
  ["it", "it", "", "Italian"],
  ["pt", "pt", "", "Portuguese"],
  ["br", "br", "", "Portuguese of Brazil"],
  ["be", "be", "", "Belgian"],
  ["nl", "nl", "", "Dutch"],
  ["ch", "ch", "", "Swiss, German"],
  ["ch-fr", "ch", "fr", "Swiss, French"],
  ["dk", "dk", "", "Danish"],
  ["no", "no", "", "Norwegian"],
  ["se", "se", "", "Swedish"],
  ["fi", "fi", "", "Finnish"],
  ["pl", "pl", "", "Polish"],
  ["cz", "cz", "", "Czech"],
  ["hu", "hu", "", "Hungarian"],
  ["tr", "tr", "", "Turkish"],
];
/** evdev codes of the keys that differ between layouts: the four rows, the key beside left shift, the bar. */
const KEYS = [
  ...[41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
  ...[16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27],
  ...[30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 43],
  ...[86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 89],
  57,
];
const RIGHT_ALT = 100;
/** XKB's key codes are evdev's and 8. */
const XKB_OFFSET = 8;
/** Real modifiers of XKB: shift, and the fifth, which is AltGr's third level. */
const LEVELS: readonly number[] = [0, 0x01, 0x80, 0x81];
/** Dead keys' keysyms by name, and the combining character of each. */
const DEAD: ReadonlyMap<string, number> = new Map([
  ["dead_grave", 0x300],
  ["dead_acute", 0x301],
  ["dead_circumflex", 0x302],
  ["dead_tilde", 0x303],
  ["dead_macron", 0x304],
  ["dead_breve", 0x306],
  ["dead_abovedot", 0x307],
  ["dead_diaeresis", 0x308],
  ["dead_hook", 0x309],
  ["dead_abovering", 0x30a],
  ["dead_doubleacute", 0x30b],
  ["dead_caron", 0x30c],
  ["dead_horn", 0x31b],
  ["dead_belowdot", 0x323],
  ["dead_cedilla", 0x327],
  ["dead_ogonek", 0x328],
]);
const NOTHING = "\ufffd";
const TARGET = new URL("../../src/client/layout_tables.ts", import.meta.url);

const xkb = Deno.dlopen("libxkbcommon.so.0", {
  xkb_context_new: { parameters: ["u32"], result: "pointer" },
  xkb_keymap_new_from_names: { parameters: ["pointer", "buffer", "u32"], result: "pointer" },
  xkb_keymap_num_levels_for_key: { parameters: ["pointer", "u32", "u32"], result: "u32" },
  xkb_keymap_key_get_mods_for_level: {
    parameters: ["pointer", "u32", "u32", "u32", "buffer", "usize"],
    result: "usize",
  },
  xkb_keymap_key_get_syms_by_level: {
    parameters: ["pointer", "u32", "u32", "u32", "buffer"],
    result: "i32",
  },
  xkb_keysym_to_utf32: { parameters: ["u32"], result: "u32" },
  xkb_keysym_get_name: { parameters: ["u32", "buffer", "usize"], result: "i32" },
});
const { symbols } = xkb;
const context = symbols.xkb_context_new(0);

/** The keymap of a layout. */
function keymapOf(layout: string, variant: string): Deno.PointerValue {
  const texts = ["evdev", "pc105", layout, variant, ""].map((text) => new TextEncoder().encode(`${text}\0`));
  const names = new BigUint64Array(
    texts.map((bytes) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes))),
  );
  const keymap = symbols.xkb_keymap_new_from_names(context, names, 0);
  // Until here nothing may collect the texts, which are known to the library by their addresses.
  if (keymap === null || texts.length === 0) throw new Error(`xkb-data has no layout ${layout} ${variant}`);
  return keymap;
}

/** The one keysym of a key at a level; 0 when it has none or several. */
function keysymOf(keymap: Deno.PointerValue, key: number, level: number): number {
  const list = new BigUint64Array(1);
  if (symbols.xkb_keymap_key_get_syms_by_level(keymap, key, 0, level, list) !== 1) return 0;
  const at = Deno.UnsafePointer.create(list[0] ?? 0n);
  return at === null ? 0 : new Deno.UnsafePointerView(at).getUint32();
}

/** A keysym's name. */
function nameOf(keysym: number): string {
  const name = new Uint8Array(64);
  const length = symbols.xkb_keysym_get_name(keysym, name, BigInt(name.length));
  return new TextDecoder().decode(name.subarray(0, Math.max(0, length)));
}

/** What a keysym types, as one character. */
function characterOf(keysym: number): string {
  const dead = DEAD.get(nameOf(keysym));
  if (dead !== undefined) return String.fromCodePoint(dead);
  const point = symbols.xkb_keysym_to_utf32(keysym);
  return point < 0x20 || point === 0x7f ? NOTHING : String.fromCodePoint(point);
}

/** The four rows of a layout. */
function rowsOf(layout: string, variant: string): string[] {
  const keymap = keymapOf(layout, variant);
  // On a layout whose right alt is alt, the third level is out of reach.
  const levels = nameOf(keysymOf(keymap, RIGHT_ALT + XKB_OFFSET, 0)) === "ISO_Level3_Shift" ? 4 : 2;
  return LEVELS.slice(0, levels).map((mods) =>
    KEYS.map((code) => {
      const key = code + XKB_OFFSET;
      for (let level = 0; level < symbols.xkb_keymap_num_levels_for_key(keymap, key, 0); level++) {
        const masks = new Uint32Array(16);
        const { length } = masks;
        const count = symbols.xkb_keymap_key_get_mods_for_level(keymap, key, 0, level, masks, BigInt(length));
        if (!masks.subarray(0, Number(count)).includes(mods)) continue;
        const keysym = keysymOf(keymap, key, level);
        if (keysym !== 0) return characterOf(keysym);
      }
      return NOTHING;
    }).join("")
  );
}

/** A string literal that shows nothing invisible. */
function literal(row: string): string {
  const trimmed = row.replace(/\ufffd+$/, "");
  return JSON.stringify(trimmed).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const entries = LAYOUTS.map(([name, layout, variant, title]) => {
  const rows = rowsOf(layout, variant).map((row) => `      ${literal(row)},\n`).join("");
  return `  {\n    name: ${JSON.stringify(name)},\n    title: ${
    JSON.stringify(title)
  },\n    rows: [\n${rows}    ],\n  },\n`;
});
Deno.writeTextFileSync(
  TARGET,
  `/**
 * Keyboards of many countries: which key types which character. Made by scripts/build/keyboard_layouts.ts out
 * of xkeyboard-config ${await versionOfXkbData()}; its header says how to read the rows.
 * @module
 */

/** A layout as it is written down. */
export interface LayoutTable {
  /** What it is called on the command line: "de". */
  readonly name: string;
  /** What people call it. */
  readonly title: string;
  /**
   * The characters of {@linkcode LAYOUT_KEYS} without a modifier, with shift, with AltGr, with both. A dead
   * key is its combining character; U+FFFD and what is missing at a row's end type nothing.
   */
  readonly rows: readonly string[];
}

/** evdev codes of the keys that the rows tell. */
export const LAYOUT_KEYS: readonly number[] = (
  "${KEYS.slice(0, 37).join(" ")} " +
  "${KEYS.slice(37).join(" ")}"
).split(" ").map(Number);

/** All layouts; the first is the US one. */
export const LAYOUT_TABLES: readonly LayoutTable[] = [
${entries.join("")}];
`,
);
new Deno.Command(Deno.execPath(), { args: ["fmt", "-q", TARGET.pathname] }).outputSync();

async function versionOfXkbData(): Promise<string> {
  const { stdout } = await new Deno.Command("dpkg-query", {
    args: ["-W", "-f", "${Version}", "xkb-data"],
  }).output();
  return new TextDecoder().decode(stdout);
}
