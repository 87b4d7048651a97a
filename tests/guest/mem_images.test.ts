/**
 * The same guest seen through a process, a raw image and an ELF core; the flat view against the machine's
 * rule; and a reboot, after which the old kernel's note must not be believed.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { GuestFinder } from "../../src/guest/find_guest.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { parseFlatView } from "../../src/ram/flat_view.ts";
import { openTarget } from "../../src/ram/open_target.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { hostProcesses } from "./mem_guest.ts";
import { startFirmware, startGuest } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const LINUX: readonly GuestFinder[] = [(memory) => findLinux(memory)];
const VIDEO_HOLE = 0xa_0000;
const VIDEO_HOLE_END = 0xc_0000;

function osOf(target: ReturnType<typeof openTarget>) {
  assert(target.guest.found, target.guest.found ? "" : target.guest.detail);
  return target.guest.os;
}

async function flatView(qmpPath: string): Promise<string> {
  await using qmp = await TestQmp.connect(qmpPath);
  return String(await qmp.execute("human-monitor-command", { "command-line": "info mtree -f" }));
}

for (const [machine, ramMiB] of [["q35", 3072], ["pc", 3584], ["pc", 512]] as const) {
  Deno.test(`${machine} with ${ramMiB} MiB: flat view, rule and raw image agree`, async () => {
    // To load a state is to look at every page: of much RAM that takes longer than a boot.
    const start = ramMiB > 1024 ? startGuest : startSavedGuest;
    await using vm = await start({ machine, ramMiB, memory: "file" });
    const text = await flatView(vm.qmpPath);
    using ram = openQemuRam(vm.pid);
    const pieces = parseFlatView(text, ram.backends);
    // The rule does not know of the video hole below 1 MiB.
    const [first, second, ...rest] = pieces;
    assertEquals([first?.gpa, first?.sizeBytes, second?.gpa, second?.fileOffset], [
      0,
      VIDEO_HOLE,
      VIDEO_HOLE_END,
      VIDEO_HOLE_END,
    ]);
    const whole = { gpa: 0, fileOffset: 0, sizeBytes: (second?.sizeBytes ?? 0) + VIDEO_HOLE_END, backend: 0 };
    assertEquals([whole, ...rest], [...ram.pieces]);
    using viewed = openQemuRam(vm.pid, { flatView: text });
    assertEquals(viewed.layoutFrom, "flat-view");
    assert(!viewed.memory.isRam(VIDEO_HOLE) && ram.memory.isRam(VIDEO_HOLE));
    await stopProcess(vm.pid);
    try {
      using byPid = openTarget(`pid:${vm.pid}`, LINUX);
      using byFile = openTarget(`file:${vm.ramPath}`, LINUX);
      assertEquals(byFile.lowBytes, byPid.lowBytes);
      assertEquals(hostProcesses(osOf(byFile)), hostProcesses(osOf(byPid)));
      viewed.memory.refresh();
      assert(findLinux(viewed.memory).found);
    } finally {
      vm.kill("SIGCONT");
    }
  });
}

Deno.test("an ELF core of dump-guest-memory shows the processes of its moment; cut short it is refused", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-test-" });
  try {
    await using vm = await startSavedGuest({ machine: "q35", ramMiB: 256, memory: "memfd", cpu: "max" });
    await using qmp = await TestQmp.connect(vm.qmpPath);
    await qmp.execute("stop");
    const core = `${folder}/core`;
    await qmp.execute("dump-guest-memory", { paging: false, protocol: `file:${core}` });
    using byPid = openTarget(`pid:${vm.pid}`, LINUX);
    using byCore = openTarget(`file:${core}`, LINUX);
    assertEquals(hostProcesses(osOf(byCore)), hostProcesses(osOf(byPid)));
    assertEquals(byCore.lowBytes, byPid.lowBytes, "video memory and flash are not low RAM");
    const init = osOf(byCore).process(1);
    assert(init !== undefined);
    assertEquals(osOf(byCore).maps(init), osOf(byPid).maps(init));
    assertEquals(osOf(byCore).commandLine(init), ["/init"]);
    await Deno.truncate(core, 200 * 2 ** 20);
    assertThrows(() => openTarget(`file:${core}`, LINUX), Fault, "cut short");
    assertThrows(() => byCore.memory.refresh(), Fault, "shrank");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("after a reboot the new kernel is found, and the old one is no longer there", async () => {
  await using vm = await startSavedGuest({ machine: "q35", ramMiB: 512, memory: "memfd" });
  using ram = openQemuRam(vm.pid);
  ram.memory.refresh();
  const first = findLinux(ram.memory);
  assert(first.found);
  const cache = new Map<string, unknown>();
  for (let boot = 2; boot <= 3; boot++) {
    await vm.agent.power("reboot");
    await vm.agent.ready(boot);
    ram.memory.refresh();
    const next = findLinux(ram.memory, { cache });
    assert(next.found, next.found ? "" : next.detail);
    // One boot in some hundreds gets the same place again.
    if (next.os.kernelBase !== first.os.kernelBase) assert(!first.os.stillThere());
    assertEquals(next.os.version, (await vm.agent.cat("/proc/sys/kernel/osrelease")).trim());
    assertEquals(next.os.process(1)?.name, "init");
  }
  assertEquals(cache.size, 1, "one build, one profile");
});

Deno.test("a guest that has only firmware has no kernel; its end is told", async () => {
  await using fw = await startFirmware({ ramMiB: 256, memory: "memfd" });
  using target = openTarget(`pid:${fw.pid}`, LINUX);
  assert(!target.guest.found && target.guest.reason === "no-kernel");
  const { pid } = fw;
  fw.kill("SIGKILL");
  await fw.ended;
  assertThrows(() => openTarget(`pid:${pid}`, LINUX), Fault);
});
