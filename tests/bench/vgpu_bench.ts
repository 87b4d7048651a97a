/**
 * Reading a producer's region: frames and cursor on a real guest (its pages lie in RAM as its kernel put
 * them), discovery over a guest of 200 processes and 2 GiB in this process. The peer of a frame is a plain
 * copy of as many bytes out of the same mapping, taken in turns.
 * @module
 */
import { findSystem } from "../../src/controls/perception/find_system.ts";
import type { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { type RegionCandidate, RegionScan } from "../../src/vgpu/discovery.ts";
import { Cursor, FrameInfo } from "../../src/vgpu/snapshots.ts";
import { READ, type VgpuRegion } from "../../src/vgpu/vgpu_region.ts";
import { RegionBytes } from "../fixtures/vgpu_bytes.ts";
import { TestGuest } from "../fixtures/vgpu_guest.ts";
import { checkStamp } from "../fixtures/vgpu_stamp.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";

const ROUNDS = 15;
const FRAMES_A_ROUND = 10;
const FRAMES_A_SECOND = 240;

/** A guest with a producer that stands still, and its region. */
async function withRegion<T>(
  width: number,
  height: number,
  use: (region: VgpuRegion, memory: PhysicalMemory, ramPath: string) => T | Promise<T>,
): Promise<T> {
  await using vm = await startGuest({ programs: ["vgpu_producer"], ramMiB: 512, memory: "memfd" });
  const producer = await vm.agent.start(
    "vgpu_producer",
    `width=${width}`,
    `height=${height}`,
    "frozen=1",
    "slots=2",
    "cursor=off",
  );
  await producer.lineMatching(/^ready/);
  await producer.write("frame\n");
  await producer.lineMatching(/^frame/);
  using ram = openQemuRam(vm.pid);
  ram.memory.refresh();
  const found = findSystem(ram.memory);
  if (!found.found) throw new Error(found.detail);
  const [candidate] = new RegionScan(found.os).run();
  if (candidate === undefined) throw new Error("the producer's region is not found");
  return await use((candidate as RegionCandidate).region, ram.memory, `/proc/${Deno.pid}/fd/${ram.fds[0]}`);
}

/** Samples and plain copies in turns; ms a frame of each. */
function frameTimes(
  region: VgpuRegion,
  memory: PhysicalMemory,
  bytes: number,
): { ours: number[]; plain: number[] } {
  const into = new Uint8Array(bytes);
  const info = new FrameInfo();
  const sample = () => {
    region.forgetFrames();
    if (region.sampleFrame(into, info) !== READ.FRESH) throw new Error(`no frame: ${region.why}`);
  };
  sample();
  if (checkStamp(new Int32Array(into.buffer), bytes) !== info.frameId) {
    throw new Error("the frame is not whole");
  }
  const { mapped } = memory.port.segments.find(({ sizeBytes }) => sizeBytes > bytes + 2 ** 27) ?? {};
  if (mapped === undefined) throw new Error("no segment is large enough for a plain copy");
  // The middle of RAM: as warm and as large-paged as the region's own pages.
  const source = new Uint8Array(mapped.buffer, mapped.byteOffset + 2 ** 27, bytes);
  const copy = () => into.set(source);
  for (let warm = 0; warm < FRAMES_A_ROUND; warm++) sample(), copy();
  const ours: number[] = [];
  const plain: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(timed(sample));
    plain.push(timed(copy));
  }
  return { ours, plain };
}

function timed(what: () => void): number {
  const started = performance.now();
  for (let i = 0; i < FRAMES_A_ROUND; i++) what();
  return (performance.now() - started) / FRAMES_A_ROUND;
}

const PLAIN = "a plain copy of as many bytes out of the same mapping";

async function sample4k(): Promise<BenchResult> {
  const bytes = 3840 * 2160 * 4;
  return await withRegion(3840, 2160, (region, memory) => {
    const { ours, plain } = frameTimes(region, memory, bytes);
    const speed = (ms: number) => bytes / ms / 1e6;
    return resultOf("vgpu.sample4k", "GB/s", "higher", ours.map(speed), plain.map(speed), PLAIN);
  });
}

async function small(): Promise<BenchResult[]> {
  const bytes = 1920 * 1080 * 4;
  return await withRegion(1920, 1080, async (region, memory, ramPath) => {
    const { ours, plain } = frameTimes(region, memory, bytes);
    const share = (ms: number) => ms * FRAMES_A_SECOND / 10;
    const cursor = new Cursor();
    const reads: number[] = [];
    const floor: number[] = [];
    for (let round = 0; round < 7; round++) {
      const started = performance.now();
      for (let i = 0; i < 50_000; i++) region.readCursor(cursor);
      reads.push((performance.now() - started) / 50);
      const [, cursorNs = 0] = await numbersOf(cFloor("vgpu_floor"), [ramPath, "0x1000000", "4096", "5"]);
      floor.push(cursorNs / 1000);
    }
    return [
      resultOf("vgpu.sample1080", "% of a core", "lower", ours.map(share), plain.map(share), PLAIN),
      resultOf(
        "vgpu.cursor",
        "us",
        "lower",
        reads,
        floor,
        "C: a seqlock read at a known address of the mapping, no page tables",
      ),
    ];
  });
}

/** 200 processes that map 2 GiB in all, 4 KiB at a time and scattered; the last one has the region. */
function crowdedGuest(): TestGuest {
  const processes = 200;
  const pages = 2 ** 31 / 4096 / processes;
  const guest = new TestGuest(2 ** 31 + 2 ** 26);
  for (let pid = 1; pid <= processes; pid++) {
    const { root } = guest.addProcess(pid);
    for (let i = 0; i < pages; i++) {
      const gpa = guest.page();
      guest.ram.put32(gpa, pid * i);
      guest.map(root, 0x7f00_0000_0000 + i * 4096, gpa);
    }
    if (pid === processes) guest.place(root, 0x5555_0000_0000, new RegionBytes({ producerPid: pid }).bytes);
  }
  return guest;
}

function discover(): BenchResult {
  const guest = crowdedGuest();
  const scan = new RegionScan(guest.os());
  const ours: number[] = [];
  for (let round = 0; round < 9; round++) {
    const started = performance.now();
    const found = scan.run("all").length;
    ours.push(performance.now() - started);
    if (found !== 1) throw new Error(`${found} regions found`);
  }
  return resultOf("vgpu.discover", "ms", "lower", ours, null, null);
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "vgpu.sample4k", run: sample4k },
  { name: "vgpu.sample1080", names: ["vgpu.sample1080", "vgpu.cursor"], run: small },
  { name: "vgpu.discover", run: discover },
];
