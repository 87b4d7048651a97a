/**
 * Real Linux guests, seen from outside, against their own /proc: processes, mappings, modules, command lines,
 * symbols, and a program's 64 MiB read back whole; and that a whole scan makes QEMU no larger.
 *
 * A covering subset runs by default; VMSIG_FULL_MATRIX=1 runs pc and q35 x memfd and file x 512 MiB, 2 GiB, 4
 * GiB x default, PTI, LA57 x cloud and generic.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertLess } from "@std/assert";
import { ScatterReader } from "../../src/guest/scatter.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { findKallsyms } from "../../src/guest/linux/kallsyms_search.ts";
import { findBtf, findInitTask } from "../../src/guest/linux/kernel_image.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { kallsymsPlaces, readProfile } from "../../src/guest/linux/profile.ts";
import { Vmcoreinfo } from "../../src/guest/linux/vmcoreinfo.ts";
import { searchMemory } from "../../src/guest/memory_search.ts";
import { openQemuRam, type QemuRam } from "../../src/ram/qemu_ram.ts";
import { firstPatternError, patternWord } from "./pattern.ts";
import { hostProcesses, ownProcesses, parseMaps, parseModules, plainName, statusKib } from "./mem_guest.ts";
import { type Qemu as Guest, startGuest } from "./qemu.ts";

interface Case {
  machine: "pc" | "q35";
  memory: "memfd" | "file" | "none";
  ramMiB: number;
  mode: "default" | "pti" | "la57" | "la57+pti";
  kernel: "cloud" | "generic";
}

const COVER: Case[] = [
  { machine: "q35", memory: "memfd", ramMiB: 512, mode: "default", kernel: "cloud" },
  { machine: "pc", memory: "file", ramMiB: 4096, mode: "la57+pti", kernel: "generic" },
  { machine: "q35", memory: "file", ramMiB: 4096, mode: "pti", kernel: "cloud" },
  { machine: "pc", memory: "memfd", ramMiB: 2048, mode: "la57", kernel: "cloud" },
  { machine: "q35", memory: "none", ramMiB: 512, mode: "default", kernel: "cloud" },
];

function fullMatrix(): Case[] {
  const out: Case[] = [];
  for (const machine of ["pc", "q35"] as const) {
    for (const memory of ["memfd", "file"] as const) {
      for (const ramMiB of [512, 2048, 4096]) {
        for (const mode of ["default", "pti", "la57", "la57+pti"] as const) {
          for (const kernel of ["cloud", "generic"] as const) {
            out.push({ machine, memory, ramMiB, mode, kernel });
          }
        }
      }
    }
  }
  return out;
}

const MIB = 2 ** 20;
const PATTERN_MIB = 64;
const CASES = Deno.env.has("VMSIG_FULL_MATRIX") ? fullMatrix() : COVER;

for (const c of CASES) {
  const name = `${c.machine}, ${c.memory}, ${c.ramMiB} MiB, ${c.mode}, ${c.kernel} kernel`;
  Deno.test(`a Linux guest from outside: ${name}`, async (t) => {
    await using vm = await startGuest({
      machine: c.machine,
      memory: c.memory,
      ramMiB: c.ramMiB,
      kernel: c.kernel,
      // Without LA57 the default model has four levels; KPTI is asked for where the model would not need it.
      ...(c.mode.startsWith("la57") ? { cpu: "max" } : {}),
      append: c.mode.endsWith("pti") ? "pti=on" : "pti=off",
      devices: ["virtio-input"],
      programs: ["pattern", "procs"],
    });
    const pattern = await vm.agent.start("pattern", String(PATTERN_MIB), "77");
    const ready = /^ready (\d+) 0x([0-9a-f]+) (\d+)$/.exec((await pattern.line()) ?? "")!;
    const patternPid = Number(ready[1]);
    const patternBase = parseInt(ready[2]!, 16);
    const procs = await vm.agent.start("procs", "20", "2");
    await procs.lineMatching(/^ready/);

    using ram = openQemuRam(vm.pid);
    const os = found(ram);
    await t.step("the memory is what the machine has", () => checkRam(ram, c));
    await t.step("the mode and version are the guest's", async () => {
      assertEquals(os.version, (await vm.agent.cat("/proc/sys/kernel/osrelease")).trim());
      assertEquals(os.levels, c.mode.startsWith("la57") ? 5 : 4);
      assertEquals(os.isolated, c.mode.endsWith("pti"));
      assert(os.stillThere());
    });
    await t.step("processes are the guest's own", () => checkProcesses(vm, os));
    await t.step("command lines and mappings are the guest's own", async () => {
      for (const process of os.processes().items.filter((p) => !p.kernelThread).slice(0, 8)) {
        const maps = os.maps(process);
        assertEquals(maps.end, { complete: true });
        assertEquals(
          maps.items,
          parseMaps(await vm.agent.cat(`/proc/${process.pid}/maps`)),
          `maps of ${process.name}`,
        );
        const line = (await vm.agent.cat(`/proc/${process.pid}/cmdline`)).replace(/\0$/, "").split("\0");
        assertEquals(os.commandLine(process), line.join("") === "" ? [] : line);
      }
    });
    await t.step("modules are the guest's own", async () => {
      const modules = os.modules();
      assertEquals(modules.end, { complete: true });
      assertEquals(modules.items, parseModules(await vm.agent.cat("/proc/modules")));
      assert(modules.items.length > 0);
    });
    await t.step("symbols agree with the kernel's note", () => checkSymbols(os));
    await t.step("what its note tells of it is found in its image, too", () => checkSearch(os));
    await t.step("a program's 64 MiB read back whole, in runs and scattered", () => {
      checkPattern(os, patternPid, patternBase);
    });
    await t.step("pages that the program may not touch are read, and said to allow nothing", async () => {
      const space = os.spaceOf(os.process(patternPid)!);
      const at = patternBase + 5 * 4096;
      const before = space.probe(at);
      await pattern.write(`protect ${5 * 4096} 8192 none\n`);
      await pattern.lineMatching(/^protected/);
      os.kernel.memory.renew();
      assert(before.ok && before.writable);
      assertEquals(space.probe(at), { ...before, writable: false, user: false, executable: false });
      const bytes = new Uint8Array(8192);
      assertEquals(space.read(at, bytes), 8192);
      assertEquals(
        new Uint32Array(bytes.buffer),
        Uint32Array.from({ length: 2048 }, (_, i) => patternWord(77, 5 * 1024 + i)),
      );
      await pattern.write(`protect ${5 * 4096} 8192 rw\n`);
      await pattern.lineMatching(/^protected/);
    });
    await t.step("a whole scan makes QEMU no larger", () => checkGrowth(vm, ram, patternPid));
    await t.step("a process that starts is counted", async () => {
      const before = os.births();
      const late = await vm.agent.start("procs", "1", "1");
      await late.lineMatching(/^ready/);
      os.kernel.memory.renew();
      assert(before !== undefined && os.births() !== before, `${before}`);
    });
  });
}

function found(ram: QemuRam): LinuxGuest {
  ram.memory.refresh();
  const result = findLinux(ram.memory);
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

function checkRam(ram: QemuRam, c: Case): void {
  assertEquals(ram.access, c.memory === "none" ? "process" : c.memory);
  assertEquals(ram.ramBytes, c.ramMiB * MIB);
  assertEquals(ram.lowBytes, (c.ramMiB < 2816 ? c.ramMiB : c.machine === "pc" ? 3072 : 2048) * MIB);
}

/** A guest that runs starts and ends kernel threads: what differs is looked at again. */
async function checkProcesses(vm: Guest, os: LinuxGuest): Promise<void> {
  let difference: unknown[] = [];
  for (let attempt = 0; attempt < 6; attempt++) {
    const own = (await ownProcesses(vm)).map(plainName);
    assertEquals(os.processes().end, { complete: true });
    const host = hostProcesses(os);
    const ownLines = new Set(own.map((p) => JSON.stringify(p)));
    const hostLines = new Set(host.map((p) => JSON.stringify(p)));
    difference = [...ownLines.symmetricDifference(hostLines)];
    if (difference.length === 0) break;
  }
  assertEquals(difference, []);
  const init = os.process(1);
  assert(init !== undefined && !init.kernelThread && init.root > 0);
  assert(os.process(2)?.kernelThread === true, "kthreadd is a kernel thread");
  assertEquals(os.process(999_999), undefined);
}

function checkSymbols(os: LinuxGuest): void {
  for (const name of ["init_uts_ns", "swapper_pg_dir", "_stext"]) {
    const expected = os.note.symbol(name);
    if (expected === undefined) continue;
    assertEquals(os.symbol(name), expected);
    const nearest = os.nearestSymbol(expected + 1);
    assertEquals([nearest?.address, nearest?.offsetBytes], [expected, 1]);
  }
  const schedule = os.symbol("schedule");
  assert(schedule !== undefined);
  assertEquals(os.nearestSymbol(schedule)?.name, "schedule");
  assertEquals(os.symbol("no_such_symbol_at_all"), undefined);
  assertEquals(os.nearestSymbol(0x40_0000), undefined);
}

/** The kernel as one before 6.0 would be: its note without the places of kallsyms, or no kallsyms at all. */
function checkSearch(os: LinuxGuest): void {
  const { kernel, note } = os;
  const stext = note.symbol("_stext")!;
  const told = kallsymsPlaces(kernel, note);
  assert(!("unsupported" in told));
  assertEquals(findKallsyms(kernel, stext), told);
  const silent = new Vmcoreinfo(note.gpa, note.text.replaceAll(/SYMBOL\(kallsyms_.*\n/g, ""));
  assertEquals(silent.symbol("kallsyms_names"), undefined);
  const read = readProfile(kernel, silent);
  assert(read.ok && read.table !== undefined);
  assertEquals(read.profile, os.profile);
  const at = (name: string) => os.profile.symbols[name]! + note.kernelOffset;
  assertEquals(findBtf(kernel, stext), { start: at("__start_BTF"), stop: at("__stop_BTF") });
  const { offsets } = os.profile;
  const [comm, pid, tasks] = ["comm", "pid", "tasks"].map((field) => offsets[`task_struct.${field}`]!);
  assertEquals(findInitTask(kernel, stext, { comm: comm!, pid: pid!, tasks: tasks! }), at("init_task"));
}

function checkPattern(os: LinuxGuest, pid: number, base: number): void {
  const process = os.process(pid);
  assert(process !== undefined);
  const space = os.spaceOf(process);
  const bytes = new Uint8Array(PATTERN_MIB * MIB);
  assertEquals(space.read(base, bytes), bytes.length);
  assertEquals(firstPatternError(new Uint32Array(bytes.buffer), 77), -1);
  const runs = space.runs(base, bytes.length);
  assert(runs.ok && runs.runs.every((run) => run.writable && run.user && !run.executable));
  const addresses = Float64Array.from(
    { length: 4096 },
    (_, i) => base + ((i * 2654435761) % (bytes.length / 8)) * 8,
  );
  const values = new Int32Array(2 * addresses.length);
  const status = new Int8Array(addresses.length);
  assertEquals(new ScatterReader(space).read(addresses, values, status), addresses.length);
  addresses.forEach((address, i) => {
    assertEquals(values[2 * i]! >>> 0, patternWord(77, (address - base) / 4));
    assertEquals(values[2 * i + 1]! >>> 0, patternWord(77, (address - base) / 4 + 1));
  });
  const needle = bytes.slice(4096 * 777 - 5, 4096 * 777 + 9);
  assertEquals(searchMemory(space, needle, base, base + bytes.length).addresses, [base + 4096 * 777 - 5]);
}

/** QEMU stands still meanwhile, so that only what we do can make it grow. */
function checkGrowth(vm: Guest, ram: QemuRam, pid: number): void {
  vm.kill("SIGSTOP");
  try {
    const before = statusKib(vm.pid, "VmRSS");
    const os = found(ram);
    for (const process of os.processes().items) {
      os.maps(process);
      os.commandLine(process);
    }
    os.modules();
    os.symbol("vfs_read");
    const space = os.spaceOf(os.process(pid)!);
    searchMemory(space, new TextEncoder().encode("no such text"), 0, 2 ** 47);
    assertLess(statusKib(vm.pid, "VmRSS") - before, 1024);
  } finally {
    vm.kill("SIGCONT");
  }
}
