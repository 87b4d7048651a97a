/**
 * Kernels of other Debian suites from outside, against their own /proc: 5.10 of bullseye, which does not tell
 * where kallsyms is, those that are newer than the machine's own, and arm64's with pages of 16 KiB. Suites
 * move and may not be to be had: no part of the gate. `deno task nightly:kernels`
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { arm64Paging } from "../../src/guest/paging.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { buildGuest } from "../guest/build.ts";
import { checkQuickSymbols } from "../guest/linux_checks.ts";
import { hostProcesses, ownProcesses, parseMaps, plainName } from "../guest/mem_guest.ts";
import { type Qemu, startGuest } from "../guest/qemu.ts";
import { type SuiteKernel, suiteKernel } from "./suite_kernel.ts";

/** One symbol of so many is looked up. */
const EACH = 1499;
const LOOKS = 6;

for (const suite of ["bullseye", "trixie", "sid"]) {
  Deno.test(`the kernel of ${suite} from outside`, async () => {
    const kernel = await kernelOf(suite);
    if (kernel === undefined) return;
    // Without modules: those of the machine's own kernel do not load there.
    const built = await buildGuest({ powerButton: false, programs: ["procs"] });
    const image = { ...built, kernelPath: kernel.imagePath, release: kernel.name };
    await using vm = await startGuest({ image, memory: "memfd" });
    const procs = await vm.agent.start("procs", "20", "2");
    await procs.lineMatching(/^ready/);
    using ram = openQemuRam(vm.pid);
    ram.memory.refresh();
    const result = findLinux(ram.memory);
    assert(result.found, result.found ? "" : result.detail);
    const { os } = result;
    console.log(`${suite}: ${os.version}, kallsyms ${toldOf(os) ? "told" : "found in the image"}`);
    assertEquals(os.version, (await vm.agent.cat("/proc/sys/kernel/osrelease")).trim());
    await checkAll(vm, os);
  });
}

/** Debian's kernel of 16 KiB has 52 bits of address on a CPU with LPA2, and 47 on one without. */
for (const [cpu, bits] of [["cortex-a76", 47], ["max", 52]] as const) {
  Deno.test(`arm64's kernel of 16 KiB pages of trixie from outside, on ${cpu}`, async () => {
    const kernel = await kernelOf("trixie", "linux-image-arm64-16k");
    if (kernel === undefined) return;
    const built = await buildGuest({ kernel: "arm64", powerButton: false, programs: ["procs"] });
    const image = { ...built, kernelPath: kernel.imagePath, release: kernel.name };
    const machine = { machine: "virt", kernel: "arm64", bootTimeoutMs: 600_000 } as const;
    await using vm = await startGuest({ ...machine, image, cpu, memory: "memfd" });
    const procs = await vm.agent.start("procs", "20", "2");
    await procs.lineMatching(/^ready/);
    using ram = openQemuRam(vm.pid);
    ram.memory.refresh();
    const result = findLinux(ram.memory);
    assert(result.found, result.found ? "" : result.detail);
    const { os } = result;
    console.log(`${os.version}: ${os.kernel.paging.name}`);
    assertEquals(os.kernel.paging, arm64Paging(14, bits));
    assertEquals(os.version, (await vm.agent.cat("/proc/sys/kernel/osrelease")).trim());
    await checkAll(vm, os);
    const base = os.kernel.probe(os.kernelBase);
    assert(base.ok && base.pageBytes >= 16_384, JSON.stringify(base));
  });
}

function kernelOf(suite: string, meta?: string): Promise<SuiteKernel | undefined> {
  return suiteKernel(suite, meta).catch((error) => {
    if (!(error instanceof Fault)) throw error;
    console.log(`skipped: ${error.message}`);
    return undefined;
  });
}

async function checkAll(vm: Qemu, os: LinuxGuest): Promise<void> {
  await checkProcesses(vm, os);
  for (const process of os.processes().items.filter((each) => !each.kernelThread)) {
    const { items, end } = os.maps(process);
    assertEquals(end, { complete: true });
    assertEquals(items, parseMaps(await vm.agent.cat(`/proc/${process.pid}/maps`)));
  }
  assertEquals(os.modules(), { items: [], end: { complete: true } });
  await checkSymbols(vm, os);
  if (toldOf(os)) checkQuickSymbols(os);
}

function toldOf(os: LinuxGuest): boolean {
  return os.note.symbol("kallsyms_names") !== undefined;
}

/** A guest that runs starts and ends kernel threads: what differs is looked at again. */
async function checkProcesses(vm: Qemu, os: LinuxGuest): Promise<void> {
  let [own, host]: [unknown, unknown] = [undefined, undefined];
  for (let i = 0; i < LOOKS; i++) {
    own = (await ownProcesses(vm)).map(plain);
    host = hostProcesses(os).map(plain);
    assertEquals(os.processes().end, { complete: true });
    if (JSON.stringify(own) === JSON.stringify(host)) return;
  }
  assertEquals(host, own);
}

/** A rescuer's name is whole on both sides, whatever signs it has. */
function plain(process: Parameters<typeof plainName>[0]): Parameters<typeof plainName>[0] {
  return process.name.startsWith("kworker/R-") ? process : plainName(process);
}

async function checkSymbols(vm: Qemu, os: LinuxGuest): Promise<void> {
  const lines = (await vm.agent.cat("/proc/kallsyms")).split("\n").filter((line) => !line.includes("["));
  const addresses = new Map<string, string[]>();
  for (const line of lines) {
    const [address = "", , name = ""] = line.split(" ");
    addresses.set(name, [...addresses.get(name) ?? [], address]);
  }
  let looked = 0;
  for (let i = 0; i < lines.length; i += EACH) {
    const name = lines[i]!.split(" ")[2]!;
    // Many functions of one name: the first one is found.
    if (name === "" || addresses.get(name)!.length > 1) continue;
    const at = os.symbol(name);
    assert(at !== undefined, name);
    assertEquals(
      BigInt.asUintN(64, BigInt(at)).toString(16).padStart(16, "0"),
      addresses.get(name)![0],
      name,
    );
    looked++;
  }
  assert(looked > 20, `${looked} symbols were compared`);
}
