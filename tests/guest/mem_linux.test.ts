/**
 * Real Linux guests, seen from outside, against their own /proc: processes, mappings, modules, command lines,
 * symbols, and a program's 64 MiB read back whole; and that a whole scan makes QEMU no larger.
 *
 * A covering subset runs by default; VMSIG_FULL_MATRIX=1 runs pc and q35 x memfd and file x 512 MiB, 2 GiB, 4
 * GiB x default, PTI, LA57 x cloud and generic.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { findKallsyms } from "../../src/guest/linux/kallsyms_search.ts";
import { findBtf, findInitTask } from "../../src/guest/linux/kernel_image.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { kallsymsPlaces, readProfile } from "../../src/guest/linux/profile.ts";
import { Vmcoreinfo } from "../../src/guest/linux/vmcoreinfo.ts";
import { openQemuRam, type QemuRam } from "../../src/ram/qemu_ram.ts";
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
import { startGuest } from "./qemu.ts";

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
    await t.step("command lines and mappings are the guest's own", () => checkMaps(vm, os));
    await t.step("modules are the guest's own", () => checkModules(vm, os));
    await t.step("symbols agree with the kernel's note", () => checkSymbols(os));
    await t.step("what its note tells of it is found in its image, too", () => checkSearch(os));
    await t.step("a program's 64 MiB read back whole, in runs and scattered", () => {
      checkPattern(os, patternPid, patternBase);
    });
    await t.step(
      "pages that the program may not touch are read, and said to allow nothing",
      () => checkProtected(os, pattern, patternPid, patternBase),
    );
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

function checkRam(ram: QemuRam, c: Case): void {
  assertEquals(ram.access, c.memory === "none" ? "process" : c.memory);
  assertEquals(ram.ramBytes, c.ramMiB * MIB);
  assertEquals(ram.lowBytes, (c.ramMiB < 2816 ? c.ramMiB : c.machine === "pc" ? 3072 : 2048) * MIB);
}

/** The kernel as one before 6.0 would be: its note without the places of kallsyms, or no kallsyms at all. */
function checkSearch(os: LinuxGuest): void {
  const { kernel, note } = os;
  const stext = note.symbol("_stext")!;
  const told = kallsymsPlaces(kernel, note);
  assert(!("unsupported" in told));
  assertEquals(findKallsyms(kernel, stext), told);
  checkQuickSymbols(os);
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
