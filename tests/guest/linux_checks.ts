/**
 * What every real Linux guest is asked from outside, against its own /proc, whatever its architecture.
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { Kallsyms } from "../../src/guest/linux/kallsyms.ts";
import { quickSymbols } from "../../src/guest/linux/kallsyms_quick.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { kallsymsPlaces } from "../../src/guest/linux/profile.ts";
import { searchMemory } from "../../src/guest/memory_search.ts";
import { ScatterReader } from "../../src/guest/scatter.ts";
import type { QemuRam } from "../../src/ram/qemu_ram.ts";
import type { GuestProcess } from "./guest_process.ts";
import { hostProcesses, ownProcesses, parseMaps, parseModules, plainName, statusKib } from "./mem_guest.ts";
import { firstPatternError, patternWord } from "./pattern.ts";
import type { Qemu as Guest } from "./qemu.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const MIB = 2 ** 20;
/** How long a guest that runs is looked at again before a difference counts. */
const LOOKS_MS = 60_000;
/** How large the `pattern` program's memory is, in MiB. */
export const PATTERN_MIB = 64;

/** The Linux kernel in a QEMU's RAM. */
export function found(ram: QemuRam): LinuxGuest {
  ram.memory.refresh();
  const result = findLinux(ram.memory);
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

/**
 * Processes are the guest's own. A guest that runs starts and ends kernel threads: what differs is looked at
 * again.
 */
export async function checkProcesses(vm: Guest, os: LinuxGuest): Promise<void> {
  let difference: unknown[] = [];
  // Processes come and go between the two lists.
  for (const endMs = performance.now() + LOOKS_MS; performance.now() < endMs;) {
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

/**
 * Symbols and addresses lead to each other, and agree with the note.
 *
 * @param keepsData whether the kernel keeps symbols of data (CONFIG_KALLSYMS_ALL)
 */
export function checkSymbols(os: LinuxGuest, keepsData = true): void {
  for (const name of keepsData ? ["init_uts_ns", "swapper_pg_dir", "_stext"] : ["_stext"]) {
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

/**
 * A name is found in kallsyms by its bytes, without going through the table, where the long way has it. Of
 * several symbols of one name either may be taken: those are left out; so are types that no look-up asks for.
 */
export function checkQuickSymbols(os: LinuxGuest): void {
  // Only mapped RAM is searched by libc.
  if (os.kernel.memory.port.find === undefined) return;
  const places = kallsymsPlaces(os.kernel, os.note);
  assert(!("unsupported" in places));
  const loaded = Kallsyms.load(os.kernel, places, []);
  assert(!("unsupported" in loaded));
  const { table } = loaded;
  const times = new Map<string, number>();
  for (let i = 0; i < table.count; i++) {
    const name = table.nameAt(i);
    times.set(name, (times.get(name) ?? 0) + 1);
  }
  let found = 0;
  let looked = 0;
  for (let i = 0; i < table.count; i += 997) {
    const name = table.nameAt(i);
    if (times.get(name) !== 1) continue;
    looked++;
    const address = quickSymbols(os.kernel, places, [name])?.get(name);
    if (address === undefined) continue;
    assertEquals(address, table.addressAt(i), name);
    found++;
  }
  assert(looked > 20 && found > looked * 0.9, `${found} of ${looked}`);
  assertEquals(quickSymbols(os.kernel, places, ["no_such_symbol_at_all"]), undefined);
}

/** A `pattern` program's memory reads back whole, in runs, scattered, and by a search. */
export function checkPattern(os: LinuxGuest, pid: number, base: number): void {
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
  const reader = new ScatterReader(space);
  assertEquals(reader.read(addresses, values, status), addresses.length);
  const gpas = new Float64Array(addresses.length);
  reader.translate(addresses, gpas);
  assertEquals([...gpas], [...addresses].map((address) => space.translate(address)));
  addresses.forEach((address, i) => {
    assertEquals(values[2 * i]! >>> 0, patternWord(77, (address - base) / 4));
    assertEquals(values[2 * i + 1]! >>> 0, patternWord(77, (address - base) / 4 + 1));
  });
  const needle = bytes.slice(4096 * 777 - 5, 4096 * 777 + 9);
  assertEquals(searchMemory(space, needle, base, base + bytes.length).addresses, [base + 4096 * 777 - 5]);
}

/**
 * A whole scan makes QEMU no larger. It stands still meanwhile, so that only what we do can make it grow.
 */
export async function checkGrowth(vm: Guest, ram: QemuRam, pid: number): Promise<void> {
  await stopProcess(vm.pid);
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

/** Command lines and mappings of the first processes are the guest's own. */
export async function checkMaps(vm: Guest, os: LinuxGuest): Promise<void> {
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
}

/** Modules are the guest's own. */
export async function checkModules(vm: Guest, os: LinuxGuest): Promise<void> {
  const modules = os.modules();
  assertEquals(modules.end, { complete: true });
  assertEquals(modules.items, parseModules(await vm.agent.cat("/proc/modules")));
  assert(modules.items.length > 0);
}

/** Pages that a `pattern` program may not touch are read, and said to allow nothing. */
export async function checkProtected(
  os: LinuxGuest,
  pattern: GuestProcess,
  pid: number,
  base: number,
): Promise<void> {
  const space = os.spaceOf(os.process(pid)!);
  const at = base + 5 * 4096;
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
}
