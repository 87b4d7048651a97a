/**
 * The picture and the text of a std VGA out of QEMU's memory, beside a QMP screendump of the same VM as PNG;
 * what taking 60 of them a second does to QEMU's answers; a console's picture read glyph by glyph. The VM has
 * no system: its boot sector sets the mode.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import { vgaFonts } from "../../src/display/text/glyph_font.ts";
import { GlyphReader } from "../../src/display/text/glyph_reader.ts";
import { VgaTextReader } from "../../src/display/text/vga_text.ts";
import { parseRegisters, registersCommand } from "../../src/display/vga/monitor_texts.ts";
import { VideoMemory } from "../../src/display/vga/video_memory.ts";
import { VramSource } from "../../src/display/vga/vram_source.ts";
import { TextDrawing } from "../fixtures/text_picture.ts";
import { VgaGuest } from "../guest/vga_guest.ts";
import type { WatchOrder } from "./display_watcher.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";

const ROUNDS = 31;
const QUESTIONS = 800;
const WINDOWS = 15;

/** A source that knows the mode by QEMU's memory, on a VM at 1280x800x32. */
async function withSource<T>(
  use: (guest: VgaGuest, source: VramSource, memory: VideoMemory, canvas: MemoryCanvas) => Promise<T>,
): Promise<T> {
  await using guest = await VgaGuest.start();
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  // Nearly black: what a PNG is made of fastest.
  await guest.fill(1, 1);
  const [card] = await guest.cards();
  if (card?.registers === undefined) throw new Error("the VM has no VGA");
  const canvas = new MemoryCanvas();
  let asked = false;
  const memory = VideoMemory.open(await guest.place(card));
  using source = new VramSource(memory, canvas, {
    onLost: (_code, why) => console.error(why),
    onPicture: () => {},
    onNoPicture: () => {},
    onMode: () => {},
    askMode: () => asked = true,
  }, { isVga: true });
  source.demand(240);
  while (!source.readsRegisters) {
    source.step(monotonicClock.nowNs());
    if (!asked) continue;
    asked = false;
    const answer = parseRegisters(await guest.monitor(registersCommand(card.registers)));
    source.onRegisters(answer, monotonicClock.nowNs());
  }
  source.demand(0);
  return await use(guest, source, memory, canvas);
}

function picture(source: VramSource): void {
  source.once();
  source.step(monotonicClock.nowNs());
}

async function timed(work: () => void | Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Pictures of which everything is new, pictures of which nothing is, and screendumps, in turns. */
function pictures(): Promise<BenchResult[]> {
  return withSource(async (guest, source, _memory, canvas) => {
    const file = `${guest.vm.dir}/picture.png`;
    const dump = async () => void await guest.qmp.execute("screendump", { filename: file, format: "png" });
    const [fresh, still, dumps]: [number[], number[], number[]] = [[], [], []];
    for (let round = -3; round < ROUNDS; round++) {
      canvas.words.fill(0x55_5555);
      const figures = [
        await timed(() => picture(source)),
        await timed(() => picture(source)),
        await timed(dump),
      ] as const;
      if (round < 0) continue;
      fresh.push(figures[0]);
      still.push(figures[1]);
      dumps.push(figures[2]);
    }
    const peer = "QMP screendump png";
    return [
      resultOf("display.vram", "ms/1280x800", "lower", fresh, dumps, peer),
      resultOf("display.vram_still", "ms/1280x800", "lower", still, dumps, peer),
    ];
  });
}

/**
 * The slowest of a hundred answers of QEMU to a bare C client: alone, with 60 pictures a second, with 60
 * screendumps.
 */
async function answers(): Promise<BenchResult[]> {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  await guest.fill(1, 64);
  const client = cFloor("qmp_client");
  const [card] = await guest.cards();
  if (card?.registers === undefined) throw new Error("the VM has no VGA");
  const registers = parseRegisters(await guest.monitor(registersCommand(card.registers)));
  const place = await guest.place(card);
  const file = `${guest.vm.dir}/picture.ppm`;
  const p99 = async (): Promise<number> => {
    const [, us = NaN] = await numbersOf(client, ["status", guest.vm.qmpPaths[1] ?? "", `${QUESTIONS}`]);
    return us / 1000;
  };
  const [quiet, watched, dumped]: [number[], number[], number[]] = [[], [], []];
  await p99();
  for (let window = 0; window < WINDOWS; window++) {
    quiet.push(await p99());
    {
      using _watcher = await Watcher.start({ place, registers, qmpPath: "", file });
      watched.push(await p99());
    }
    using _dumper = await Watcher.start({ place, registers, qmpPath: guest.vm.qmpPath, file });
    dumped.push(await p99());
  }
  const peer = "query-status unwatched";
  return [
    resultOf("display.vram_answers", "ms p99", "lower", watched, quiet, peer),
    resultOf("display.dump_answers", "ms p99", "lower", dumped, quiet, peer),
  ];
}

/** A thread that takes 60 pictures a second. */
class Watcher implements Disposable {
  readonly #worker = new Worker(new URL("./display_watcher.ts", import.meta.url).href, { type: "module" });

  /** Starts it and waits for its first picture. */
  static async start(order: WatchOrder): Promise<Watcher> {
    const watcher = new Watcher();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    watcher.#worker.onmessage = () => resolve();
    watcher.#worker.onerror = (event) => reject(new Error(event.message));
    watcher.#worker.postMessage(order);
    await promise;
    return watcher;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** The text of a VGA's text screen out of its memory, beside a screendump of it. */
async function vgaText(): Promise<BenchResult> {
  return await withSource(async (guest, source, memory) => {
    await guest.video(3);
    await guest.print(new TextEncoder().encode("all work and no play makes a dull boy ".repeat(50)));
    const reader = new VgaTextReader();
    const file = `${guest.vm.dir}/text.png`;
    const [ours, dumps]: [number[], number[]] = [[], []];
    for (let round = -20; round < ROUNDS; round++) {
      let found = false;
      const time = await timed(() => {
        found = reader.read(memory, source.registers()) !== undefined;
      });
      if (!found) throw new Error("there is no text");
      const dump = await timed(async () =>
        void await guest.qmp.execute("screendump", { filename: file, format: "png" })
      );
      if (round < 0) continue;
      ours.push(time);
      dumps.push(dump);
    }
    return resultOf("display.vga_text", "ms/80x25", "lower", ours, dumps, "QMP screendump png");
  });
}

/** A console of 100x37 glyph by glyph, beside a plain look at each of its pixels. */
async function glyphs(): Promise<BenchResult> {
  const [font] = vgaFonts();
  if (font === undefined) throw new Error("there is no font");
  const drawing = new TextDrawing({ width: 800, height: 600, font });
  for (let row = 0; row < 37; row++) {
    for (let column = 0; column < 100; column++) drawing.glyph(column, row, 33 + (row * 7 + column * 3) % 94);
  }
  const reader = new GlyphReader(vgaFonts());
  const [ours, plain]: [number[], number[]] = [[], []];
  for (let round = -20; round < ROUNDS; round++) {
    const time = await timed(() => {
      if (reader.read(drawing)?.unknown !== 0) throw new Error("the console is not read");
    });
    let sum = 0;
    const look = await timed(() => {
      for (let i = 0; i < drawing.words.length; i++) sum ^= drawing.words[i] as number;
    });
    if (sum === -1) throw new Error("no sum");
    if (round < 0) continue;
    ours.push(time);
    plain.push(look);
  }
  return resultOf("display.glyphs", "ms/100x37", "lower", ours, plain, "each pixel looked at once");
}

/** All benchmarks of displays. */
export const benches: readonly Bench[] = [
  { name: "display.vram", names: ["display.vram", "display.vram_still"], run: pictures },
  { name: "display.vga_text", run: vgaText },
  { name: "display.glyphs", run: glyphs },
  { name: "display.vram_answers", names: ["display.vram_answers", "display.dump_answers"], run: answers },
];
