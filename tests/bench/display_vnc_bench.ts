/**
 * VNC: how long from a change in a guest to the committed picture, beside a bare C client on the same VM that
 * sees the same change; and the processor time of sixteen sources with ten pictures of 1280x800 a second
 * each, beside sixteen bare C clients that only decode.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { Poller } from "../../ffi/poller.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import { VncSource } from "../../src/display/vnc/vnc_source.ts";
import { MODE, ModeMachine } from "../guest/mode_disk.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";

const CLIENTS = 16;
const PICTURES = 50;
const ROUNDS = 3;
const CHANGES = 60;
const TICK_MS = 100;
const MS = 1e6;

async function cpu(): Promise<BenchResult> {
  const floor = cFloor("vnc_floor");
  const dir = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  const path = `${dir}/vnc`;
  const server = new Deno.Command(floor, { args: ["server", path, String(TICK_MS)], stdout: "piped" })
    .spawn();
  const reader = server.stdout.getReader();
  await reader.read();
  try {
    const ours: number[] = [];
    const theirs: number[] = [];
    const child = new URL("./display_vnc_child.ts", import.meta.url).pathname;
    for (let round = 0; round < ROUNDS; round++) {
      const each = await Promise.all(
        Array.from({ length: CLIENTS }, () => numbersOf(floor, ["client", path, String(PICTURES)])),
      );
      theirs.push(each.reduce((sum, [ns = 0]) => sum + ns, 0) / PICTURES / MS);
      const args = ["run", "-A", "--no-check", child, path, String(CLIENTS), String(PICTURES)];
      const [ns = 0] = await numbersOf(Deno.execPath(), args);
      ours.push(ns / PICTURES / MS);
    }
    const unit = "ms of processor time a tenth of a second";
    return resultOf("display.vnc.cpu16", unit, "lower", ours, theirs, `${CLIENTS} bare C clients`);
  } finally {
    server.kill("SIGKILL");
    await reader.cancel();
    await server.status;
    await Deno.remove(dir, { recursive: true });
  }
}

async function latency(): Promise<BenchResult> {
  const floor = cFloor("vnc_floor");
  const dir = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  const path = `${dir}/vnc`;
  try {
    await using machine = await ModeMachine.start({ extraArgs: ["-vnc", `unix:${path}`] });
    await machine.set(MODE["1280x1024x32"]);
    const client = new Deno.Command(floor, { args: ["times", path, "1000000"], stdout: "piped" }).spawn();
    const ends: number[] = [];
    const reading = (async () => {
      for await (const text of client.stdout.pipeThrough(new TextDecoderStream())) {
        ends.push(...text.split("\n").filter((line) => line !== "").map(Number));
      }
    })();
    const canvas = new MemoryCanvas();
    const listener = { onLost: () => {}, onPicture: () => {} };
    using source = new VncSource({
      address: { kind: "unix", path },
      canvas,
      listener,
      nowNs: monotonicClock.nowNs(),
    });
    source.demand(240);
    const changes: number[] = [];
    const ours: number[] = [];
    try {
      for (let i = 0; i < CHANGES; i++) {
        await drain(source);
        await new Promise((resolve) => setTimeout(resolve, 40 + i));
        await drain(source);
        const { commits } = canvas;
        const startNs = monotonicClock.nowNs();
        await machine.set(MODE.REPAINT);
        untilCommit(source, canvas, commits);
        changes.push(startNs);
        ours.push((monotonicClock.nowNs() - startNs) / MS);
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    } finally {
      client.kill("SIGKILL");
      await client.status;
      await reading;
    }
    // The very first is the compiler's.
    const theirs = changes.map((startNs) => ((ends.find((end) => end > startNs) ?? NaN) - startNs) / MS);
    return resultOf(
      "display.vnc.change.p50",
      "ms",
      "lower",
      ours.slice(10),
      theirs.slice(10),
      "a bare C client on the same VM",
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Takes what is there. */
async function drain(source: VncSource): Promise<void> {
  for (let i = 0; i < 5; i++) {
    source.step(monotonicClock.nowNs());
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function untilCommit(source: VncSource, canvas: MemoryCanvas, commits: number): void {
  using poller = new Poller(4);
  let events = source.events;
  poller.add(source.fd, events, 0);
  while (canvas.commits === commits) {
    poller.waitNs(Math.min(source.nextNs - monotonicClock.nowNs(), 1e9));
    source.step(monotonicClock.nowNs());
    if (events !== source.events) poller.modify(source.fd, events = source.events, 0);
  }
  poller.remove(source.fd);
}

/** All benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "display.vnc.change.p50", run: latency },
  { name: "display.vnc.cpu16", run: cpu },
];
