/**
 * A thread that takes 60 pictures a second of a VM: out of its video memory, or by screendumps.
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
}

const PER_SECOND = 60;

self.onmessage = (event: MessageEvent<WatchOrder>) => {
  const order = event.data;
  if (order.qmpPath === "") watch(order);
  else dump(order);
};

function watch(order: WatchOrder): void {
  // As perception does.
  yieldToWakers();
  let mustAnswer = false;
  const source = new VramSource(VideoMemory.open(order.place), new MemoryCanvas(), {
    onLost: () => self.close(),
    onPicture: () => self.postMessage("ready"),
    onNoPicture: () => {},
    onMode: () => {},
    askMode: () => mustAnswer = true,
  }, { isVga: true });
  source.demand(PER_SECOND);
  source.once();
  // Waits as perception does, to the microsecond: a timer of JavaScript's counts milliseconds.
  const poller = new Poller(1);
  for (;;) {
    const nowNs = monotonicClock.nowNs();
    if (mustAnswer) {
      mustAnswer = false;
      source.onRegisters(order.registers, nowNs);
    }
    if (source.nextNs <= nowNs) source.step(nowNs);
    else poller.waitNs(source.nextNs - nowNs);
  }
}

async function dump(order: WatchOrder): Promise<void> {
  const qmp = await TestQmp.connect(order.qmpPath);
  const one = () => qmp.execute("screendump", { filename: order.file });
  await one();
  self.postMessage("ready");
  let busy = false;
  setInterval(async () => {
    if (busy) return;
    busy = true;
    try {
      await one();
    } catch {
      // The VM has ended before this thread.
      return self.close();
    }
    busy = false;
  }, 1000 / PER_SECOND);
}
