/** The mode that a card's registers name: what QEMU would show, and what is none. */
import { assertEquals } from "@std/assert";
import { DISPI, modeOf } from "../../../src/display/vga/dispi.ts";
import { isSameMode } from "../../../src/display/vga/display_mode.ts";

const CARD = { isVga: true, memoryBytes: 16 << 20 };

function registers(values: Partial<Record<keyof typeof DISPI, number>>): Uint16Array<ArrayBuffer> {
  const out = Uint16Array.of(0xb0c5, 640, 480, 32, 0x41, 0, 640, 0, 0, 0, 0x100);
  for (const [name, value] of Object.entries(values)) out[DISPI[name as keyof typeof DISPI]] = value;
  return out;
}

Deno.test("dispi: rows, start and size of a mode", () => {
  assertEquals(modeOf(registers({}), CARD), {
    kind: "linear",
    width: 640,
    height: 480,
    bits: 32,
    stride: 2560,
    offset: 0,
  });
  const moved = { bits: 24, virtualWidth: 800, xOffset: 5, yOffset: 3 };
  const mode = modeOf(registers(moved), CARD);
  assertEquals(mode.kind === "linear" && [mode.stride, mode.offset], [2400, 7212], "rounded to 4 by a VGA");
  const exact = modeOf(registers(moved), { ...CARD, isVga: false });
  assertEquals(exact.kind === "linear" && exact.offset, 7215);
  const fifteen = modeOf(registers({ bits: 15 }), CARD);
  assertEquals(fifteen.kind === "linear" && fifteen.stride, 1280);
  // A virtual width below the width is the width, as QEMU has it.
  const narrow = modeOf(registers({ virtualWidth: 8 }), CARD);
  assertEquals(narrow.kind === "linear" && narrow.stride, 2560);
});

Deno.test("dispi: no picture of the card's memory", () => {
  assertEquals(modeOf(registers({ enable: 0 }), CARD), { kind: "vga" });
  assertEquals(modeOf(registers({ enable: 0 }), { ...CARD, isVga: false }), { kind: "off" });
  assertEquals(modeOf(registers({ bits: 4 }), CARD), { kind: "vga" });
  for (
    const wrong of [
      { enable: 0x43 },
      { width: 0 },
      { height: 0 },
      { bits: 0 },
      { bits: 31 },
      { width: 16_000, height: 12_000, virtualWidth: 16_000 },
      { yOffset: 0xffff },
      { virtualWidth: 0xffff },
      { height: 0xffff },
    ]
  ) assertEquals(modeOf(registers(wrong), CARD), { kind: "invalid" }, JSON.stringify(wrong));
  // The last row ends with memory's last byte.
  const end = { width: 1024, virtualWidth: 1024, height: 1024, yOffset: 3072 };
  assertEquals(modeOf(registers(end), CARD).kind, "linear");
  assertEquals(modeOf(registers({ ...end, xOffset: 1 }), CARD).kind, "invalid");
  // More than a frame may have, in memory that would hold it.
  const large = { width: 8000, height: 8000, virtualWidth: 8000 };
  assertEquals(modeOf(registers(large), { isVga: true, memoryBytes: 512 << 20 }).kind, "invalid");
});

Deno.test("dispi: which modes are the same", () => {
  const mode = modeOf(registers({}), CARD);
  assertEquals(isSameMode(undefined, mode), false);
  assertEquals(isSameMode(mode, modeOf(registers({ bank: 7 }), CARD)), true);
  assertEquals(isSameMode(mode, modeOf(registers({ yOffset: 1 }), CARD)), false);
  assertEquals(isSameMode(mode, { kind: "vga" }), false);
  assertEquals(isSameMode({ kind: "vga" }, { kind: "vga" }), true);
});
