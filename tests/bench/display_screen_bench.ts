/**
 * A picture of 1280x800 by the client library through the daemon, by each source that std VGA has, beside a
 * bare QMP screendump of the same VM as PNG; what watching one VM adds to the daemon's memory, in frames; and
 * what a display that nobody watches costs.
 * @module
 */
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { VgaGuest } from "../guest/vga_guest.ts";
import { type Bench, type BenchResult, median, resultOf } from "./bench.ts";

const ROUNDS = 41;
const WARM_ROUNDS = 10;
const FRAME_BYTES = 1280 * 800 * 4;
/** VMs of which the memory is measured. */
const WATCHED = 5;
/** What each of them may take, in frames. */
const LIMIT = 3 + 1e6 / FRAME_BYTES;

function config(name: string, qmp: string | undefined, display: string): string {
  return `[[endpoint]]\nname = "${name}"\nqmp = "${qmp}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function pictures(): Promise<BenchResult[]> {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  // Nearly black: what a PNG is made of fastest.
  await guest.fill(1, 1);
  const [first, second] = guest.vm.qmpPaths;
  await using daemon = await DaemonProcess.start({
    config: config("vram", first, "vram") + config("dump", second, "screendump"),
  });
  await using client = await daemon.connect("bench");
  const file = `${guest.vm.dir}/picture.png`;
  const figures: Record<"vram" | "dump" | "png", number[]> = { vram: [], dump: [], png: [] };
  for (let round = -WARM_ROUNDS; round < ROUNDS; round++) {
    const vram = await timed(() => client.frame("vram"));
    const dump = await timed(() => client.frame("dump"));
    const png = await timed(() => guest.qmp.execute("screendump", { filename: file, format: "png" }));
    if (round < 0) continue;
    figures.vram.push(vram);
    figures.dump.push(dump);
    figures.png.push(png);
  }
  const peer = "QMP screendump png";
  return [
    resultOf("display.frame.vram", "ms/1280x800", "lower", figures.vram, figures.png, peer),
    resultOf("display.frame.screendump", "ms/1280x800", "lower", figures.dump, figures.png, peer),
  ];
}

/** A VGA's text screen by the client library, beside a bare screendump of it. */
async function text(): Promise<BenchResult> {
  await using guest = await VgaGuest.start({ qmpSockets: 2 });
  await guest.video(3);
  await guest.print(new TextEncoder().encode("all work and no play makes a dull boy ".repeat(50)));
  await using daemon = await DaemonProcess.start({ config: config("vm", guest.vm.qmpPaths[0], "vram") });
  await using client = await daemon.connect("bench");
  const file = `${guest.vm.dir}/text.png`;
  // The registers are found in QEMU's memory first.
  for (let i = 0; i < 500 && (await client.screenText("vm")).source !== "vga"; i++);
  const [ours, dumps]: [number[], number[]] = [[], []];
  for (let round = -20; round < ROUNDS; round++) {
    // Behind a dump the first one finds cold caches: what is asked again and again counts.
    const times: number[] = [];
    for (let i = 0; i < 5; i++) times.push(await timed(() => client.screenText("vm")));
    const dump = await timed(() => guest.qmp.execute("screendump", { filename: file, format: "png" }));
    if (round < 0) continue;
    ours.push(median(times));
    dumps.push(dump);
  }
  return resultOf("display.text.vga", "ms/80x25", "lower", ours, dumps, "QMP screendump png");
}

/** The daemon's resident bytes, mapped rings included. */
async function resident(pid: number): Promise<number> {
  const text = await Deno.readTextFile(`/proc/${pid}/status`);
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? NaN);
}

/** What each watched VM adds behind the first one, which has started perception. */
async function memory(): Promise<BenchResult[]> {
  const results: BenchResult[] = [];
  for (const display of ["vram", "screendump"]) {
    await using guests = new AsyncDisposableStack();
    const vms: VgaGuest[] = [];
    for (let i = 0; i < WATCHED; i++) vms.push(guests.use(await VgaGuest.start({ qmpSockets: 2 })));
    await using daemon = await DaemonProcess.start({
      config: vms.map(({ vm }, i) => config(`vm${i}`, vm.qmpPaths[0], display)).join(""),
    });
    await using client = await daemon.connect("bench");
    const watched: AsyncGenerator[] = [];
    const seen: number[] = [];
    for (const [i, guest] of vms.entries()) {
      await guest.setMode({ width: 1280, height: 800, bits: 32 });
      const frames = client.frames(`vm${i}`, { perSecond: 30 });
      watched.push(frames);
      // Each slot of the ring has had its pictures, and the heap has settled.
      for (let count = 0; count < 40; count++) {
        await guest.fill(count, 64);
        await frames.next();
      }
      seen.push(await resident(daemon.pid));
    }
    const grown = ((seen.at(-1) ?? NaN) - (seen[0] ?? NaN)) / (WATCHED - 1) / FRAME_BYTES;
    for (const frames of watched) await frames.return(undefined);
    const unit = "frames per watched VM";
    results.push(resultOf(`display.rss.${display}`, unit, "lower", [grown], [LIMIT], "3 frames + 1 MB"));
  }
  return results;
}

/** Processor time of all threads of a process so far, ms. */
async function processorMs(pid: number): Promise<number> {
  let ns = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
    const text = await Deno.readTextFile(`/proc/${pid}/task/${name}/schedstat`).catch(() => "0");
    ns += Number(text.split(" ")[0]);
  }
  return ns / 1e6;
}

/** What a daemon that nobody asks costs, with a display that nobody watches any more and with none. */
async function idle(): Promise<BenchResult> {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  const [first, second] = guest.vm.qmpPaths;
  await using ours = await DaemonProcess.start({ config: config("vm", first, "auto") });
  await using theirs = await DaemonProcess.start({ config: config("vm", second, "none") });
  {
    await using client = await ours.connect("bench");
    for await (const _ of client.frames("vm", { perSecond: 60 })) break;
  }
  const [our, their]: [number[], number[]] = [[], []];
  for (let second = -10; second < 20; second++) {
    const before = [await processorMs(ours.pid), await processorMs(theirs.pid)] as const;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    if (second < 0) continue;
    our.push(await processorMs(ours.pid) - before[0]);
    their.push(await processorMs(theirs.pid) - before[1]);
  }
  return resultOf("display.idle", "ms of processor time a second", "lower", our, their, "display = none");
}

/** All benchmarks of this file. */
export const benches: readonly Bench[] = [
  {
    name: "display.frame.vram",
    names: ["display.frame.vram", "display.frame.screendump"],
    run: pictures,
  },
  { name: "display.idle", run: idle },
  { name: "display.text.vga", run: text },
  { name: "display.rss.vram", names: ["display.rss.vram", "display.rss.screendump"], run: memory },
];
