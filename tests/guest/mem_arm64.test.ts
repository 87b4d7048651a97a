/**
 * A real arm64 Linux guest (qemu-system-aarch64, machine virt) under TCG, seen from outside as an x86-64 one
 * is: lists, maps, modules, log, files and sockets against its own /proc; cores that gdb-multiarch opens; the
 * context of MEMCTX over a reset; keys by a virtio keyboard, and its screen. One boot for all of it.
 * @module
 */
import { until } from "../fixtures/daemon_process.ts";
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { findersFor } from "../../src/guest/finders.ts";
import { ARM64_4 } from "../../src/guest/paging.ts";
import { QmpScreen } from "../../src/controls/perception/qmp_screen.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { openTarget } from "../../src/ram/open_target.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { READ } from "../../src/vgpu/vgpu_region.ts";
import { FrameInfo } from "../../src/vgpu/snapshots.ts";
import { runHere } from "../unit/cli/command_world.ts";
import type { GuestProcess } from "./guest_process.ts";
import { checkInsight } from "./insight_checks.ts";
import {
  checkGrowth,
  checkMaps,
  checkModules,
  checkPattern,
  checkProcesses,
  checkProtected,
  checkQuickSymbols,
  checkSymbols,
  found,
  PATTERN_MIB,
} from "./linux_checks.ts";
import { codeName } from "../../src/base/codes.ts";
import { hostProcesses } from "./mem_guest.ts";
import { MemctxRig, memwrite } from "./memctx_rig.ts";
import { patternWord } from "./pattern.ts";
import { type Qemu as Guest, startGuest } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

const MIB = 2 ** 20;
const RAM_BASE = 2 ** 30;

/** A `pattern` program that is ready. */
interface Pattern {
  readonly program: GuestProcess;
  readonly pid: number;
  readonly base: number;
}

Deno.test("an arm64 Linux guest from outside", async (t) => {
  await using vm = await startGuest({
    machine: "virt",
    kernel: "arm64",
    ramMiB: 512,
    qmpSockets: 3,
    devices: ["virtio-input"],
    extraArgs: ["-device", "virtio-gpu-pci"],
    programs: ["pattern", "procs", "insight", "evrec"],
    bootTimeoutMs: 600_000,
  });
  const program = await vm.agent.start("pattern", String(PATTERN_MIB), "77");
  const ready = /^ready (\d+) 0x([0-9a-f]+) (\d+)$/.exec((await program.line()) ?? "")!;
  const pattern: Pattern = { program, pid: Number(ready[1]), base: parseInt(ready[2]!, 16) };
  const procs = await vm.agent.start("procs", "20", "2");
  await procs.lineMatching(/^ready/);
  {
    using ram = openQemuRam(vm.pid);
    const os = found(ram);
    await t.step("the memory is what the machine has", () => {
      assertEquals([ram.access, ram.ramBytes, ram.layoutFrom], ["memfd", 512 * MIB, "machine-rule"]);
      assertEquals(ram.pieces, [{ gpa: RAM_BASE, fileOffset: 0, sizeBytes: 512 * MIB, backend: 0 }]);
    });
    await t.step("the mode and version are the guest's", async () => {
      assertEquals(os.version, (await vm.agent.cat("/proc/sys/kernel/osrelease")).trim());
      assertEquals([os.kernel.paging, os.levels], [ARM64_4, 4]);
      // KASLR without E0PD turns isolation on.
      assertEquals(os.isolated, true);
      assert(os.stillThere());
      const init = os.spaceOf(os.process(1)!);
      assertEquals(
        init.probe(os.kernelBase),
        os.kernel.probe(os.kernelBase),
        "the kernel half is one for all",
      );
      assertEquals(os.kernel.probe(pattern.base), { ok: false, reason: "not-present" });
    });
    await t.step("processes are the guest's own", () => checkProcesses(vm, os));
    await t.step("command lines and mappings are the guest's own", () => checkMaps(vm, os));
    await t.step("modules are the guest's own", () => checkModules(vm, os));
    await t.step("symbols agree with the kernel's note, and are found by their bytes", () => {
      checkSymbols(os, false);
      checkQuickSymbols(os);
    });
    await t.step("a program's 64 MiB read back whole, in runs and scattered", () => {
      checkPattern(os, pattern.pid, pattern.base);
    });
    await t.step(
      "pages that the program may not touch are read, and said to allow nothing",
      () => checkProtected(os, pattern.program, pattern.pid, pattern.base),
    );
    await t.step("a whole scan makes QEMU no larger", () => checkGrowth(vm, ram, pattern.pid));
    await checkInsight(t, vm, os);
  }
  await t.step("the screen is QEMU's picture of it", () => checkScreen(vm));
  await t.step("keys reach it through a virtio keyboard", () => checkKeys(vm));
  await t.step("probe: it lacks nothing, and has no PS/2", async () => {
    const { out, code } = await runHere(["probe", "--json"]);
    const [own] = out.trim().split("\n").map((line) => JSON.parse(line)).filter(({ pid }) => pid === vm.pid);
    assertEquals(code, 0);
    assertEquals([own.input, own.missing], [
      ["virtio-keyboard-pci", "virtio-tablet-pci"],
      [],
    ]);
  });
  await t.step("a stopped guest is dumped whole, and a process of it for gdb", () => checkDumps(vm, pattern));
  await t.step(
    "MEMCTX: one context, a write, and the next one after a reset",
    () => checkContext(vm, pattern),
  );
});

function checkScreen(vm: Guest): void {
  using screen = QmpScreen.open(vm.qmpPaths[1]!, { gapMs: 0 });
  const info = new FrameInfo();
  assertEquals(screen.sampleFrame(new Uint8Array(2048 * 2048 * 4), info), READ.FRESH);
  assert(info.width >= 640 && info.height >= 350, `${info.width}x${info.height}`);
}

async function checkKeys(vm: Guest): Promise<void> {
  await using qmp = await TestQmp.connect(vm.qmpPaths[2]!);
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording/);
  const key = (down: boolean) => ({ type: "key", data: { down, key: { type: "qcode", data: "a" } } });
  await qmp.execute("input-send-event", { events: [key(true)] });
  await qmp.execute("input-send-event", { events: [key(false)] });
  await recorder.lineMatching(/^event\d+ 1 30 1$/);
  await recorder.lineMatching(/^event\d+ 1 30 0$/);
  await recorder.kill();
}

async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

async function checkDumps(vm: Guest, { pid, base }: Pattern): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-dump-" });
  await until("it waits", async () => /\) S /.test(await vm.agent.cat(`/proc/${pid}/stat`)));
  await using qmp = await TestQmp.connect(vm.qmpPaths[2]!);
  await qmp.execute("stop");
  try {
    using live = openTarget(`pid:${vm.pid}`, findersFor("auto"));
    assert(live.guest.found);
    const whole = `${folder}/ram.core`;
    const { code, err } = await runHere(["mem", `pid:${vm.pid}`, "dump", whole, "--json"]);
    assertEquals(code, 0, err);
    assertMatch(await run("readelf", "-hW", whole), /Machine: +AArch64/);
    const raw = `${folder}/ram.raw`;
    await qmp.execute("pmemsave", { val: RAM_BASE, size: 512 * MIB, filename: raw });
    const elf = `${folder}/ram.elf`;
    await qmp.execute("dump-guest-memory", { paging: false, protocol: `file:${elf}` });
    for (const file of [whole, raw, elf]) {
      using again = openTarget(`file:${file}`, findersFor("auto"));
      assert(again.guest.found, again.guest.found ? "" : `${file}: ${again.guest.detail}`);
      assertEquals(hostProcesses(again.guest.os), hostProcesses(live.guest.os));
    }
    const core = `${folder}/process.core`;
    const one = await runHere(["mem", `pid:${vm.pid}`, "dump", core, "--pid", `${pid}`, "--json"]);
    assertEquals(one.code, 0, one.err);
    const { threads, unknown } = JSON.parse(one.out);
    assertEquals([threads, unknown], [1, []]);
    const commands = ["info threads", `x/2wx ${base}`, "x/i $pc - 4", "info registers sp"];
    const told = await run(
      "gdb-multiarch",
      "-nx",
      "-batch",
      ...commands.flatMap((c) => ["-ex", c]),
      "-c",
      core,
    );
    assert(told.includes(`LWP ${pid}`), told);
    const word = (index: number) => patternWord(77, index).toString(16).padStart(8, "0");
    assert(told.includes(`0x${word(0)}\t0x${word(1)}`), told);
    // It waits for its agent in a system call, and gdb says where.
    assertMatch(told, /svc\t#0x0/);
  } finally {
    await qmp.execute("cont");
    Deno.removeSync(folder, { recursive: true });
  }
}

async function checkContext(vm: Guest, { program, pid, base }: Pattern): Promise<void> {
  const extents = [
    { endpoint: "vm", space: "process" as const, from: base, to: base + MIB },
    { endpoint: "vm", space: "kernel" as const, from: -(2 ** 48), to: -1 },
  ];
  await using rig = new MemctxRig(vm.qmpPath, { extents });
  const listener = rig.join();
  const first = await rig.event(listener, "MEMCTX");
  using live = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(live.guest.found);
  const os = live.guest.os as LinuxGuest;
  // KPTI, and architecture 1.
  const { flags, levels, guestOs, ramBytes, nseg, nfd } = first.fields;
  assertEquals([flags, levels, guestOs, Number(ramBytes), nseg, nfd], [0x101, 4, 1, 512 * MIB, 1, 1]);
  assertEquals(Number(first.fields["kcr3"]), os.kernel.root);
  await rig.lease(listener);
  const root = os.process(pid)!.root;
  const write = async (at: number, cr3: number): Promise<string> => {
    const gva = BigInt.asUintN(64, BigInt(at));
    const bytes = new Uint8Array([1, 2, 3, 4]);
    return codeName(await rig.write(listener, (event) => memwrite(event, gva, bytes, { cr3 })));
  };
  assertEquals(await write(base + 8, root), "ok");
  await rig.during(program.write("peek 8 4\n"));
  assertEquals(await rig.during(program.line()), "peek 01020304");
  // The kernel's own root has no user half; what it maps read-only stays.
  assertEquals(await write(base + 8, os.kernel.root), "not-mapped");
  assertEquals(await write(os.note.symbol("_stext")!, root), "refused");
  assertEquals(await write(-(2 ** 50), root), "bad-argument");
  await rig.during(vm.agent.power("reboot"));
  const second = await rig.event(listener, "MEMCTX", 2);
  assertEquals(listener.of("MEMCTX_INVALIDATED").map(({ fields }) => fields), [{ epoch: 1, reason: 0 }]);
  // The context may come while process 1 still is the kernel's own.
  await rig.during(vm.agent.ready(2, 600_000));
  using next = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(next.guest.found);
  assertEquals(Number(second.fields["kcr3"]), next.guest.os.kernel.root);
  // QEMU 7.2 gives the same seed after a reset, and KASLR the same place: its processes tell the boots apart.
  // It runs on while its list is read: a list may end early.
  let names: string[] = [];
  await until("process 1 in the list", () => {
    next.memory.renew();
    names = next.guest.found ? next.guest.os.processes().items.map(({ name }) => name) : [];
    return names.includes("init");
  });
  assertEquals(names.includes("pattern"), false);
}
