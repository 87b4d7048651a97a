/**
 * The guest-memory figures: the walk, the batch and the reads against the same in C over the same mapping;
 * the way from a pid to the process list in a fresh process; and what it costs the host.
 *
 * One guest serves all: q35, 2 GiB in a memfd, a program with 64 MiB of known memory in 4 KiB pages, 200
 * processes.
 * @module
 */
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import type { AddressSpace } from "../../src/guest/address_space.ts";
import { searchMemory } from "../../src/guest/memory_search.ts";
import { ScatterReader } from "../../src/guest/scatter.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { statusKib } from "../guest/mem_guest.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { memflowFloor } from "./memflow_floor.ts";
import { interleave, makeRig, nsEach, PATTERN_BYTES, type Rig, ROUNDS, WARM } from "./mem_rig.ts";

const N = 65_536;
const MIB = 2 ** 20;
/** So much memory, and the tables that map it, the second-level cache of a processor holds. */
const WARM_BYTES = 256 * 1024;

function randomAddresses(base: number, bytes = PATTERN_BYTES): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: N }, () => base + Math.floor(Math.random() * bytes / 8) * 8);
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

/** The same addresses as a batch, which reads each last-level table's place once. */
function benchTranslateBatch({ space, base, floor, at }: Rig): BenchResult {
  const addresses = randomAddresses(base);
  const reader = new ScatterReader(space);
  const gpas = new Float64Array(N);
  let theirs = 0;
  const { ours, peer } = interleave(
    () => nsEach(N, () => reader.translate(addresses, gpas)),
    () => nsEach(N, () => theirs = Number(floor.floor_translate(...at, addresses, N))),
  );
  const mine = gpas.reduce((sum, gpa) => sum + gpa, 0);
  if (Math.abs(mine - theirs) > 1) throw new Error(`the walks disagree: ${mine} ${theirs}`);
  return resultOf("mem.translateBatch", "ns", "lower", ours, peer, "a walk each in C");
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

/** Eight bytes at each of some random addresses, one read after the other, as `load64` gives them. */
function readAll(space: AddressSpace, addresses: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < addresses.length; i++) {
    if (space.load64(addresses[i] as number)) sum = sum + space.lo | 0;
  }
  return sum >>> 0;
}

/**
 * One read of memory that the processor's caches hold: against a translation of the same addresses, and the
 * same ratio in C, which is what a load costs there.
 */
function benchWarmRead8({ space, base, floor, at }: Rig): BenchResult[] {
  const addresses = randomAddresses(base, WARM_BYTES);
  const values = new BigUint64Array(N);
  const mine = interleave(
    () => nsEach(N, () => readAll(space, addresses)),
    () => nsEach(N, () => translateAll(space, addresses)),
  );
  const theirs = interleave(
    () => nsEach(N, () => floor.floor_scatter_plain(...at, addresses, N, values)),
    () => nsEach(N, () => floor.floor_translate(...at, addresses, N)),
  );
  return [
    resultOf("mem.read8.warm", "ns", "lower", mine.ours, mine.peer, "a translation of ours"),
    resultOf("mem.read8.warmC", "ns", "lower", theirs.ours, theirs.peer, "both in C: a translation in C"),
  ];
}

/**
 * One read of memory that no cache holds: against a translation of ours, against the same in C, against
 * memflow's. A translation's tables stay in the cache (64 MiB have 128 KiB of them), the word itself does not
 * and its page is in no translation buffer: what a read takes beyond the walk is the wait for it, in C as
 * here (mem.read8.coldC), less what the processor overlaps with the next reads, which in C are shorter.
 */
function benchRead8({ space, base, floor, at }: Rig): BenchResult[] {
  const addresses = randomAddresses(base);
  const values = new BigUint64Array(N);
  let mine = 0;
  const ours = (): number => nsEach(N, () => mine = readAll(space, addresses));
  const walks = interleave(ours, () => nsEach(N, () => translateAll(space, addresses)));
  const plain = interleave(
    ours,
    () => nsEach(N, () => floor.floor_scatter_plain(...at, addresses, N, values)),
  );
  const inC = interleave(
    () => nsEach(N, () => floor.floor_scatter_plain(...at, addresses, N, values)),
    () => nsEach(N, () => floor.floor_translate(...at, addresses, N)),
  );
  const results = [
    resultOf("mem.read8", "ns", "lower", walks.ours, walks.peer, "a translation of ours"),
    resultOf("mem.read8.coldC", "ns", "lower", inC.ours, inC.peer, "both in C: a translation in C"),
    resultOf("mem.read8.c", "ns", "lower", plain.ours, plain.peer, "the same walk and load in C"),
  ];
  const memflow = memflowFloor();
  if (typeof memflow === "string") {
    return [...results, resultOf("mem.read8.memflow", "ns", "lower", plain.ours, null, memflow)];
  }
  const [pointer, , size, root] = at;
  let theirs = 0;
  const against = interleave(
    ours,
    () => nsEach(N, () => theirs = memflow.memflow_read8(pointer, size, root, addresses, N)),
  );
  if (mine !== theirs) throw new Error(`the reads disagree: ${mine} ${theirs}`);
  const into = new Uint8Array(65_536);
  const rounds = 1024;
  const gbps = (work: () => void): number => rounds * into.length / nsEach(1, work);
  const large = interleave(
    () =>
      gbps(() => {
        for (let i = 0; i < rounds; i++) space.read(base + (i % 16) * into.length, into);
      }),
    () => gbps(() => memflow.memflow_read(pointer, size, root, BigInt(base), into.length, 16, rounds, into)),
  );
  return [
    ...results,
    resultOf("mem.read8.memflow", "ns", "lower", against.ours, against.peer, "memflow 0.2.4"),
    resultOf("mem.read64k.memflow", "GB/s", "higher", large.ours, large.peer, "memflow 0.2.4"),
  ];
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

/** The list with each process's command line beside the list without. */
function benchCommandLines({ os }: Rig): BenchResult {
  const list = (isLong: boolean): number => {
    const start = performance.now();
    for (const process of os.processes().items) if (isLong && !process.kernelThread) os.commandLine(process);
    return performance.now() - start;
  };
  const { ours, peer } = interleave(() => list(true), () => list(false));
  return resultOf("mem.psLong", "ms", "lower", ours, peer, "the list without command lines");
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
    "mem.translateBatch",
    "mem.scatter65536",
    "mem.read4k",
    "mem.read64k",
    "mem.read8.warm",
    "mem.read8.warmC",
    "mem.read8",
    "mem.read8.coldC",
    "mem.read8.c",
    "mem.read8.memflow",
    "mem.read64k.memflow",
    "mem.bootstrap",
    "mem.bootstrapCached",
    "mem.ps",
    "mem.psLong",
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
        benchTranslateBatch(rig),
        benchScatter(rig),
        benchRead(rig, "mem.read4k", 4096, "walk"),
        benchRead(rig, "mem.read64k", 65_536, "memcpy"),
        ...benchWarmRead8(rig),
        ...benchRead8(rig),
      ];
      rig.vm.kill("SIGCONT");
      return [
        ...quiet,
        ...await benchBootstrap(rig),
        benchList(rig),
        benchCommandLines(rig),
        benchGrowth(rig),
      ];
    } finally {
      rig.ram[Symbol.dispose]();
      await rig.vm[Symbol.asyncDispose]();
    }
  },
}];
