/**
 * Text of real screens, read back exactly: the firmware's out of video memory and out of its picture; Linux'
 * consoles out of RAM and out of their pictures, on a kernel with a frame buffer and on one with a VGA in
 * text mode. 10,000 random lines each, a page at a time.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { vgaFonts } from "../../src/display/text/glyph_font.ts";
import { GlyphReader } from "../../src/display/text/glyph_reader.ts";
import { LinuxConsoles } from "../../src/display/text/linux_console.ts";
import { readLinuxFonts } from "../../src/display/text/linux_fonts.ts";
import { readConsoleTables } from "../../src/display/text/linux_kernel_tables.ts";
import type { ScreenText } from "../../src/display/text/screen_text.ts";
import { VgaTextReader } from "../../src/display/text/vga_text.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { openQemuRam, type QemuRam } from "../../src/ram/qemu_ram.ts";
import { FRAMEBUFFER_MODULES } from "./build.ts";
import { CardRig } from "./card_rig.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";
import { VgaGuest } from "./vga_guest.ts";

const LINES = 10_000;

/** The lines that ttylines.c prints for a seed. */
function pageOf(seed: number, lines: number, columns: number): string[] {
  let state = seed >>> 0;
  const below = (n: number): number => {
    state = (state ^ state << 13) >>> 0;
    state = (state ^ state >>> 17) >>> 0;
    state = (state ^ state << 5) >>> 0;
    return Number((BigInt(state) * BigInt(n)) >> 32n);
  };
  return Array.from({ length: lines }, () => {
    const length = below(columns);
    return Array.from({ length }, () => String.fromCharCode(32 + below(95))).join("").trimEnd();
  });
}

/** Reads until it is the wanted text: a frame buffer's picture follows its console a little later. */
async function readsAs(
  read: () => Promise<ScreenText | undefined> | ScreenText | undefined,
  wanted: readonly string[],
  what: string,
): Promise<ScreenText> {
  const endMs = performance.now() + 180_000;
  for (;;) {
    const text = await read();
    const isSame = text !== undefined && wanted.every((line, row) => text.lines[row] === line);
    if (isSame) return text;
    if (performance.now() > endMs) assertEquals(text?.lines.slice(0, wanted.length), wanted, what);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("text: 2,500 random lines of the firmware's, out of video memory and out of the picture", async () => {
  await using guest = await VgaGuest.start();
  const [card] = await guest.cards();
  using rig = await CardRig.on(guest.vm.pid, guest.qmp, card!);
  await rig.once();
  await rig.findRegisters();
  const reader = new VgaTextReader();
  const glyphs = new GlyphReader(vgaFonts());
  let done = 0;
  for (let seed = 1; done < LINES / 4; seed++) {
    await guest.video(3);
    const lines = pageOf(seed, 24, 80);
    await guest.print(new TextEncoder().encode(lines.join("\r\n")));
    const text = reader.read(rig.memory, rig.source.registers());
    assertEquals(text?.lines.slice(0, 24), lines, `page ${seed} by video memory`);
    assertEquals([text?.columns, text?.rows, text?.unknown], [80, 25, 0]);
    assertEquals(text?.cursor?.row, 23);
    const plain = reader.read(rig.memory, undefined);
    assertEquals(plain?.lines, text?.lines, "without registers, as nothing has moved the start");
    if (seed % 8 === 1) {
      assertEquals(await rig.once(), "picture");
      const seen = glyphs.read(rig.frame());
      assertEquals(seen?.lines.slice(0, 24), lines, `page ${seed} by glyphs`);
      assertEquals(seen?.cursor, text?.cursor);
    }
    done += lines.length;
  }
});

/** A Linux guest with a console to write on, and what reads it. */
class ConsoleGuest implements AsyncDisposable {
  readonly vm: Qemu;
  readonly qmp: TestQmp;
  readonly ram: QemuRam;
  readonly consoles: LinuxConsoles;
  readonly fonts: ReturnType<typeof readLinuxFonts>;

  private constructor(vm: Qemu, qmp: TestQmp) {
    this.vm = vm;
    this.qmp = qmp;
    this.ram = openQemuRam(vm.pid);
    this.ram.memory.refresh();
    const found = findLinux(this.ram.memory);
    assert(found.found);
    const tables = readConsoleTables(found.os);
    assert(!("unsupported" in tables), JSON.stringify(tables));
    this.consoles = new LinuxConsoles(found.os, tables);
    this.fonts = readLinuxFonts(found.os, tables);
  }

  static async start(kernel: "cloud" | "generic", extraArgs: readonly string[] = []): Promise<ConsoleGuest> {
    const modules = kernel === "generic" ? FRAMEBUFFER_MODULES : [];
    const vm = await startSavedGuest({ kernel, modules, programs: ["ttylines"], extraArgs });
    const guest = new ConsoleGuest(vm, await TestQmp.connect(vm.qmpPath));
    return guest;
  }

  /** A console to write on, and its size. */
  async open(number: number): Promise<{ process: GuestProcess; columns: number; rows: number }> {
    const process = await this.vm.agent.start("ttylines", `/dev/tty${number}`);
    const [, columns, rows] = await process.lineMatching(/^ready (\d+) (\d+)$/);
    return { process, columns: Number(columns), rows: Number(rows) };
  }

  read(number?: number): ScreenText | undefined {
    this.ram.memory.renew();
    const result = this.consoles.read(number);
    return result.state === "read" ? result.text : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ram[Symbol.dispose]();
    await this.qmp[Symbol.asyncDispose]();
    await this.vm[Symbol.asyncDispose]();
  }
}

async function say(process: GuestProcess, line: string): Promise<void> {
  await process.write(`${line}\n`);
  await process.lineMatching(/^done$/);
}

Deno.test("text: 10,000 random lines of a Linux console on a frame buffer, out of RAM and out of the picture", async (t) => {
  await using guest = await ConsoleGuest.start("generic");
  const { process, columns, rows } = await guest.open(1);
  assertEquals(guest.consoles.foreground, 1);
  assert(guest.fonts.some((font) => font.name === "Linux font_vga_8x16"));
  using rig = await CardRig.first(guest.vm.pid, guest.qmp);
  const glyphs = new GlyphReader([...guest.fonts, ...vgaFonts()]);
  const byPicture = async () => await rig.once() === "picture" ? glyphs.read(rig.frame()) : undefined;
  await t.step("all lines", async () => {
    let done = 0;
    for (let seed = 1; done < LINES; seed++) {
      const lines = pageOf(seed, rows - 1, columns);
      await say(process, `page ${seed} ${rows - 1} ${columns}`);
      const text = guest.read();
      assertEquals(text?.lines.slice(0, rows - 1), lines, `page ${seed} by RAM`);
      assertEquals([text?.columns, text?.rows, text?.console, text?.unknown], [columns, rows, 1, 0]);
      assertEquals(text?.cursor, { column: 0, row: rows - 1 });
      if (seed % 8 === 1) await readsAs(byPicture, lines, `page ${seed} by glyphs`);
      done += lines.length;
    }
  });
  await t.step("colours, line graphics and the cursor are the same in both", async () => {
    await say(
      process,
      "put \\e[H\\e[2J\\e[31mred\\e[0m \\e[7minverse\\e[0m \\e[1;44mbold on blue\\e[0m ┌─┐ é µ $ ",
    );
    const own = guest.read()!;
    assertEquals(own.lines[0], "red inverse bold on blue ┌─┐ é µ $");
    const seen = await readsAs(byPicture, own.lines, "by glyphs");
    assertEquals(seen.unknown, 0);
    for (const column of [0, 4, 12, 25]) {
      assertEquals(styleAt(seen, column), styleAt(own, column), `column ${column}`);
    }
    assertEquals(styleAt(own, 0), { foreground: 0xaa0000, background: 0 });
  });
  await t.step("behind another console, and with the screen blanked", async () => {
    const second = await guest.open(3);
    await say(second.process, "put on the third console");
    assertEquals(guest.consoles.foreground, 1);
    assertEquals(guest.read(3)?.lines[0], "on the third console");
    await say(process, "front 3");
    assertEquals(guest.consoles.foreground, 3);
    assertEquals(guest.read()?.lines[0], "on the third console");
    await say(process, "put behind");
    assert(guest.read(1)!.lines.join("\n").includes("behind"));
    await say(second.process, "blank");
    assertEquals(guest.read()?.lines[0], "on the third console");
    await say(second.process, "unblank");
    assertEquals(guest.read(40), undefined);
    assert(guest.consoles.numbers().includes(1) && guest.consoles.numbers().includes(3));
  });
});

function styleAt(text: ScreenText, cell: number) {
  let left = cell;
  for (let i = 0; i < text.runs.length; i += 2) {
    left -= text.runs[i]!;
    if (left < 0) return text.styles[text.runs[i + 1]!];
  }
  return undefined;
}

Deno.test("text: 10,000 random lines of a Linux console on a VGA in text mode, out of its memory", async () => {
  await using guest = await ConsoleGuest.start("cloud");
  const { process, columns, rows } = await guest.open(1);
  using rig = await CardRig.first(guest.vm.pid, guest.qmp);
  await rig.once();
  await rig.findRegisters();
  const reader = new VgaTextReader();
  const glyphs = new GlyphReader(vgaFonts());
  let done = 0;
  for (let seed = 1; done < LINES; seed++) {
    const lines = pageOf(seed, rows - 1, columns);
    await say(process, `page ${seed} ${rows - 1} ${columns}`);
    const text = reader.read(rig.memory, rig.source.registers());
    assertEquals(text?.lines.slice(0, rows - 1), lines, `page ${seed}`);
    if (seed % 8 === 1) {
      assertEquals(await rig.once(), "picture");
      assertEquals(glyphs.read(rig.frame())?.lines.slice(0, rows - 1), lines, `page ${seed} by glyphs`);
    }
    done += lines.length;
  }
  guest.ram.memory.renew();
  assertEquals(guest.consoles.read().state, "in-video-memory");
  const second = await guest.open(2);
  await say(second.process, "put behind the first one");
  assertEquals(guest.read(2)?.lines[0], "behind the first one", "a console that is not in front is in RAM");
});
