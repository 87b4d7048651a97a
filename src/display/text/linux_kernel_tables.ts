/**
 * What of a Linux kernel's own tables the readers of its consoles and fonts need: addresses of a few symbols,
 * offsets of a few fields. It is read once a kernel (some 30 ms, mostly for copying BTF out of the guest) and
 * is plain data then.
 * @module
 */
import { Btf } from "../../guest/linux/btf.ts";
import { Kallsyms } from "../../guest/linux/kallsyms.ts";
import type { LinuxGuest } from "../../guest/linux/linux_guest.ts";
import { kallsymsPlaces } from "../../guest/linux/profile.ts";

/** Symbols and fields of one running kernel. */
export interface ConsoleTables {
  /** Addresses, KASLR included. */
  readonly symbols: ReadonlyMap<string, number>;
  /** "struct.field" to byte offset, "sizeof struct" to bytes: those that this kernel has. */
  readonly offsets: ReadonlyMap<string, number>;
}

/** The fonts that Debian builds in, and those beside; all are `struct font_desc`. */
export const FONT_SYMBOLS = [
  "font_vga_8x16",
  "font_vga_8x8",
  "font_ter_16x32",
  "font_sun_8x16",
  "font_sun_12x22",
  "font_10x18",
  "font_7x14",
  "font_6x11",
  "font_6x10",
  "font_6x8",
  "font_pearl_8x8",
  "font_acorn_8x8",
] as const;

const SYMBOLS = ["vc_cons", "fg_console", "__start_BTF", "__stop_BTF", ...FONT_SYMBOLS];
const STRUCTS = [
  "vc",
  "vc_data",
  "vc_state",
  "vc_font",
  "console_font",
  "uni_pagedict",
  "uni_pagedir",
  "font_desc",
];
/** Fields that are looked for: those that a kernel has are in its tables. */
export const CONSOLE_FIELDS = [
  "vc.d",
  "vc_data.vc_num",
  "vc_data.vc_cols",
  "vc_data.vc_rows",
  "vc_data.vc_size_row",
  "vc_data.vc_origin",
  "vc_data.vc_hi_font_mask",
  "vc_data.vc_palette",
  "vc_data.state",
  // Before 5.9 the cursor stood in vc_data itself.
  "vc_data.vc_x",
  "vc_data.vc_y",
  "vc_state.x",
  "vc_state.y",
  // uni_pagedir before 6.2.
  "vc_data.vc_uni_pagedict",
  "vc_data.vc_uni_pagedir",
  "uni_pagedict.uni_pgdir",
  "uni_pagedir.uni_pgdir",
  "vc_data.vc_font",
  "console_font.width",
  "console_font.height",
  "console_font.charcount",
  "console_font.data",
  "font_desc.width",
  "font_desc.height",
  "font_desc.charcount",
  "font_desc.data",
] as const;

/** A field of the tables. */
export type ConsoleField = (typeof CONSOLE_FIELDS)[number];

/** Reads the tables of a kernel; why not, for a person, when it lacks what is needed. */
export function readConsoleTables(os: LinuxGuest): ConsoleTables | { readonly unsupported: string } {
  const places = kallsymsPlaces(os.kernel, os.note);
  if ("unsupported" in places) return places;
  const loaded = Kallsyms.load(os.kernel, places, SYMBOLS);
  if ("unsupported" in loaded) return loaded;
  const [start, stop] = [loaded.found.get("__start_BTF"), loaded.found.get("__stop_BTF")];
  if (start === undefined || stop === undefined) return { unsupported: "it was built without BTF" };
  const btf = Btf.load(os.kernel, start, stop, STRUCTS);
  if ("unsupported" in btf) return btf;
  const offsets = new Map<string, number>();
  for (const name of CONSOLE_FIELDS) {
    const dot = name.indexOf(".");
    const offset = btf.offsetOf(name.slice(0, dot), name.slice(dot + 1));
    if (offset !== undefined && offset < 65_536) offsets.set(name, offset);
  }
  const size = btf.sizeOf("vc");
  if (size !== undefined && size >= 8 && size < 65_536) offsets.set("sizeof vc", size);
  return { symbols: loaded.found, offsets };
}
