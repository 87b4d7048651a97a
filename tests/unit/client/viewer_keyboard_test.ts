import { assertEquals } from "@std/assert";
import { INPUT_KIND } from "../../../src/event/body_number.ts";
import type { InputRecord } from "../../../src/client/input_record.ts";
import { keyCode } from "../../../src/client/key_codes.ts";
import { strokeOfKeysym } from "../../../src/client/vnc/keysyms.ts";
import { ViewerKeyboard } from "../../../src/client/vnc/viewer_keyboard.ts";
import { keyOfScanCode } from "../../../src/rfb/scan_codes.ts";

/** Records in short: "30:1", "x16384", "wheel0:1". */
function short(records: readonly InputRecord[]): string {
  return records.map(({ kind, code, value, scroll }) => {
    if (kind === INPUT_KIND.ABS) return `${"xy"[code]}${value}`;
    return kind === INPUT_KIND.SCROLL ? `wheel${code}:${scroll}` : `${code}:${value}`;
  }).join(" ");
}

Deno.test("keysyms are keys of a US keyboard", () => {
  for (
    const [keysym, name, shift] of [
      [0x61, "a", false],
      [0x41, "a", true],
      [0x21, "1", true],
      [0x7e, "grave", true],
      [0x0100_0061, "a", false],
      [0xff0d, "enter", false],
      [0xff8d, "kpenter", false],
      [0xffbe, "f1", false],
      [0xffc9, "f12", false],
      [0xffe9, "leftalt", false],
      [0xfe03, "rightalt", false],
      [0xfe20, "tab", true],
      [0xffff, "delete", false],
    ] as const
  ) assertEquals(strokeOfKeysym(keysym), { code: keyCode(name), shift }, name);
  for (const keysym of [0, 0xe9, 0x0100_20ac, 0xffff_ffff, 0x0111_0000]) {
    assertEquals(strokeOfKeysym(keysym), undefined);
  }
});

Deno.test("scan codes are keys: one byte as evdev has them, two bytes by the table", () => {
  for (
    const [scanCode, name] of [
      [0x1e, "a"],
      [0x57, "f11"],
      [0x56, "102nd"],
      [0xc8, "up"],
      [0x9d, "rightctrl"],
      [0xb8, "rightalt"],
      [0xdb, "leftmeta"],
      [0xd3, "delete"],
    ] as const
  ) assertEquals(keyOfScanCode(scanCode), keyCode(name), name);
  for (const none of [0, 0x80, 0xff, 0x1_0000, 0xffff_ffff]) assertEquals(keyOfScanCode(none), undefined);
});

Deno.test("shift is put in where a character needs it, and taken out where it must not be", () => {
  const keyboard = new ViewerKeyboard();
  const key = (down: boolean, keysym: number) => short(keyboard.key(down, keysym, undefined));
  assertEquals(key(true, 0x41), "42:1 30:1 42:0");
  assertEquals(key(false, 0x41), "30:0");
  assertEquals(key(true, 0xffe2), "54:1");
  assertEquals(key(true, 0x41), "30:1");
  assertEquals(key(false, 0x41), "30:0");
  // A layout with the slash behind shift.
  assertEquals(key(true, 0x2f), "54:0 53:1 54:1");
  assertEquals(key(false, 0x2f), "53:0");
  assertEquals(key(true, 0xff51), "105:1");
  assertEquals(key(true, 0x61), "30:1");
  assertEquals(key(false, 0xffe2), "54:0");
});

Deno.test("only what went down comes up, as what it went down; a scan code goes before a keysym", () => {
  const keyboard = new ViewerKeyboard();
  assertEquals(short(keyboard.key(false, 0x61, undefined)), "");
  assertEquals(short(keyboard.key(true, 0x61, 0x10)), "16:1");
  assertEquals(short(keyboard.key(true, 0x61, 0x10)), "16:1");
  assertEquals(short(keyboard.key(true, 0x71, undefined)), "16:1");
  assertEquals(short(keyboard.key(false, 0x71, undefined)), "");
  assertEquals(short(keyboard.key(false, 0, 0x10)), "16:0");
  assertEquals(keyboard.isHolding, false);
  assertEquals(short(keyboard.key(true, 0x61, 0xffff)), "30:1");
  assertEquals(keyboard.isHolding, true);
  keyboard.forget();
  assertEquals(short(keyboard.key(false, 0x61, undefined)), "");
  for (let keysym = 0x20; keysym < 0x7f; keysym++) keyboard.key(true, keysym, undefined);
  assertEquals(short(keyboard.key(true, 0xff0d, undefined)), "");
  assertEquals(short(keyboard.key(true, 0x20, undefined)), "57:1");
});

Deno.test("the pointer is scaled; buttons are told as they change, and the wheel by notches", () => {
  const keyboard = new ViewerKeyboard();
  const size = { width: 101, height: 1 };
  const pointer = (buttons: number, x: number) => short(keyboard.pointer(buttons, { x, y: 0, ...size }));
  assertEquals(pointer(0, 50), "x16384 y0");
  assertEquals(pointer(5, 100), "x32767 y0 272:1 273:1");
  assertEquals(pointer(4, 100), "x32767 y0 272:0");
  assertEquals(pointer(0, 0), "x0 y0 273:0");
  assertEquals(pointer(0x08, 0), "x0 y0 wheel0:1");
  assertEquals(pointer(0x08, 0), "x0 y0");
  assertEquals(pointer(0x50, 0), "x0 y0 wheel0:-1 wheel1:1");
  assertEquals(pointer(0x82, 0), "x0 y0 274:1 275:1");
  assertEquals(keyboard.isHolding, true);
});
