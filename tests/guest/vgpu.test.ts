/**
 * The vgpu library on real guests: found, sampled, obeyed, moved, copied, killed, rebooted; and the same
 * screen seen in two ways.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Mapping } from "../../ffi/mapping.ts";
import { OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { storeAtomic } from "../../ffi/shared_word.ts";
import { findSystem } from "../../src/controls/perception/find_system.ts";
import type { GuestOs } from "../../src/guest/guest_os.ts";
import { openQemuRam, type QemuRam } from "../../src/ram/qemu_ram.ts";
import { HostProcess } from "../../src/ram/host_process.ts";
import {
  buildControlWrite,
  type ControlIntent,
  isApplied,
  isFullFrameDone,
} from "../../src/vgpu/control_write.ts";
import { confirmAlive, type RegionCandidate, RegionScan } from "../../src/vgpu/discovery.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { crop, type Picture } from "../../src/vgpu/picture.ts";
import { ControlState, Cursor, FrameInfo, Geometry, ProducerState } from "../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../src/vgpu/vgpu_region.ts";
import { GuestRegion } from "../../src/vgpu/guest_region.ts";
import { checkStamp } from "../fixtures/vgpu_stamp.ts";
import { FRAMEBUFFER_MODULES } from "./build.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Reached by a hang alone. */
const LIMIT_MS = 180_000;

/** Looks until a condition holds; a guest under TCG beside other tests may take its time. */
async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  for (const end = performance.now() + LIMIT_MS; performance.now() < end;) {
    const value = look();
    if (value !== undefined && value !== false) return value as T;
    await pause(10);
  }
  throw new Error(`waited in vain for ${what}`);
}

function systemOf(ram: QemuRam): GuestOs {
  ram.memory.refresh();
  const found = findSystem(ram.memory);
  assert(found.found, found.found ? "" : found.detail);
  return found.os;
}

/** Two looks, some beats apart. */
async function twoLooks(os: GuestOs): Promise<RegionCandidate[]> {
  const scan = new RegionScan(os);
  const candidates = [...scan.run()];
  await pause(600);
  return confirmAlive(candidates, scan);
}

/** The regions that are alive, at least one: a guest that is slow just now is looked at again. */
async function living(os: GuestOs): Promise<RegionCandidate[]> {
  for (const end = performance.now() + LIMIT_MS;;) {
    const alive = await twoLooks(os);
    if (alive.length > 0 || performance.now() > end) return alive;
  }
}

function areSame([a, b]: readonly Picture[]): boolean {
  return a !== undefined && b !== undefined && a.rgba.every((byte, i) => byte === b.rgba[i]);
}

async function tell(producer: GuestProcess, line: string): Promise<string | undefined> {
  await producer.write(`${line}\n`);
  return await producer.line();
}

/** Runs a vmsig command. */
async function vmsig(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "main.ts", ...args],
    cwd: new URL("../..", import.meta.url).pathname,
  }).output();
  return { code, out: new TextDecoder().decode(stdout), error: new TextDecoder().decode(stderr) };
}

async function startProducer(vm: Qemu, ...options: string[]): Promise<GuestProcess> {
  const producer = await vm.agent.start("vgpu_producer", ...options);
  await producer.lineMatching(/^ready/);
  return producer;
}

/**
 * Writes as the memory seam does: the sequence word odd, the source, the word even; through a mapping of its
 * own.
 */
function writeControl(vm: Qemu, os: GuestOs, region: VgpuRegion, intent: ControlIntent): ControlState {
  const before = new ControlState();
  assertEquals(region.readControl(before), READ.FRESH);
  const write = buildControlWrite(region, before, intent);
  const gpa = os.kernel.withRoot(write.root).translate(write.gva);
  assert(gpa > 0 && gpa < 2 ** 31, `the control block is at ${gpa}`);
  using process = HostProcess.open(vm.pid);
  const { fd: number } = process.descriptors().find(({ target }) => target.includes("memory-backend-memfd"))!;
  using file = reopen(`/proc/${vm.pid}/fd/${number}`, OPEN.READ_WRITE);
  assert(statFd(file.fd).sizeBytes > gpa);
  using page = Mapping.map(file.fd, Math.floor(gpa / 4096) * 4096, 4096, { write: true });
  const at = gpa % 4096;
  storeAtomic(page, at, 4, (before.ctrlGen + 1) >>> 0);
  const source = new DataView(write.source.buffer);
  for (let i = 0; i < write.source.length; i += 4) {
    storeAtomic(page, at + 4 + i, 4, source.getUint32(i, true));
  }
  storeAtomic(page, at, 4, (before.ctrlGen + 2) >>> 0);
  return before;
}

Deno.test("vgpu: found among processes, 1,000 frames whole, cursor and geometry, two viewers at once", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer", "procs"], ramMiB: 512 });
  const crowd = await vm.agent.start("procs", "40");
  await crowd.lineMatching(/^ready/);
  const producer = await startProducer(vm, "width=320", "height=200", "fps=0", "slots=4");
  using ram = openQemuRam(vm.pid);
  const os = systemOf(ram);
  const alive = await living(os);
  assertEquals(alive.length, 1);
  const { region, process } = alive[0]!;
  assertEquals([process.pid, process.name], [producer.pid, "vgpu_producer"]);
  assertEquals(region.header.producerPid, producer.pid);

  const second = VgpuRegion.open(new GuestRegion(os.spaceOf(process), region.gva));
  assert(second.ok);
  const info = new FrameInfo();
  const into = new Uint8Array(320 * 200 * 4);
  const words = new Int32Array(into.buffer);
  let seen = 0;
  for (const viewer of [region, second.region]) viewer.forgetFrames();
  const last = [0, 0];
  await until("1,000 frames", () => {
    for (let n = 0; n < 50; n++) {
      const which = n % 2;
      const viewer = which === 0 ? region : second.region;
      const result = viewer.sampleFrame(into, info);
      assert(result !== READ.GONE, viewer.why);
      if (result !== READ.FRESH) continue;
      assertEquals(checkStamp(words, info.bytes), info.frameId);
      assert(info.frameId > last[which]!);
      last[which] = info.frameId;
      seen++;
    }
    return seen >= 1000;
  });

  assertEquals(await tell(producer, "geometry 1024 768 120 59940"), "geometry");
  const geometry = new Geometry();
  assertEquals(region.readGeometry(geometry), READ.FRESH);
  assertEquals({ ...geometry, seq: 0 }, {
    seq: 0,
    dpi: 120,
    virtX: -1024,
    virtY: 0,
    virtW: 2048,
    virtH: 768,
    capX: 0,
    capY: 0,
    refreshMhz: 59940,
  });
  assertEquals(await tell(producer, "cursor -7 300 0 12"), "cursor");
  const cursor = new Cursor();
  assertEquals(region.readCursor(cursor), READ.FRESH);
  assertEquals([cursor.x, cursor.y, cursor.visible, cursor.id], [-7, 300, false, 12]);
});

Deno.test("vgpu: pause, frame rate, cursor drawing and a full frame are asked for and obeyed", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer"] });
  const producer = await startProducer(vm, "width=64", "height=64", "fps=100", "pattern=box");
  using ram = openQemuRam(vm.pid);
  const os = systemOf(ram);
  const { region } = (await living(os))[0]!;
  const state = new ProducerState();
  const applied = (before: ControlState) =>
    until("the acknowledgement", () => region.readState(state) === READ.FRESH && isApplied(state, before));

  await applied(writeControl(vm, os, region, { desiredState: 2 }));
  assertEquals(state.status, 3);
  const info = new FrameInfo();
  const into = new Uint8Array(64 * 64 * 4);
  await pause(50);
  region.sampleFrame(into, info);
  await pause(200);
  assertEquals([region.sampleFrame(into, info), region.why], [READ.NOTHING, "same"]);

  const before = writeControl(vm, os, region, { fullFrame: true });
  await applied(before);
  await until(
    "the full frame",
    () => region.readState(state) === READ.FRESH && isFullFrameDone(state, before),
  );
  await until("a frame while paused", () => region.sampleFrame(into, info) === READ.FRESH);
  assertEquals([info.damageX, info.damageW, info.damageH], [0, 64, 64]);

  await applied(writeControl(vm, os, region, { desiredState: 1, targetFps: 7, drawCursor: true }));
  assertEquals([state.status, state.appliedFps], [2, 7]);
  assertEquals(await tell(producer, "control"), "control 1 7 1 1");
  // Before the first frame, so that what it takes to see one counts as time in which frames were made.
  const startMs = performance.now();
  const first = await until("a frame", () => region.sampleFrame(into, info) === READ.FRESH && info.frameId);
  await pause(1000);
  await until("more frames", () => region.sampleFrame(into, info) === READ.FRESH);
  const [made, seconds] = [info.frameId - first, (performance.now() - startMs) / 1000];
  assert(made <= 7 * seconds + 5, `${made} frames in ${seconds} s at 7 a second`);

  const set = await vmsig(
    "vgpu",
    `pid:${vm.pid}`,
    "set",
    "--state",
    "pause",
    "--fps",
    "9",
    "--draw-cursor",
    "0",
    "--full-frame",
    "--json",
  );
  assertEquals([set.code, set.error], [0, ""]);
  const { ok, status, appliedFps, fullFrameAck } = JSON.parse(set.out);
  assertEquals([ok, status, appliedFps, fullFrameAck], [true, 3, 9, 2]);
  assertEquals(await tell(producer, "control"), "control 2 9 0 2");
  const said = await vmsig("vgpu", `pid:${vm.pid}`, "status", "--json");
  assertEquals([said.code, said.error], [0, ""]);
  assertEquals(JSON.parse(said.out).producerPid, producer.pid);
});

Deno.test("vgpu: pages that the kernel moves, a fork, a dead copy and a page of a file", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer"] });
  const producer = await startProducer(vm, "width=256", "height=256", "fps=50");
  using ram = openQemuRam(vm.pid);
  const os = systemOf(ram);
  // The fork first: it makes the pages of both read-only until they are written again, and what is read-only
  // is no region.
  for (const line of ["fork", "copy", "cache /tmp/region"]) await tell(producer, line);
  const scan = new RegionScan(os);
  assert(scan.run().length >= 3, `${scan.candidates.length} look like a region`);
  const alive = await living(os);
  assertEquals(alive.map(({ process }) => process.pid), [producer.pid], "only the producer's own is alive");
  const { region } = alive[0]!;
  const info = new FrameInfo();
  const into = new Uint8Array(256 * 256 * 4);
  const words = new Int32Array(into.buffer);
  for (let round = 0; round < 10; round++) {
    await until("a frame", () => region.sampleFrame(into, info) === READ.FRESH);
    await tell(producer, "freeze");
    region.forgetFrames();
    assertEquals(region.sampleFrame(into, info), READ.FRESH);
    const id = info.frameId;
    assertEquals(await tell(producer, "move"), `moved ${region.header.regionBytes - 0x2000}`);
    region.forgetFrames();
    assertEquals(region.sampleFrame(into, info), READ.FRESH);
    assertEquals([checkStamp(words, info.bytes), info.frameId], [id, id]);
    await tell(producer, "thaw");
  }
});

Deno.test("vgpu: misbehaviour gets the right outcome, death and restart are seen, a reboot too", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer"] });
  let producer = await startProducer(vm, "width=64", "height=64", "fps=50", "epoch=7");
  using ram = openQemuRam(vm.pid);
  const os = systemOf(ram);
  let { region } = (await living(os))[0]!;
  const info = new FrameInfo();
  const into = new Uint8Array(64 * 64 * 4);
  const outcome = async (...lines: string[]) => {
    for (const line of lines) await tell(producer, line);
    region.forgetFrames();
    const result = region.sampleFrame(into, info);
    return `${result} ${region.why}`;
  };
  await until("a frame", () => region.sampleFrame(into, info) === READ.FRESH);
  assertEquals(region.runEpoch, 7);
  assertEquals(await outcome("freeze", "set 0x100 4 99"), "0 malformed");
  assertEquals(await outcome("set 0x100 4 0xffffffff"), "0 none-yet");
  assertEquals(await outcome("set 0x100 4 0", "set 0x140 4 9"), "0 busy");
  assertEquals(await outcome("set 0x140 4 10", "set 0x14c 4 0"), "0 malformed");
  assertEquals(await outcome("set 0x24 4 0x7ffff000", "crc"), "-1 replaced");
  assertEquals((await twoLooks(os)).length, 0, "a header that lies is no region, its CRC right or not");
  assertEquals(await outcome("set 0x24 4 16384", "crc", "set 0x14c 4 256", "thaw"), "1 ");
  assertEquals(
    // Frozen first: a frame that it makes in between would end it.
    await outcome("freeze", "unmap 0x2000 0x4000", "set 0x100 4 0"),
    "-1 not-mapped",
  );

  await producer.kill(9);
  await producer.wait();
  await until("the process's end", () => region.sampleFrame(into, info) === READ.GONE);
  assertEquals((await twoLooks(os)).length, 0);
  producer = await startProducer(vm, "width=64", "height=64", "fps=50", "epoch=8");
  ({ region } = (await living(os))[0]!);
  await until("a frame of the new run", () => region.sampleFrame(into, info) === READ.FRESH);
  assertEquals(region.runEpoch, 8);
  await producer.write("die\n");
  await producer.wait();
  await until("the end of one that died while writing", () => region.sampleFrame(into, info) === READ.GONE);

  const booted = vm.agent.ready(2);
  await vm.agent.power("reboot");
  await booted;
  assertEquals(region.sampleFrame(into, info), READ.GONE);
  await startProducer(vm, "width=64", "height=64", "fps=50", "epoch=9");
  const again = systemOf(ram);
  ({ region } = (await living(again))[0]!);
  await until("a frame after the reboot", () => region.sampleFrame(into, info) === READ.FRESH);
  assertEquals(region.runEpoch, 9);
});

Deno.test("vgpu: the guest's framebuffer by its producer and by QEMU's screendump is the same picture", async () => {
  await using vm = await startSavedGuest({
    kernel: "generic",
    programs: ["vgpu_producer"],
    modules: FRAMEBUFFER_MODULES,
    machine: "q35",
  });
  const producer = await startProducer(vm, "source=screen", "fps=20");
  assertEquals(await tell(producer, "draw 3"), "drawn");
  const dir = await Deno.makeTempDir();
  try {
    const picture = async (source: string) => {
      const path = `${dir}/${source}.png`;
      const taken = await vmsig("screen", `pid:${vm.pid}`, "-o", path, "--source", source, "--json");
      assertEquals([taken.code, taken.error], [0, ""]);
      const said = JSON.parse(taken.out);
      assertEquals([said.source, said.width, said.height], [source, 1280, 800]);
      // The console's cursor blinks in the rows above.
      return crop(decodePng(await Deno.readFile(path)), { x: 0, y: 64, width: 1280, height: 736 });
    };
    let pictures = [await picture("vgpu"), await picture("qmp")];
    // The producer tells of what was drawn with its next frame, whenever that is.
    for (const end = performance.now() + LIMIT_MS; !areSame(pictures);) {
      if (performance.now() > end) break;
      pictures = [await picture("vgpu"), await picture("qmp")];
    }
    assertEquals(pictures[0], pictures[1]);
    const colours = new Set(new Int32Array(pictures[0]!.rgba.buffer));
    assert(colours.size > 10_000, `${colours.size} colours: a picture, not a blank`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

for (
  const [name, options] of [
    ["five levels", { cpu: "max" }],
    ["page-table isolation", { append: "pti=on" }],
    ["both, on pc", { cpu: "max", append: "pti=on", machine: "pc" }],
  ] as const
) {
  Deno.test(`vgpu: ${name}: found, whole frames, small pages and large ones`, async () => {
    await using vm = await startSavedGuest({ programs: ["vgpu_producer"], ...options });
    using ram = openQemuRam(vm.pid);
    const os = systemOf(ram);
    if ("cpu" in options) assertEquals(os.levels, 5);
    if ("append" in options) assertEquals(os.isolated, true);
    for (const huge of [0, 1]) {
      const producer = await startProducer(vm, "width=1280", "height=800", "fps=20", `huge=${huge}`);
      const alive = await living(os);
      assertEquals(alive.map(({ process }) => process.pid), [producer.pid]);
      const { region } = alive[0]!;
      const info = new FrameInfo();
      const into = new Uint8Array(1280 * 800 * 4);
      const words = new Int32Array(into.buffer);
      for (let seen = 0; seen < 5; seen++) {
        await until("a frame", () => region.sampleFrame(into, info) === READ.FRESH);
        assertEquals(checkStamp(words, info.bytes), info.frameId);
      }
      await producer.kill(9);
      await producer.wait();
    }
  });
}
