/**
 * The guest-memory figures: the walk, the batch and the reads against the same in C over the same mapping;
 * the way from a pid to the process list in a fresh process; and what it costs the host.
 *
 * One guest serves all: q35, 2 GiB in a memfd, a program with 64 MiB of known memory in 4 KiB pages, 200
 * processes.
 * @module
 */
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import type { AddressSpace } from "../../src/guest/address_space.ts";
import { searchMemory } from "../../src/guest/memory_search.ts";
import { ScatterReader } from "../../src/guest/scatter.ts";
import { openQemuRam, type QemuRam } from "../../src/ram/qemu_ram.ts";
import { statusKib } from "../guest/mem_guest.ts";
import { type Qemu, startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { type MemFloor, memFloor } from "./mem_floor.ts";

const N = 65_536;
const MIB = 2 ** 20;
const PATTERN_BYTES = 64 * MIB;
const ROUNDS = 15;
/**
 * Unmeasured rounds before: the engine takes some tens to settle on its best code (measured: 12.5 ns, then
 * 9.2).
 */
const WARM = 40;

/** What all figures are measured on. */
interface Rig {
  vm: Qemu;
  ram: QemuRam;
  os: LinuxGuest;
  space: AddressSpace;
  base: number;
  floor: MemFloor;
  /** The mapping, as the floor is given it. */
  at: [Deno.PointerValue, bigint, bigint, bigint, number];
}

async function makeRig(): Promise<Rig> {
  const vm = await startGuest({
    ramMiB: 2048,
    memory: "memfd",
    kernel: "cloud",
    programs: ["pattern", "procs"],
  });
  const pattern = await vm.agent.start("pattern", String(PATTERN_BYTES / MIB), "5");
  const ready = /^ready (\d+) 0x([0-9a-f]+)/.exec((await pattern.line()) ?? "");
  const procs = await vm.agent.start("procs", "160");
  await procs.lineMatching(/^ready/);
  const ram = openQemuRam(vm.pid);
  ram.memory.refresh();
  const found = findLinux(ram.memory);
  if (!found.found || ready === null) throw new Error("the bench's guest is not what it should be");
  const process = found.os.process(Number(ready[1]));
  if (process === undefined) throw new Error("the pattern program is not in the process list");
  const space = found.os.spaceOf(process);
  const { linear } = ram.memory;
  const pointer = Deno.UnsafePointer.of(linear as Int32Array<ArrayBuffer>);
  const size = BigInt(linear.length * 4);
  const at: Rig["at"] = [pointer, size, size, BigInt(space.root), space.paging.levels];
  return { vm, ram, os: found.os, space, base: parseInt(ready[2] ?? "", 16), floor: memFloor(), at };
}

/** Rounds of both sides in turn; each gives one figure. */
function interleave(ours: () => number, peer: () => number): { ours: number[]; peer: number[] } {
  const out = { ours: [] as number[], peer: [] as number[] };
  for (let round = -WARM; round < ROUNDS; round++) {
    const a = ours();
    const b = peer();
    if (round < 0) continue;
    out.ours.push(a);
    out.peer.push(b);
  }
  return out;
}

function nsEach(n: number, work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6 / n;
}

function randomAddresses(base: number): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: N }, () => base + Math.floor(Math.random() * PATTERN_BYTES / 8) * 8);
}

function translateAll(space: AddressSpace, addresses: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < addresses.length; i++) sum += space.translate(addresses[i] as number);
  return sum;
}

/** Each waits for the one before: `zero` is 0, which the engine cannot know. N is a power of two. */
function translateChain(space: AddressSpace, addresses: Float64Array, zero: number): number {
  let sum = 0;
  let at = 0;
  for (let i = 0; i < addresses.length; i++) {
    const gpa = space.translate(addresses[at] as number);
    sum += gpa;
    at = (at + 1 + (gpa & zero)) & (addresses.length - 1);
  }
  return sum;
}

/**
 * One translation: what a reader waits for who needs the answer before going on, as a walk along a guest's
 * list does.
 */
function benchTranslate({ space, base, floor, at }: Rig): BenchResult {
  const addresses = randomAddresses(base);
  let mine = 0;
  let theirs = 0;
  const { ours, peer } = interleave(
    () => nsEach(N, () => mine = translateChain(space, addresses, 0)),
    () => nsEach(N, () => theirs = Number(floor.floor_translate_chain(...at, addresses, N, 0))),
  );
  if (Math.abs(mine - theirs) > 1) throw new Error(`the walks disagree: ${mine} ${theirs}`);
  return resultOf("mem.translate", "ns", "lower", ours, peer, "the same walk in C");
}

/**
 * Translations that wait for nothing: the processor overlaps as many as fit its window, and C's are shorter.
 */
function benchTranslateMany({ space, base, floor, at }: Rig): BenchResult {
  const addresses = randomAddresses(base);
  let mine = 0;
  let theirs = 0;
  const { ours, peer } = interleave(
    () => nsEach(N, () => mine = translateAll(space, addresses)),
    () => nsEach(N, () => theirs = Number(floor.floor_translate(...at, addresses, N))),
  );
  // The floor adds a flag, so that nothing of its walk can be left out.
  if (Math.abs(mine - theirs) > 1) throw new Error(`the walks disagree: ${mine} ${theirs}`);
  return resultOf("mem.translateMany", "ns", "lower", ours, peer, "the same walks in C");
}

function benchScatter({ space, base, floor, at }: Rig): BenchResult {
  const addresses = randomAddresses(base);
  const reader = new ScatterReader(space);
  const values = new Int32Array(2 * N);
  const status = new Int8Array(N);
  const theirs = new BigUint64Array(N);
  const physical = new BigUint64Array(N);
  const { ours, peer } = interleave(
    () => nsEach(N, () => reader.read(addresses, values, status)),
    () => nsEach(N, () => floor.floor_scatter(...at, addresses, N, theirs, physical)),
  );
  const same = new Int32Array(theirs.buffer);
  for (let i = 0; i < 2 * N; i++) {
    if (same[i] !== values[i]) throw new Error(`the batches disagree at ${i >> 1}`);
  }
  return resultOf("mem.scatter65536", "ns a read", "lower", ours, peer, "the same batch in C");
}

/** Reads of one size over 1 MiB of the program's memory, again and again: as far as caches let them. */
function benchRead(
  { space, base, floor, at, ram }: Rig,
  name: string,
  bytes: number,
  against: "walk" | "memcpy",
): BenchResult {
  const wrap = MIB / bytes;
  const rounds = 64 * wrap;
  const into = new Uint8Array(bytes);
  const gbps = (work: () => void): number => rounds * bytes / nsEach(1, work);
  const source = Deno.UnsafePointer.offset(at[0] as Deno.PointerObject, Math.floor(ram.ramBytes / 4));
  const { ours, peer } = interleave(
    () =>
      gbps(() => {
        for (let i = 0; i < rounds; i++) {
          if (space.read(base + (i % wrap) * bytes, into) !== bytes) throw new Error("a read was cut short");
        }
      }),
    () =>
      gbps(() => {
        if (against === "memcpy") floor.floor_memcpy(source, bytes, BigInt(bytes), wrap, rounds, into);
        else floor.floor_read(...at, BigInt(base), bytes, BigInt(bytes), wrap, rounds, into);
      }),
  );
  const peerName = against === "memcpy" ? "memcpy of that size" : "walk and memcpy in C";
  return resultOf(name, "GB/s", "higher", ours, peer, peerName);
}

async function child(pid: number, profile: string): Promise<number> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      new URL("./mem_bootstrap_child.ts", import.meta.url).pathname,
      String(pid),
      profile,
    ],
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return Number(new TextDecoder().decode(stdout));
}

async function benchBootstrap({ vm }: Rig): Promise<BenchResult[]> {
  const profile = await Deno.makeTempFile({ prefix: "vmsig-bench-" });
  try {
    await child(vm.pid, profile);
    const whole: number[] = [];
    const cached: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      whole.push(await child(vm.pid, ""));
      cached.push(await child(vm.pid, profile));
    }
    return [
      resultOf("mem.bootstrap", "ms", "lower", whole, null, null),
      resultOf("mem.bootstrapCached", "ms", "lower", cached, null, null),
    ];
  } finally {
    await Deno.remove(profile);
  }
}

function benchList({ os }: Rig): BenchResult {
  const times: number[] = [];
  for (let round = -WARM; round < ROUNDS; round++) {
    const start = performance.now();
    const { items, end } = os.processes();
    const took = performance.now() - start;
    if (!end.complete || items.length < 200) throw new Error(`${items.length} processes`);
    if (round >= 0) times.push(took * 200 / items.length);
  }
  return resultOf("mem.ps", "ms", "lower", times, null, null);
}

/** QEMU stands still meanwhile, so that only what we do can make it grow. */
function benchGrowth({ vm, space }: Rig): BenchResult {
  const grown: number[] = [];
  vm.kill("SIGSTOP");
  try {
    for (let i = 0; i < 5; i++) {
      const before = statusKib(vm.pid, "VmRSS");
      using ram = openQemuRam(vm.pid);
      ram.memory.refresh();
      const found = findLinux(ram.memory);
      if (!found.found) throw new Error(found.detail);
      for (const process of found.os.processes().items) found.os.maps(process);
      searchMemory(space, new TextEncoder().encode("no such text"), 0, 2 ** 47);
      grown.push((statusKib(vm.pid, "VmRSS") - before) / 1024);
    }
  } finally {
    vm.kill("SIGCONT");
  }
  return resultOf("mem.residentGrowth", "MiB", "lower", grown, null, null);
}

/** All of them, on one guest. */
export const benches: readonly Bench[] = [{
  name: "mem.translate",
  names: [
    "mem.translate",
    "mem.translateMany",
    "mem.scatter65536",
    "mem.read4k",
    "mem.read64k",
    "mem.bootstrap",
    "mem.bootstrapCached",
    "mem.ps",
    "mem.residentGrowth",
  ],
  async run(): Promise<BenchResult[]> {
    const rig = await makeRig();
    try {
      // The machine stands still, so that it takes no processor from either side.
      rig.vm.kill("SIGSTOP");
      const quiet = [
        benchTranslate(rig),
        benchTranslateMany(rig),
        benchScatter(rig),
        benchRead(rig, "mem.read4k", 4096, "walk"),
        benchRead(rig, "mem.read64k", 65_536, "memcpy"),
      ];
      rig.vm.kill("SIGCONT");
      return [
        ...quiet,
        ...await benchBootstrap(rig),
        benchList(rig),
        benchGrowth(rig),
      ];
    } finally {
      rig.ram[Symbol.dispose]();
      await rig.vm[Symbol.asyncDispose]();
    }
  },
}];
