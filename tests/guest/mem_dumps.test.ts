/**
 * One guest that stands still, dumped in every format: each dump shows the processes that its own memory
 * shows. What cannot be read is named, with what to do instead.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { OPEN, reopen } from "../../ffi/memfd.ts";
import { Fault } from "../../src/base/fault.ts";
import type { GuestFinder } from "../../src/guest/find_guest.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import type { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import { FlattenedBytes } from "../../src/ram/dumps/flattened.ts";
import { openTarget } from "../../src/ram/open_target.ts";
import { avmlImage, type DumpedRange, kdump, limeImage } from "../fixtures/dump_writers.ts";
import { hostProcesses } from "./mem_guest.ts";
import { type Qemu, startFirmware } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";

const LINUX: readonly GuestFinder[] = [(memory) => findLinux(memory)];
const MIB = 2 ** 20;
const RAM_MIB = 160;

function osOf(target: ReturnType<typeof openTarget>) {
  assert(target.guest.found, target.guest.found ? "" : target.guest.detail);
  return target.guest.os;
}

/** All that can be told of a guest without its symbols. */
function seen(target: ReturnType<typeof openTarget>) {
  const os = osOf(target);
  const init = os.process(1);
  assert(init !== undefined);
  return {
    version: os.version,
    processes: hostProcesses(os),
    maps: os.maps(init),
    line: os.commandLine(init),
    modules: os.modules(),
    low: target.lowBytes,
  };
}

/** RAM as a tool in the guest would find it: without the video hole. */
function ranges(memory: PhysicalMemory): DumpedRange[] {
  return [[0, 0xa_0000], [0x10_0000, RAM_MIB * MIB]].map(([gpa = 0, end = 0]) => {
    const bytes = new Uint8Array(end - gpa);
    memory.read(gpa, bytes);
    return { gpa, bytes };
  });
}

async function dump(vm: Qemu, qmp: TestQmp, format?: string): Promise<string> {
  const path = `${vm.dir}/${format ?? "elf"}`;
  const how = format === undefined ? {} : { format };
  await qmp.execute("dump-guest-memory", { paging: false, protocol: `file:${path}`, ...how });
  return path;
}

/** What makedumpfile -R makes of a flattened dump, by our own reader. */
function unflatten(path: string): string {
  using bytes = new FlattenedBytes(reopen(path, OPEN.READ_ONLY), path);
  using out = Deno.openSync(`${path}.raw`, { create: true, write: true });
  const piece = new Uint8Array(MIB);
  for (let at = 0; at < bytes.sizeBytes; at += piece.length) {
    const have = bytes.read(at, piece, 0, piece.length);
    for (let done = 0; done < have;) done += out.writeSync(piece.subarray(done, have));
  }
  return `${path}.raw`;
}

Deno.test("the dumps of one guest that stands still show the same, in every format", async (t) => {
  await using vm = await startSavedGuest({ machine: "q35", ramMiB: RAM_MIB, memory: "file" });
  await using qmp = await TestQmp.connect(vm.qmpPath);
  await qmp.execute("stop");
  using byPid = openTarget(`pid:${vm.pid}`, LINUX);
  const expected = seen(byPid);
  const write = (name: string, bytes: Uint8Array) => {
    Deno.writeFileSync(`${vm.dir}/${name}`, bytes);
    return `${vm.dir}/${name}`;
  };
  const parts = ranges(byPid.memory);
  const flat = await dump(vm, qmp, "kdump-zlib");
  const files: Record<string, string> = {
    "ELF core of QEMU": await dump(vm, qmp),
    "flattened kdump of QEMU": flat,
    "raw kdump": unflatten(flat),
    "kdump in four packings, with its note": write(
      "packed",
      kdump(parts, { flags: [0, 1, 2, 4], vmcoreinfo: noteOf(byPid) }),
    ),
    "LiME": write("lime", limeImage(parts)),
    "AVML": write("avml", avmlImage(parts)),
    "raw image": vm.ramPath!,
  };
  for (const [format, path] of Object.entries(files)) {
    await t.step(format, () => {
      using target = openTarget(`file:${path}`, LINUX);
      assertEquals(seen(target), expected);
      assert(osOf(target).stillThere());
    });
  }
  await t.step("a dump that shrinks under the reader is told", () => {
    for (const path of [flat, `${flat}.raw`, files.AVML!, files.LiME!]) {
      using target = openTarget(`file:${path}`, LINUX);
      Deno.truncateSync(path, 100 * 4096);
      assertThrows(() => target.memory.refresh(), Fault, "shrank");
      assertThrows(() => openTarget(`file:${path}`, LINUX), Fault, "cut short");
    }
  });
  await t.step("a save file is named, with what to do instead", async () => {
    const path = `${vm.dir}/saved`;
    await qmp.execute("migrate", { uri: `exec:cat > ${path}` });
    for (;;) {
      const { status } = await qmp.execute("query-migrate") as { status: string };
      if (status === "completed") break;
      assert(status !== "failed" && status !== "cancelled", status);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const fault = assertThrows(() => openTarget(`file:${path}`, LINUX), Fault);
    assertEquals(fault.code, "not-supported");
    assertStringIncludes(fault.message, "it is a QEMU save file");
    assertStringIncludes(fault.message, "migrate-incoming");
    assertStringIncludes(fault.message, "virsh dump --memory-only");
  });
});

Deno.test("a VM that is dumped in its firmware is RAM without a kernel, in each form of QEMU's", async () => {
  await using vm = await startFirmware({ ramMiB: 128, memory: "memfd" });
  await using qmp = await TestQmp.connect(vm.qmpPath);
  await qmp.execute("stop");
  for (const format of [undefined, "kdump-zlib"]) {
    const path = await dump(vm, qmp, format);
    using target = openTarget(`file:${path}`, LINUX);
    assert(!target.guest.found);
    assertEquals([target.guest.reason, target.lowBytes], ["no-kernel", 128 * MIB]);
    // The first instruction of every x86: a far jump at the top of 4 GiB.
    const jump = new Uint8Array(1);
    assertEquals([target.memory.read(0xffff_fff0, jump), jump[0]], [1, 0xea]);
  }
});

function noteOf(target: ReturnType<typeof openTarget>): string {
  return (osOf(target) as unknown as { note: { text: string } }).note.text;
}
