/**
 * The vram source on a process that has a card's memory as QEMU has it: what is asked when, what is lost how,
 * and memory that is a memfd. The pictures of a real QEMU are tests/guest/display_vram.test.ts.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { MS, NEVER, SECOND } from "../../../src/base/clock.ts";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { MemoryCanvas } from "../../../src/display/canvas.ts";
import type { DisplayMode } from "../../../src/display/vga/display_mode.ts";
import { VideoMemory, type VideoMemoryPlace } from "../../../src/display/vga/video_memory.ts";
import { type VramOptions, VramSource } from "../../../src/display/vga/vram_source.ts";
import { HostProcess } from "../../../src/ram/host_process.ts";

const SIZE = 1 << 20;
const PROGRAM = new URL("../../python/fake_vga.py", import.meta.url).pathname;

/** The process. */
class FakeVga implements AsyncDisposable {
  readonly place: VideoMemoryPlace;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #text = "";

  private constructor(
    process: Deno.ChildProcess,
    lines: ReadableStreamDefaultReader<string>,
    address: number,
    rest: string,
  ) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.#lines = lines;
    this.#text = rest;
    using known = HostProcess.open(process.pid);
    this.place = { pid: process.pid, started: known.started, address, sizeBytes: SIZE };
  }

  static async start(kind: "memfd" | "private"): Promise<FakeVga> {
    const args = [PROGRAM, kind, String(SIZE)];
    const process = new Deno.Command("python3", { args, stdin: "piped", stdout: "piped" }).spawn();
    const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) text += (await lines.read()).value ?? "\n";
    return new FakeVga(process, lines, Number(text.trim()), "");
  }

  async say(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(line + "\n"));
    while (!this.#text.includes("ok\n")) {
      const { value } = await this.#lines.read();
      assert(value !== undefined, "the fake VGA answers");
      this.#text += value;
    }
    this.#text = "";
  }

  async end(): Promise<void> {
    await this.#input.close();
    while (!(await this.#lines.read()).done);
    await this.#process.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.end();
    } catch (error) {
      // It was ended by the test.
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

/** A source, with what it tells, on a clock that is turned by hand. */
class Rig implements Disposable {
  readonly canvas = new MemoryCanvas();
  readonly told: string[] = [];
  readonly source: VramSource;
  nowNs = SECOND;

  constructor(place: VideoMemoryPlace, options: VramOptions = { isVga: true }) {
    this.source = new VramSource(VideoMemory.open(place), this.canvas, {
      onLost: (code, why) => this.told.push(`lost ${code} ${why}`),
      onPicture: () => this.told.push("picture"),
      onNoPicture: () => this.told.push("no picture"),
      onMode: (mode: DisplayMode) => this.told.push(mode.kind),
      askMode: () => this.told.push("ask"),
    }, options);
  }

  /** Steps while it wants to be. */
  steps(): string[] {
    for (let i = 0; i < 1000 && this.source.nextNs <= this.nowNs; i++) this.source.step(this.nowNs);
    return this.told.splice(0);
  }

  answer(width: number, height: number, bits: number, enable = 0x41): string[] {
    this.source.onRegisters(
      Uint16Array.of(0xb0c5, width, height, bits, enable, 0, width, 0, 0, 0, SIZE >> 16),
      this.nowNs,
    );
    return this.steps();
  }

  [Symbol.dispose](): void {
    this.source[Symbol.dispose]();
  }
}

Deno.test("vram source: asks once, finds the registers, and asks no more; nothing without demand", async () => {
  await using vga = await FakeVga.start("private");
  await vga.say("state 1 64 32 32 65");
  await vga.say("poke 260 7");
  using rig = new Rig(vga.place);
  assertEquals([rig.steps(), rig.source.nextNs], [[], NEVER], "nobody watches");
  rig.source.once();
  assertEquals(rig.steps(), ["ask"]);
  assertEquals(rig.steps(), [], "not again before it is answered");
  assertEquals(rig.answer(64, 32, 32), ["linear", "picture"]);
  assertEquals([rig.canvas.width, rig.canvas.height, rig.canvas.words[65]], [64, 32, 7]);
  assertEquals([rig.source.readsRegisters, rig.source.nextNs], [true, NEVER]);
  rig.source.demand(10);
  assertEquals(rig.steps(), []);
  assert(rig.source.readsRegisters);
  const commits = rig.canvas.commits;
  await vga.say("poke 4 9");
  assertEquals([rig.steps(), rig.canvas.commits], [[], commits], "at the rate that is wanted");
  rig.nowNs += SECOND / 10;
  assertEquals([rig.steps(), rig.canvas.commits, rig.canvas.words[1]], [[], commits + 1, 9]);
  assertEquals(rig.canvas.lastDamage, [0, 0, 16, 1]);
  rig.nowNs += SECOND / 10;
  assertEquals([rig.steps(), rig.canvas.commits], [[], commits + 1], "nothing changed");
  // The guest sets another mode: the next picture has it, and nobody was asked.
  await vga.say("state 1 16 8 32 65");
  rig.nowNs += SECOND / 10;
  assertEquals([rig.steps(), rig.canvas.width, rig.canvas.height], [["linear"], 16, 8]);
  await vga.say("state 1 16 8 32 0");
  rig.source.once();
  assertEquals(rig.steps(), ["vga", "no picture"]);
  rig.source.modeMayHaveChanged();
  rig.source.demand(0);
  rig.nowNs += 60 * SECOND;
  assertEquals([rig.steps(), rig.source.nextNs], [[], NEVER]);
});

Deno.test("vram source: a picture that the guest moves to another place is told where it differs, and nowhere else", async () => {
  for (const perSecond of [1, 10]) {
    await using vga = await FakeVga.start("private");
    await vga.say("state 1 64 32 32 65");
    using rig = new Rig(vga.place);
    const { source, canvas } = rig;
    source.once();
    rig.steps();
    rig.answer(64, 32, 32);
    assert(source.readsRegisters);
    source.demand(perSecond);
    const next = () => {
      rig.nowNs += SECOND;
      return rig.steps();
    };
    next();
    const { commits } = canvas;
    await vga.say("state 1 64 32 32 65 40");
    assertEquals([next(), canvas.commits], [["linear"], commits], "the same pixels are there");
    for (let row = 8; row < 16; row++) await vga.say(`poke ${(40 + row) * 256} 3`);
    assertEquals([next(), canvas.commits, canvas.lastDamage], [[], commits + 1, [0, 8, 16, 8]]);
    await vga.say("state 1 64 32 32 65 48");
    assertEquals([next(), canvas.commits], [["linear"], commits + 2]);
    assertEquals([0, 7, 8, 15].map((row) => canvas.words[row * 64]), [3, 3, 0, 0]);
  }
});

Deno.test("vram source: a large picture that is watched is read in pieces; a single one at once", async () => {
  await using vga = await FakeVga.start("private");
  await vga.say("state 1 512 512 32 65");
  using rig = new Rig(vga.place);
  const { source, canvas } = rig;
  source.once();
  rig.steps();
  assertEquals(rig.answer(512, 512, 32), ["linear", "picture"]);
  assert(source.readsRegisters);
  const at = (row: number): number => row * 2048;
  const row = (y: number): number => canvas.words[y * 512] as number;
  source.demand(10);
  rig.nowNs += SECOND / 10;
  let commits = canvas.commits;
  await vga.say(`poke ${at(0)} 1`);
  await vga.say(`poke ${at(511)} 1`);
  rig.steps();
  assertEquals([row(0), row(511), canvas.commits], [1, 0, commits], "the first piece");
  assertEquals(source.nextNs, rig.nowNs + 2 * MS, "four pieces within 8 ms");
  rig.nowNs += 2 * MS;
  rig.steps();
  assertEquals([row(511), canvas.commits], [0, commits]);
  // Late: what is due is read, and the picture is shown once.
  rig.nowNs += 50 * MS;
  rig.steps();
  assertEquals([row(511), canvas.commits, canvas.lastDamage], [1, commits + 1, [0, 0, 16, 512]]);
  assertEquals(source.nextNs, rig.nowNs + 48 * MS, "the next one when it is due");

  // Somebody wants one picture in the middle of it: as of now.
  rig.nowNs += 48 * MS;
  rig.steps();
  commits = canvas.commits;
  await vga.say(`poke ${at(1)} 2`);
  source.once();
  assertEquals([rig.steps(), row(1), canvas.commits], [["picture"], 2, commits + 1]);

  // Nobody wants any in the middle of it, and later somebody does: all of it is as of then.
  rig.nowNs += 100 * MS;
  rig.steps();
  source.demand(0);
  assertEquals(source.nextNs, NEVER);
  await vga.say(`poke ${at(2)} 3`);
  source.demand(240);
  for (let i = 0; i < 4; i++) {
    rig.nowNs += 100 * MS;
    rig.steps();
  }
  assertEquals([row(2), canvas.commits], [3, commits + 2]);

  // Another mode in the middle of it: what was read of the former one is not shown.
  rig.nowNs = source.nextNs;
  rig.steps();
  await vga.say("state 1 64 32 32 65");
  rig.nowNs += 100 * MS;
  assertEquals([rig.steps(), canvas.width, canvas.height], [["linear"], 64, 32]);
  assertEquals(canvas.lastDamage, [0, 0, 64, 32]);
});

Deno.test("vram source: registers that are found by themselves need no question; one asks where they are not", async () => {
  await using vga = await FakeVga.start("private");
  await vga.say("state 1 64 32 32 65");
  await vga.say("poke 260 7");
  {
    using rig = new Rig(vga.place, { isVga: true, searchFirst: true });
    assertEquals([rig.steps(), rig.source.nextNs], [[], NEVER], "nobody watches");
    rig.source.once();
    assertEquals(rig.steps(), ["linear", "picture"]);
    assertEquals([rig.source.readsRegisters, rig.canvas.width, rig.canvas.words[65]], [true, 64, 7]);
    rig.source.modeMayHaveChanged();
    assertEquals(rig.steps(), []);
  }
  // Twice, not at all, and such as no card has: it asks, and the answer is as good as ever.
  for (const state of ["state 2 64 32 32 65", "forget", "state 1 64 32 31 65", "state 1 0 32 32 65"]) {
    await vga.say(state);
    using rig = new Rig(vga.place, { isVga: true, searchFirst: true });
    rig.source.demand(10);
    assertEquals(rig.steps(), ["ask"], state);
    assertEquals(rig.answer(64, 32, 32), ["linear"], state);
    assertEquals(rig.source.readsRegisters, false);
  }
});

Deno.test("vram source: registers that are there twice, or not at all: the monitor is asked", async () => {
  await using vga = await FakeVga.start("private");
  await vga.say("state 2 64 32 32 65");
  using rig = new Rig(vga.place);
  rig.source.demand(10);
  assertEquals(rig.steps(), ["ask"]);
  assertEquals(rig.answer(64, 32, 32), ["linear"]);
  assertEquals(rig.source.readsRegisters, false);
  for (let i = 0; i < 9; i++) {
    rig.nowNs += SECOND / 10;
    assertEquals(rig.steps(), []);
  }
  rig.nowNs += SECOND / 10;
  assertEquals(rig.steps(), ["ask"], "once a second");
  assertEquals(rig.answer(64, 32, 32), []);
  rig.source.modeMayHaveChanged();
  assertEquals(rig.steps(), ["ask"]);
  assertEquals(rig.answer(32, 32, 24), ["linear"]);
  rig.source.once();
  assertEquals(rig.steps(), ["ask"], "before each single picture");
  assertEquals(rig.answer(32, 32, 24), ["picture"]);
  rig.source.modeMayHaveChanged();
  assertEquals(rig.steps(), ["ask"]);
  rig.source.onRegisters(undefined, rig.nowNs);
  assertEquals([rig.steps(), rig.source.mode], [["off"], { kind: "off" }]);
  rig.source.once();
  rig.steps();
  assertEquals(rig.answer(32, 32, 8), ["invalid", "no picture"], "a palette that nobody knows");
});

Deno.test("vram source: memory that goes away, and a process that ends, end it once", async () => {
  for (const [how, why] of [["unmap", "its video memory is no longer there"], ["end", "QEMU has ended"]]) {
    const before = openFdCount();
    await using vga = await FakeVga.start("private");
    {
      using rig = new Rig(vga.place, { isVga: true, onlyAsk: true });
      rig.source.demand(10);
      rig.steps();
      assertEquals(rig.answer(64, 32, 32), ["linear"]);
      if (how === "unmap") await vga.say("unmap");
      else await vga.end();
      rig.nowNs += SECOND / 10;
      const told = rig.steps();
      assertEquals(told.length, 1);
      assert(told[0]!.startsWith(`lost ${CODE["seam-down"]} ${why}`), told[0]);
      rig.source.once();
      assertEquals([rig.steps(), rig.source.nextNs], [[], NEVER]);
    }
    assertEquals(openFdCount(), before);
  }
});

Deno.test("vram source: registers that are overwritten end it", async () => {
  await using vga = await FakeVga.start("private");
  await vga.say("state 1 64 32 32 65");
  using rig = new Rig(vga.place);
  rig.source.demand(10);
  rig.steps();
  rig.answer(64, 32, 32);
  assert(rig.source.readsRegisters);
  await vga.say("forget");
  rig.nowNs += SECOND;
  assertEquals(rig.steps().map((line) => line.slice(0, 6)), ["lost 6"]);
});

Deno.test("video memory: a memfd is read itself; another process, place or size is refused", async () => {
  const before = openFdCount();
  await using vga = await FakeVga.start("memfd");
  await vga.say("poke 5 77");
  {
    using memory = VideoMemory.open(vga.place);
    assertEquals(memory.access, "memfd");
    const bytes = new Uint8Array(8);
    assertEquals([memory.read(0, bytes), bytes[5], memory.isThere], [true, 77, true]);
    using rig = new Rig(vga.place, { isVga: false });
    rig.source.once();
    rig.steps();
    assertEquals(rig.answer(64, 32, 32), ["linear", "picture"]);
    assertEquals(rig.canvas.pixels[5], 77);
  }
  const refused = (change: Partial<VideoMemoryPlace>): string => {
    const error = assertThrows(() => VideoMemory.open({ ...vga.place, ...change }), Fault);
    return error.code;
  };
  assertEquals(refused({ started: "1" }), "no-endpoint");
  assertEquals(refused({ pid: 4_194_303 }), "no-endpoint");
  assertEquals(refused({ sizeBytes: 2 * SIZE }), "refused");
  assertEquals(refused({ address: 4096 }), "refused");
  assertEquals(refused({ address: NaN }), "refused");
  assertEquals(refused({ sizeBytes: 2 ** 40 }), "refused");
  assertEquals(refused({ monitorUid: 65_534 }), "refused");
  assertEquals(openFdCount(), before);
});
