/**
 * The vram source against a screendump of the same VM, stopped, on a real QEMU without a display: bit for bit
 * in each mode; mode changes; a QEMU that ends.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { monotonicClock } from "../../ffi/clock.ts";
import { SECOND } from "../../src/base/clock.ts";
import { assert, assertEquals } from "@std/assert";
import { isLinearCard } from "../../src/display/vga/monitor_texts.ts";
import { ppmToRgba, readPpmHead } from "../../src/vgpu/ppm.ts";
import { CardRig } from "./card_rig.ts";
import { type TestMode, VgaGuest } from "./vga_guest.ts";

/** The pixels of a screendump as the canvas has them: 0x00RRGGBB. */
function dumpWords(ppm: Uint8Array<ArrayBuffer>): { width: number; height: number; words: Int32Array } {
  const head = readPpmHead(ppm, ppm.length);
  assert(head.ok);
  const { width, height } = head;
  const rgba = new Uint8Array(width * height * 4);
  ppmToRgba(ppm, head.dataOffset, width * height, rgba);
  const words = new Int32Array(width * height);
  for (let i = 0; i < words.length; i++) {
    words[i] = rgba[4 * i]! << 16 | rgba[4 * i + 1]! << 8 | rgba[4 * i + 2]!;
  }
  return { width, height, words };
}

/** The picture of the source is the screendump's, bit for bit. */
async function assertSame(guest: VgaGuest, rig: CardRig, what: string): Promise<void> {
  await guest.qmp.execute("stop");
  assertEquals(await rig.once(), "picture", what);
  const dump = dumpWords(await guest.screendump());
  assertEquals([rig.canvas.width, rig.canvas.height], [dump.width, dump.height], what);
  let first = -1;
  for (let i = 0; i < dump.words.length; i++) {
    if ((rig.canvas.words[i]! & 0xff_ffff) === dump.words[i]) continue;
    first = i;
    break;
  }
  const at = `${what}: pixel ${first % dump.width}, ${Math.floor(first / dump.width)}`;
  assertEquals(
    first < 0 ? "" : (rig.canvas.words[first]! & 0xff_ffff).toString(16),
    first < 0 ? "" : dump.words[first]!.toString(16),
    at,
  );
  await guest.qmp.execute("cont");
}

/** AX of the interrupt that sets the cursor's shape; 0x2000 in CX hides it. */
const HIDE_CURSOR = 0x0100;

const MODES: readonly TestMode[] = [
  { width: 1280, height: 800, bits: 32 },
  { width: 1024, height: 768, bits: 24 },
  { width: 800, height: 600, bits: 16 },
  { width: 640, height: 480, bits: 15 },
  { width: 640, height: 480, bits: 8 },
  { width: 800, height: 600, bits: 32, virtualWidth: 1024, xOffset: 100, yOffset: 77 },
  { width: 640, height: 480, bits: 24, virtualWidth: 800, xOffset: 5, yOffset: 3 },
  { width: 640, height: 400, bits: 16, virtualWidth: 720, xOffset: 7, yOffset: 1 },
  { width: 8, height: 1, bits: 32 },
  { width: 2560, height: 1600, bits: 32 },
];

for (const way of ["registers", "monitor"] as const) {
  Deno.test(`vram: each mode is the screendump's, the mode by ${way}`, async () => {
    await using guest = await VgaGuest.start();
    const [card] = await guest.cards();
    assert(card !== undefined && isLinearCard(card) && card.isVga);
    using rig = await CardRig.on(guest.vm.pid, guest.qmp, card, way === "monitor");
    assertEquals([await rig.once(), rig.modes], ["none", [{ kind: "vga" }]], "firmware's text screen");
    if (way === "registers") await rig.findRegisters();
    const asked = rig.asked;
    let seed = 1;
    for (const mode of MODES) {
      if (mode.bits === 8 && !rig.source.readsRegisters) continue;
      await guest.setMode(mode);
      await guest.fill(seed++ * 0x9e37_79b1 >>> 0, 0);
      await assertSame(guest, rig, `${mode.width}x${mode.height}x${mode.bits}`);
    }
    if (way === "registers") assertEquals(rig.asked, asked, "the monitor was not asked again");
    await guest.video(3);
    if (way === "monitor") {
      assertEquals(await rig.once(), "none");
      assertEquals(rig.modes.at(-1), { kind: "vga" });
    } else {
      await guest.video(HIDE_CURSOR, 0, 0x2000);
      await assertSame(guest, rig, "text");
      await guest.video(0x12);
      assertEquals([await rig.once(), rig.modes.at(-1)], ["none", { kind: "vga" }], "planes");
    }
  });
}

Deno.test("vram: what the guest writes is told as damage, and a still picture is none", async () => {
  await using guest = await VgaGuest.start();
  const [card] = await guest.cards();
  using rig = await CardRig.on(guest.vm.pid, guest.qmp, card!);
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  await guest.fill(1, 64);
  assertEquals(await rig.once(), "picture");
  assertEquals(rig.canvas.lastDamage, [0, 0, 1280, 800]);
  const commits = rig.canvas.commits;
  assertEquals([await rig.once(), rig.canvas.commits], ["picture", commits], "known to be there already");
  for (const [x, y] of [[0, 0], [1279, 799], [640, 400], [17, 799]] as const) {
    const at = 4 * (y * 1280 + x) + 1;
    const old = rig.canvas.pixels[at]!;
    await guest.poke(at, old ^ 0xff);
    assertEquals(await rig.once(), "picture");
    assertEquals(rig.canvas.lastDamage, [x - x % 16, y, 16, 1]);
    assertEquals(rig.canvas.pixels[at], old ^ 0xff);
  }
});

Deno.test("vram: 1,000 mode changes, looked at in between: no picture of the wrong size, and all as dumped", async () => {
  await using guest = await VgaGuest.start();
  const [card] = await guest.cards();
  using rig = await CardRig.on(guest.vm.pid, guest.qmp, card!);
  assertEquals(await rig.once(), "none");
  await rig.findRegisters();
  const asked = rig.asked;
  for (let i = 0; i < 1000; i++) {
    const width = 8 * (1 + i * 37 % 160);
    const height = 1 + i * 101 % 800;
    const bits = [32, 24, 16, 15, 8][i % 5]!;
    const done = guest.setMode({ width, height, bits });
    // Whatever mode it is in on the way.
    await rig.once();
    await done;
    assertEquals(await rig.once(), "picture");
    assertEquals([rig.canvas.width, rig.canvas.height], [width, height]);
    if (i % 100 === 0) await assertSame(guest, rig, `change ${i}`);
  }
  assertEquals([rig.asked, rig.lost], [asked, ""]);
});

Deno.test("vram: two more cards, without a mode; a reset; QEMU's end", async () => {
  await using guest = await VgaGuest.start({
    extraArgs: ["-device", "bochs-display", "-device", "secondary-vga"],
  });
  const cards = await guest.cards();
  assertEquals(cards.map((card) => [card.isVga, isLinearCard(card)]), [
    [true, true],
    [false, true],
    [false, true],
  ]);
  const places = await Promise.all(cards.map((card) => guest.place(card)));
  assertEquals(new Set(places.map((place) => place.address)).size, 3);
  using rig = await CardRig.on(guest.vm.pid, guest.qmp, cards[0]!);
  using second = await CardRig.on(guest.vm.pid, guest.qmp, cards[1]!);
  using third = await CardRig.on(guest.vm.pid, guest.qmp, cards[2]!);
  assertEquals([await second.once(), second.modes], ["none", [{ kind: "off" }]]);
  assertEquals([await third.once(), third.modes], ["none", [{ kind: "vga" }]]);
  await guest.setMode({ width: 640, height: 480, bits: 32 });
  assertEquals(await rig.once(), "picture");
  await guest.qmp.execute("system_reset");
  await guest.answer();
  await rig.findRegisters();
  assertEquals(await rig.once(), "picture", "after the reset it shows text");
  assertEquals(rig.modes.at(-1)?.kind, "text");
  // Text is looked at as often as is wanted, like any picture.
  rig.source.demand(60);
  assert(rig.source.nextNs <= monotonicClock.nowNs() + SECOND / 60);
  rig.source.demand(0);
  guest.vm.kill("SIGKILL");
  await guest.vm.ended;
  assertEquals([await rig.once(), rig.lost], ["lost", "QEMU has ended"]);
});

Deno.test("vram: text modes are the screendump's, glyph by glyph: sizes, colours, both fonts, start, split", async () => {
  await using guest = await VgaGuest.start();
  const [card] = await guest.cards();
  using rig = await CardRig.on(guest.vm.pid, guest.qmp, card!);
  await rig.once();
  await rig.findRegisters();
  // From 11 on QEMU lets characters blink whose attribute's upper bit is set: a dump shows either phase.
  const { qemu } = await guest.qmp.execute("query-version") as { qemu: { major: number } };
  const attributes = qemu.major >= 11 ? 128 : 256;
  const all = Uint8Array.from({ length: 4 * 256 }, (_, i) => i < 8 || i > 13 ? i & 0xff : 0x2e);
  const modes: readonly (readonly [what: string, ...calls: (readonly [number, number?])[]])[] = [
    ["80x25", [3]],
    ["40x25", [1]],
    ["80x50, the font of 8 rows", [3], [0x1112, 0]],
    ["80x28, the font of 14 rows", [3], [0x1111, 0]],
    ["80x25, eight dots", [3], [0x1201, 0x30]],
  ];
  for (const [what, ...calls] of modes) {
    for (const [ax, bx] of calls) await guest.video(ax, bx ?? 0);
    await guest.video(HIDE_CURSOR, 0, 0x2000);
    await guest.print(all);
    // A row in each of the 256 attributes: AH=9 writes a character with an attribute at the cursor.
    for (let attribute = 0; attribute < attributes; attribute += 5) {
      await guest.video(0x0200, 0, 0, (attribute % 20) << 8 | attribute % 39);
      await guest.video(0x0900 | 0x41 + attribute % 26, attribute, 1);
    }
    await assertSame(guest, rig, what);
  }
  await guest.video(3);
  await guest.video(HIDE_CURSOR, 0, 0x2000);
  await guest.print(all);
  const crt = async (index: number, value: number) => {
    await guest.port(0x3d4, index);
    await guest.port(0x3d5, value);
  };
  await crt(0x0d, 165);
  await assertSame(guest, rig, "another start");
  // Rows from pixel row 160 on come from the first cell again: register 0x18, and a bit of 7 and of 9 each.
  await crt(0x18, 159);
  await crt(7, 0x0f);
  await crt(9, 0x0f);
  await assertSame(guest, rig, "split");
  // The second font is where the first one was not: characters with bit 3 of their attribute have it.
  await crt(9, 0x4f);
  await guest.port(0x3c4, 3);
  await guest.port(0x3c5, 0x04);
  await assertSame(guest, rig, "two fonts");
});
