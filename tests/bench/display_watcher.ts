/**
 * A thread that takes 60 pictures a second of a VM: out of its video memory, or by screendumps.
 *
 * It ends when it is told to, by a word that both threads see: `terminate()` does not end a Worker that goes
 * round by itself (Deno 2.9.6), and one that was left would take its pictures beside all that come after it.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { Poller } from "../../ffi/poller.ts";
import { yieldToWakers } from "../../ffi/scheduler.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import { VideoMemory, type VideoMemoryPlace } from "../../src/display/vga/video_memory.ts";
import { VramSource } from "../../src/display/vga/vram_source.ts";
import { TestQmp } from "../guest/test_qmp.ts";

/** What it is to do. */
export interface WatchOrder {
  readonly place: VideoMemoryPlace;
  /** The card's registers as the monitor shows them. */
  readonly registers: Uint16Array<ArrayBuffer> | undefined;
  /** A monitor for screendumps; "" = out of video memory. */
  readonly qmpPath: string;
  /** Where screendumps go. */
  readonly file: string;
  /** Of {@linkcode WATCH_WORD}. */
  readonly words: SharedArrayBuffer;
}

/** Words that both threads see: the watcher is to end; how many pictures it has taken. */
export const WATCH_WORD = { stop: 0, pictures: 1, count: 2 } as const;
/** Pictures and screendumps a second. */
export const PER_SECOND = 60;

self.onmessage = (event: MessageEvent<WatchOrder>) => {
  const order = event.data;
  if (order.qmpPath === "") watch(order);
  else dump(order);
};

function watch(order: WatchOrder): void {
  // As perception does.
  yieldToWakers();
  let mustAnswer = false;
  const words = new Int32Array(order.words);
  const canvas = new CountingCanvas(words);
  using source = new VramSource(VideoMemory.open(order.place), canvas, {
    onLost: () => Atomics.store(words, WATCH_WORD.stop, 1),
    onPicture: () => self.postMessage("ready"),
    onNoPicture: () => {},
    onMode: () => {},
    askMode: () => mustAnswer = true,
  }, { isVga: true });
  source.demand(PER_SECOND);
  source.once();
  // Waits as perception does, to the microsecond: a timer of JavaScript's counts milliseconds.
  using poller = new Poller(1);
  while (Atomics.load(words, WATCH_WORD.stop) === 0) {
    const nowNs = monotonicClock.nowNs();
    if (mustAnswer) {
      mustAnswer = false;
      source.onRegisters(order.registers, nowNs);
    }
    if (source.nextNs <= nowNs) source.step(nowNs);
    else poller.waitNs(source.nextNs - nowNs);
  }
  self.postMessage("ended");
  self.close();
}

/** Counts its pictures. */
class CountingCanvas extends MemoryCanvas {
  readonly #words: Int32Array;

  /** A canvas of no size. */
  constructor(words: Int32Array) {
    super();
    this.#words = words;
  }

  override commit(nowNs: number): void {
    super.commit(nowNs);
    Atomics.add(this.#words, WATCH_WORD.pictures, 1);
  }
}

async function dump(order: WatchOrder): Promise<void> {
  const qmp = await TestQmp.connect(order.qmpPath);
  const words = new Int32Array(order.words);
  const gapNs = 1e9 / PER_SECOND;
  let nextNs = monotonicClock.nowNs();
  while (Atomics.load(words, WATCH_WORD.stop) === 0) {
    await qmp.execute("screendump", { filename: order.file });
    if (Atomics.add(words, WATCH_WORD.pictures, 1) === 0) self.postMessage("ready");
    const nowNs = monotonicClock.nowNs();
    // What was late is left out, as an interval's is.
    nextNs = Math.max(nextNs + gapNs, nowNs);
    await new Promise((resolve) => setTimeout(resolve, (nextNs - nowNs) / 1e6));
  }
  await qmp[Symbol.asyncDispose]();
  self.postMessage("ended");
  self.close();
}
