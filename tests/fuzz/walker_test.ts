/**
 * The walker, the reads, the batch and the scan against the plain model, on random and hostile tables.
 * `VMSIG_SEED` repeats a run, `VMSIG_FUZZ_ROUNDS` makes it longer.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { AddressSpace } from "../../src/guest/address_space.ts";
import {
  ARM64_MODES,
  type Paging,
  rootAlignment,
  walkFailure,
  X64_4,
  X64_5,
} from "../../src/guest/paging.ts";
import { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import { kernelHalf, scanPages, userHalf } from "../../src/guest/page_scan.ts";
import { ScatterReader } from "../../src/guest/scatter.ts";
import { SyntheticRam } from "../../src/guest/synthetic_ram.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";
import { modelArm64Walk, modelByte, type ModelRam, type ModelWalk, modelWalk } from "./walker_model.ts";

const ROUNDS = Number(Deno.env.get("VMSIG_FUZZ_ROUNDS") ?? 150);
const ADDRESSES = 200;
const TABLES = 24;

interface World {
  mode: Mode;
  root: number;
  /** The model's walk of a signed address. */
  walk(va: bigint): ModelWalk;
  space: AddressSpace;
  ram: SyntheticRam;
  model: ModelRam[];
  /** Indices that tables use, so that random addresses hit something. */
  indices: number[];
}

/** A paging mode, and how many bits of an address count (arm64: in each half). */
interface Mode {
  paging: Paging;
  isArm: boolean;
  bits: number;
}

const MODES: Mode[] = [
  { paging: X64_4, isArm: false, bits: 48 },
  { paging: X64_5, isArm: false, bits: 57 },
  ...ARM64_MODES.map((paging) => ({ paging, isArm: true, bits: paging.addressBits - 1 })),
];

/**
 * Where segments lie decides which of the walker's two ways is taken: linear from 0, not linear, two of them,
 * none at 0.
 */
const SHAPES = [
  [{ gpa: 0, sizeBytes: 4 << 20 }],
  [{ gpa: 0, sizeBytes: 2 << 20 }, { gpa: 2 ** 32, sizeBytes: 2 << 20 }],
  [{ gpa: 0, sizeBytes: 0xa_0000 }, { gpa: 0xc_0000, sizeBytes: 3 << 20 }],
  [{ gpa: 2 ** 30 - (1 << 20), sizeBytes: 4 << 20 }],
  [{ gpa: 2 ** 40, sizeBytes: 4 << 20 }, { gpa: 2 ** 43 - (2 << 20), sizeBytes: 2 << 20 }],
];

function makeWorld(random: SeededRandom): World {
  // Each architecture as often: arm64 has five times as many modes.
  const mode = MODES[random.oneIn(2) ? random.below(4) : random.below(MODES.length)]!;
  const shape = SHAPES[random.below(SHAPES.length)]!;
  const ram = new SyntheticRam(shape);
  for (const s of ram.segments) {
    const words = new Uint32Array(s.mapped!.buffer);
    for (let i = 0; i < words.length; i += 1 + random.below(40)) words[i] = random.u32();
  }
  const frames: number[] = [];
  for (const s of shape) for (let at = 0; at < s.sizeBytes; at += 4096) frames.push(s.gpa + at);
  const granule = 2 ** mode.paging.granuleShift;
  const whole = frames.filter((frame) => frame % granule === 0);
  const tables = Array.from({ length: TABLES }, () => whole[random.below(whole.length)]!);
  const indices = Array.from({ length: 6 }, () => random.below(granule / 8));
  const topMask = 2 ** mode.paging.table[0]!.indexBits - 1;
  const put = mode.isArm ? putArm64Entry : putEntry;
  for (const table of tables) {
    for (let i = 0; i < granule / 8; i++) ram.put64(table + 8 * i, 0, 0);
    for (const index of indices) {
      put(random, ram, table + 8 * index, tables, frames);
      if (index > topMask) put(random, ram, table + 8 * (index & topMask), tables, frames);
    }
  }
  const kernelRoot = random.oneIn(8) ? tables[0]! : tables[1]!;
  // A table that is smaller than a page may begin anywhere in one.
  const offset = rootAlignment(mode.paging) < 4096 && kernelRoot !== tables[0] ? 64 * random.below(3) : 0;
  const root = tables[0]! + offset;
  if (offset > 0) {
    for (const index of indices) put(random, ram, root + 8 * (index & topMask), tables, frames);
  }
  const memory = new PhysicalMemory(ram);
  memory.refresh();
  const model = ram.segments.map((s) => ({ gpa: BigInt(s.gpa), bytes: new Uint8Array(s.mapped!.buffer) }));
  const roots = { user: BigInt(root), kernel: BigInt(kernelRoot) };
  return {
    mode,
    root,
    ram,
    indices,
    space: new AddressSpace(memory, mode.paging, root, undefined, kernelRoot),
    model,
    walk: (va) =>
      mode.isArm
        ? modelArm64Walk(model, roots, { granule: mode.paging.granuleShift, bits: mode.bits }, va)
        : modelWalk(model, BigInt(root), mode.paging.levels as 4 | 5, va),
  };
}

/** An entry: mostly a table or a page of RAM, sometimes large, sometimes hostile. */
function putEntry(
  random: SeededRandom,
  ram: SyntheticRam,
  at: number,
  tables: number[],
  frames: number[],
): void {
  const target = random.below(10) < 6
    ? tables[random.below(tables.length)]!
    : frames[random.below(frames.length)]!;
  let hi = Math.floor(target / 2 ** 32);
  let lo = target % 2 ** 32 + 1;
  if (random.below(10) < 8) lo += 2;
  if (random.below(10) < 8) lo += 4;
  if (random.oneIn(5)) hi += 0x8000_0000;
  if (random.oneIn(4)) {
    // A large page: aligned to 2 MiB or 1 GiB (perhaps with PAT), or with reserved bits as it stands.
    const keep = random.below(3);
    const mask = keep === 0 ? ~0x1f_ffff : keep === 1 ? ~0x3fff_ffff : -1;
    lo = ((lo & 0xffff_f000 & mask) >>> 0) + (lo & 7) + 0x80 + (random.below(10) < 3 ? 0x1000 : 0);
  }
  if (random.oneIn(10)) lo = (lo & ~1) >>> 0;
  if (random.oneIn(12)) hi = (hi | random.u32() & 0xf_ffff) >>> 0;
  if (random.oneIn(20)) hi = (hi | 0x7ff0_0000) >>> 0;
  ram.put64(at, hi, lo % 2 ** 32);
}

/** The same for arm64: mostly a table or a page, sometimes a block, with and without permissions. */
function putArm64Entry(
  random: SeededRandom,
  ram: SyntheticRam,
  at: number,
  tables: number[],
  frames: number[],
): void {
  const target = random.below(10) < 6
    ? tables[random.below(tables.length)]!
    : frames[random.below(frames.length)]!;
  let hi = Math.floor(target / 2 ** 32);
  let lo = target % 2 ** 32 + 3;
  if (random.oneIn(4)) {
    // A block, aligned or with bits below its size, which count for nothing.
    lo = (random.oneIn(3) ? lo - 2 : (lo & (random.oneIn(2) ? ~0x1f_fffe : ~0x3fff_fffe)) >>> 0) >>> 0;
  }
  // AP, and what is not looked at: the access flag, shareability, not global, attributes.
  lo = (lo | random.u32() & 0xffc) >>> 0;
  // UXN, PXN, DBM, the contiguous hint; what a table forbids; bits of software.
  if (random.oneIn(3)) hi = (hi | random.u32() & 0x00f8_0000) >>> 0;
  if (random.oneIn(4)) hi = (hi | random.u32() & 0x7800_0000) >>> 0;
  if (random.oneIn(8)) hi = (hi | random.u32() & 0x8700_0000) >>> 0;
  if (random.oneIn(10)) lo = (lo & ~1) >>> 0;
  if (random.oneIn(12)) hi = (hi | random.u32() & 0xffff) >>> 0;
  ram.put64(at, hi, lo);
}

/** An address that the tables may know; exact as a double (57-bit ones keep their low 3 bits clear). */
function randomAddress(random: SeededRandom, world: World): number {
  let va = 0n;
  const { isArm, bits, paging } = world.mode;
  const top = paging.levels;
  for (let level = 0; level < top; level++) {
    const { indexBits } = paging.table[level]!;
    const index = random.oneIn(14) ? random.u32() : world.indices[random.below(world.indices.length)]!;
    va = va << BigInt(indexBits) | BigInt(index & 2 ** indexBits - 1);
  }
  const granule = 2 ** paging.granuleShift;
  const near = random.below(10) < 3 ? granule - 8 * (1 + random.below(3)) : random.below(granule / 8) * 8;
  va = va << BigInt(paging.granuleShift) | BigInt(near);
  if (isArm) {
    if (random.oneIn(20)) va |= BigInt(random.u32() & 0xfff) << BigInt(bits);
    return Number(random.oneIn(2) ? va : va - (1n << BigInt(bits)));
  }
  if (!random.oneIn(20)) return Number(BigInt.asIntN(bits, va));
  return Number(BigInt.asIntN(64, va | BigInt(random.u32()) << BigInt(bits - 3)) & ~0xfffn);
}

function forEachSeed(name: string, check: (random: SeededRandom, world: World) => void): void {
  Deno.test(name, () => {
    const rounds = Deno.env.has("VMSIG_SEED") ? 1 : ROUNDS;
    for (let round = 0; round < rounds; round++) withSeed((random) => check(random, makeWorld(random)));
  });
}

let mapped = 0;
let mappedArm = 0;

forEachSeed("translate, probe and the walker's two ways agree with the model", (random, world) => {
  const { space } = world;
  for (let i = 0; i < ADDRESSES; i++) {
    const gva = randomAddress(random, world);
    const expected = world.walk(BigInt(gva));
    const got = space.translate(gva);
    const probe = space.probe(gva);
    if (expected.ok) {
      mapped++;
      if (world.mode.isArm) mappedArm++;
      assertEquals(BigInt(got), expected.gpa, `translate ${gva}`);
      assertEquals(probe, {
        ok: true,
        gpa: Number(expected.gpa),
        pageBytes: Number(1n << expected.shift),
        writable: expected.writable,
        user: expected.user,
        executable: expected.executable,
      });
    } else {
      assert(got < 0, `translate ${gva} fails`);
      assertEquals(walkFailure(got), expected.why, `translate ${gva}`);
      assertEquals(probe, { ok: false, reason: expected.why });
    }
  }
});

forEachSeed("reads copy exactly what the model has, and stop where it stops", (random, world) => {
  const { space, model } = world;
  const into = new Uint8Array(3 * 4096);
  for (let i = 0; i < ADDRESSES / 4; i++) {
    const gva = randomAddress(random, world);
    const length = random.below(into.length);
    into.fill(0xee);
    const got = space.read(gva, into, 0, length);
    const expected: number[] = [];
    for (let k = 0; k < length; k++) {
      const walk = world.walk(BigInt(gva) + BigInt(k));
      const byte = walk.ok ? modelByte(model, walk.gpa) : undefined;
      if (byte === undefined) break;
      expected.push(byte);
    }
    assertEquals(got, expected.length, `read ${length} at ${gva}`);
    assertEquals([...into.subarray(0, got)], expected);
    assert(into.subarray(got, length).every((b) => b === 0xee), "nothing is written past what was read");
  }
});

forEachSeed("words at any offset, and the batch, agree with the model", (random, world) => {
  const { space, model } = world;
  const addresses = Float64Array.from({ length: ADDRESSES }, () => randomAddress(random, world));
  for (let i = 0; i < ADDRESSES; i += 2) {
    // Unaligned ones too, where a double holds them.
    if (Math.abs(addresses[i]!) < 2 ** 52) addresses[i] = addresses[i]! + random.below(8);
  }
  const values = new Int32Array(2 * ADDRESSES).fill(-1);
  const status = new Int8Array(ADDRESSES).fill(77);
  const reader = new ScatterReader(space);
  for (let pass = 0; pass < 2; pass++) {
    const gpas = new Float64Array(ADDRESSES);
    reader.translate(addresses, gpas);
    addresses.forEach((gva, i) => assertEquals(gpas[i], space.translate(gva), `batch at ${gva}`));
    const count = reader.read(addresses, values, status);
    let expectedCount = 0;
    for (let i = 0; i < ADDRESSES; i++) {
      const gva = addresses[i]!;
      let value: bigint | undefined = 0n;
      for (let k = 7; k >= 0 && value !== undefined; k--) {
        const walk = world.walk(BigInt(gva) + BigInt(k));
        const byte = walk.ok ? modelByte(model, walk.gpa) : undefined;
        value = byte === undefined ? undefined : value << 8n | BigInt(byte);
      }
      if (value === undefined) {
        assert(status[i]! < 0, `${gva} cannot be read`);
        assertEquals([values[2 * i], values[2 * i + 1]], [0, 0]);
        assert(!space.load64(gva));
        assertEquals([space.lo, space.hi], [0, 0], `load64 at ${gva}`);
      } else {
        expectedCount++;
        const want = [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
        assertEquals([values[2 * i], values[2 * i + 1], status[i]], [...want, 0], `batch at ${gva}`);
        assert(space.load64(gva));
        assertEquals([space.lo, space.hi], want, `load64 at ${gva}`);
      }
    }
    assertEquals(count, expectedCount);
    // The guest changes its tables between two batches: nothing of the first may show in the second.
    const at = world.root + 8 * world.indices[random.below(6)]!;
    world.ram.put64(at, 0, 0);
  }
});

forEachSeed("runs cover what the model maps, with its permissions", (random, world) => {
  const { space, model } = world;
  for (let i = 0; i < ADDRESSES / 8; i++) {
    const gva = randomAddress(random, world);
    const size = 1 + random.below(5 * 4096);
    const list = space.runs(gva, size);
    let done = 0;
    for (const run of list.runs) {
      assertEquals(run.gva, gva + done);
      for (let k = 0; k < run.sizeBytes; k += 512) {
        const walk = world.walk(BigInt(gva) + BigInt(done + k));
        assert(walk.ok);
        assertEquals(BigInt(run.gpa + k), walk.gpa);
        assertEquals([run.writable, run.user, run.executable], [walk.writable, walk.user, walk.executable]);
      }
      done += run.sizeBytes;
    }
    assertEquals(done, list.sizeBytes);
    assertEquals(list.ok, done === size);
    if (!list.ok) {
      const walk = world.walk(BigInt(gva) + BigInt(done));
      const expected = walk.ok ? "out-of-ram" : walk.why;
      assertEquals(list.reason, expected);
      if (walk.ok) assertEquals(modelByte(model, walk.gpa), undefined);
    }
  }
});

forEachSeed(
  "the scan shows pages that the model maps alike, in order, within its bound",
  (_random, world) => {
    const { space } = world;
    for (const { from, to } of [userHalf(space), kernelHalf(space)]) {
      let before = -Infinity;
      let pages = 0;
      const end = scanPages(space, from, to, (page) => {
        assert(page.gva > before && page.gva >= from && page.gva < to);
        before = page.gva;
        const walk = world.walk(BigInt(page.gva));
        assert(walk.ok, `${page.gva} is mapped`);
        assertEquals(BigInt(page.frame) * 4096n, walk.gpa);
        assertEquals(
          [BigInt(page.sizeBytes), page.writable, page.user, page.executable],
          [1n << walk.shift, walk.writable, walk.user, walk.executable],
        );
        return ++pages >= 300;
      });
      assertEquals(end, pages >= 300 ? "stopped" : "complete");
    }
  },
);

Deno.test("the random tables do map pages: the tests above have something to compare", () => {
  const enough = mapped > 100 && mappedArm > 50;
  assert(Deno.env.has("VMSIG_SEED") || enough, `${mapped} mapped addresses, ${mappedArm} of arm64`);
});
