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
import { PER_SECOND, WATCH_WORD, type WatchOrder } from "./display_watcher.ts";
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
 * The slowest of a hundred answers of QEMU to a bare C client: alone, with 60 pictures a second, with as many
 * bytes read as often by a plain C program, with 60 screendumps. The windows are interleaved.
 */
async function answers(): Promise<BenchResult[]> {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  await guest.fill(1, 64);
  const client = cFloor("qmp_client");
  const reader = cFloor("vram_floor");
  const [card] = await guest.cards();
  if (card?.registers === undefined) throw new Error("the VM has no VGA");
  const registers = parseRegisters(await guest.monitor(registersCommand(card.registers)));
  const place = await guest.place(card);
  const file = `${guest.vm.dir}/picture.ppm`;
  const p99 = async (): Promise<number> => {
    const [, us = NaN] = await numbersOf(client, ["status", guest.vm.qmpPaths[1] ?? "", `${QUESTIONS}`]);
    return us / 1000;
  };
  const order = { place, registers, file };
  const [quiet, watched, floor, dumped]: [number[], number[], number[], number[]] = [[], [], [], []];
  const [taken, shot]: [number[], number[]] = [[], []];
  await p99();
  for (let window = 0; window < WINDOWS; window++) {
    quiet.push(await p99());
    {
      await using watcher = await Watcher.start({ ...order, qmpPath: "" });
      watched.push(await watcher.during(p99, taken));
    }
    {
      await using _reader = await startReader(reader, [
        `${place.pid}`,
        `${place.address}`,
        `${1280 * 800 * 4}`,
      ]);
      floor.push(await p99());
    }
    await using dumper = await Watcher.start({ ...order, qmpPath: guest.vm.qmpPath });
    dumped.push(await dumper.during(p99, shot));
  }
  const peer = "query-status unwatched";
  return [
    resultOf("display.vram_answers", "ms p99", "lower", watched, quiet, peer),
    resultOf("display.vram_answersC", "ms p99", "lower", floor, quiet, `${peer} (ours: read in C)`),
    resultOf("display.dump_answers", "ms p99", "lower", dumped, quiet, peer),
    resultOf("display.vram_taken", "pictures/s", "higher", taken, shot, "screendumps beside those answers"),
  ];
}

/** A thread that takes 60 pictures a second. */
class Watcher implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./display_watcher.ts", import.meta.url).href, { type: "module" });
  readonly #shared = new SharedArrayBuffer(WATCH_WORD.count * 4);
  readonly #words = new Int32Array(this.#shared);
  readonly #ended = Promise.withResolvers<void>();

  /** Starts it and waits until it has taken pictures for a second: by then the engine has compiled it. */
  static async start(order: Omit<WatchOrder, "words">): Promise<Watcher> {
    const watcher = new Watcher();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    watcher.#worker.onmessage = ({ data }) => data === "ended" ? watcher.#ended.resolve() : resolve();
    watcher.#worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
      watcher.#ended.resolve();
    };
    watcher.#worker.postMessage({ ...order, words: watcher.#shared });
    await promise;
    await new Promise((warm) => setTimeout(warm, 1000));
    return watcher;
  }

  /** Measures while it watches; pictures a second meanwhile go to `rates`. */
  async during(measure: () => Promise<number>, rates: number[]): Promise<number> {
    const [before, start] = [Atomics.load(this.#words, WATCH_WORD.pictures), performance.now()];
    const figure = await measure();
    const count = Atomics.load(this.#words, WATCH_WORD.pictures) - before;
    rates.push(count * 1000 / (performance.now() - start));
    return figure;
  }

  /** Ends it, and waits until it has. */
  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(this.#words, WATCH_WORD.stop, 1);
    await this.#ended.promise;
    this.#worker.terminate();
  }
}

/** The same bytes as often, in C; it has read once when this returns. */
async function startReader(path: string, args: readonly string[]): Promise<AsyncDisposable> {
  const child = new Deno.Command(path, { args: [...args, `${PER_SECOND}`], stdout: "piped" }).spawn();
  const lines = child.stdout.getReader();
  const { done } = await lines.read();
  if (done) throw new Error(`${path} ${args.join(" ")} has read nothing`);
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await lines.cancel();
    },
  };
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
  {
    name: "display.vram_answers",
    names: ["display.vram_answers", "display.vram_answersC", "display.dump_answers", "display.vram_taken"],
    run: answers,
  },
];
