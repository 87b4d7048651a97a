/**
 * Windows guests with random damage: no look may throw, run on, or read where no RAM is. Each image is built
 * once; damage is done to it, looked at, and undone. The memory counts how often it is asked for a page, and
 * gives up on a look that asks without end.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { MAX_LISTING, MAX_PE_IMAGE_BYTES } from "../../src/base/limits.ts";
import { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import type { Listing } from "../../src/guest/process.ts";
import { findWindows } from "../../src/guest/win32/find_windows.ts";
import type { WindowsGuest } from "../../src/guest/win32/windows_guest.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";
import {
  BUILD_17763,
  BUILD_19045,
  BUILD_24H2,
  PROCESSES,
  STUB_GPA,
  WindowsImage,
  type WindowsSpec,
} from "../fixtures/windows_image.ts";

/**
 * Pages that one operation may ask for. A look tries at most 2^20 places without an entry point
 * (MAX_KERNEL_PLACES), each with one walk of up to 5 tables and a read, and a kernel's 65,536 exports; a
 * listing reads a few fields of each entry.
 */
const MAX_ASKED = 16_000_000;
const ROUNDS = 120;

/** Memory that counts. It has no linear view (its RAM starts past 0), so every step of a walk asks it. */
class CountingMemory extends PhysicalMemory {
  asked = 0;

  override locate(frame: number): boolean {
    this.asked++;
    assert(this.asked <= MAX_ASKED, "a look that reads without end");
    const found = super.locate(frame);
    if (found) {
      assert(this.wordBase >= 0 && this.wordBase + 1024 <= this.words.length, "a page outside its buffer");
    }
    return found;
  }
}

class Target {
  readonly image: WindowsImage;
  readonly memory: CountingMemory;
  readonly #words: DataView;
  readonly #firstGpa: number;
  readonly #used: number;
  readonly #undo: (readonly [at: number, value: bigint])[] = [];
  most = 0;

  constructor(spec: WindowsSpec) {
    this.image = new WindowsImage({ ...spec, scattered: true });
    this.memory = new CountingMemory(this.image.ram);
    assertEquals(this.memory.linear.length, 0);
    const segment = this.image.ram.segments[0];
    assert(segment?.mapped !== undefined);
    this.#words = new DataView(segment.mapped.buffer);
    this.#firstGpa = segment.gpa;
    this.#used = this.image.tables.allocate();
  }

  /** Damages some words, in pages that mean something. */
  damage(random: SeededRandom): void {
    for (let i = 1 + random.below(random.oneIn(3) ? 200 : 12); i > 0; i--) {
      const page = random.oneIn(40)
        ? STUB_GPA
        : 0x10_0000 + random.below((this.#used - 0x10_0000) / 4096) * 4096;
      // Most words are 0: look for one that is not.
      let at = page - this.#firstGpa + random.below(512) * 8;
      for (let tries = 0; tries < 64 && this.#words.getBigUint64(at, true) === 0n; tries++) {
        at = page - this.#firstGpa + random.below(512) * 8;
      }
      const old = this.#words.getBigUint64(at, true);
      this.#undo.push([at, old]);
      this.#words.setBigUint64(at, this.#damaged(random, old, page), true);
    }
  }

  /** Undoes all of it. */
  repair(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      this.#words.setBigUint64(undo[0], undo[1], true);
    }
  }

  /** Runs one look. */
  look<T>(body: () => T): T {
    this.memory.asked = 0;
    const result = body();
    this.most = Math.max(this.most, this.memory.asked);
    return result;
  }

  #damaged(random: SeededRandom, old: bigint, page: number): bigint {
    switch (random.below(7)) {
      case 0:
        return 0n;
      case 1:
        return BigInt(random.u32()) << 32n | BigInt(random.u32());
      case 2:
        // Another word of the guest: a pointer, a table entry, a count of something else.
        return this.#words.getBigUint64(
          0x10_0000 - this.#firstGpa + random.below((this.#used - 0x10_0000) / 8) * 8,
          true,
        );
      case 3:
        // A table that names itself.
        return BigInt(page) | 0x67n;
      case 4:
        return BigInt.asUintN(64, old + 8n);
      default:
        return old ^ 1n << BigInt(random.below(64));
    }
  }
}

function checkListing<T>(listing: Listing<T>): readonly T[] {
  assert(listing.items.length <= MAX_LISTING);
  if (!listing.end.complete) assert(Number.isFinite(listing.end.at), `ended at ${listing.end.at}`);
  return listing.items;
}

/** Everything that can be asked. */
function askAll(target: Target, os: WindowsGuest): void {
  assert(/^(10\.0|6\.[123])\.[0-9]{4,5}$/.test(os.version), os.version);
  assert(os.image.sizeBytes <= MAX_PE_IMAGE_BYTES);
  target.look(() => os.stillThere());
  for (const module of checkListing(target.look(() => os.modules()))) {
    assert(Number.isFinite(module.base + module.sizeBytes) && module.name.length <= 512);
  }
  const processes = checkListing(target.look(() => os.processes()));
  assertEquals(new Set(processes.map((process) => process.object)).size, processes.length);
  for (const process of processes.slice(0, 20)) {
    assert(process.pid > 0 && process.pid % 4 === 0 && process.name.length <= 15);
    assert(process.root >= 0 && process.root < 2 ** 52 && process.root % 4096 === 0);
    for (const module of checkListing(target.look(() => os.modulesOf(process)))) {
      assert(Number.isFinite(module.base + module.sizeBytes) && module.name.length <= 512);
    }
    let last = -1;
    for (const map of checkListing(target.look(() => os.maps(process)))) {
      assert(map.start > last && map.end > map.start, `${map.start}-${map.end} after ${last}`);
      assert(/^[r-][w-][x-][ps]$/.test(map.perms), map.perms);
      last = map.end - 1;
    }
    for (const line of target.look(() => os.commandLine(process))) assert(line.length <= 32_767);
  }
  target.look(() => os.nearestSymbol(os.kernelBase + 0x4561));
  target.look(() => os.symbol("ZwClose"));
}

function checkWhole(target: Target): void {
  const result = target.look(() => findWindows(target.memory));
  assert(result.found, result.found ? "" : result.detail);
  const listing = result.os.processes();
  assertEquals(listing.end, { complete: true });
  assertEquals(listing.items.length, target.image.built.length);
}

const processes = [...PROCESSES, { name: "old.exe", pid: 6000, ppid: 4120, wow64: true }];
const SPECS: readonly WindowsSpec[] = [
  { layout: BUILD_19045, processes, kvaShadow: true },
  { layout: BUILD_24H2, processes, lowStub: false },
  { layout: BUILD_17763, processes, levels: 5 },
];

for (const spec of SPECS) {
  const { build } = spec.layout;
  Deno.test(`a damaged guest of build ${build} is found, or declined with a reason`, () => {
    withSeed((random) => {
      const target = new Target(spec);
      checkWhole(target);
      let found = 0;
      for (let round = 0; round < ROUNDS; round++) {
        target.damage(random);
        const result = target.look(() => findWindows(target.memory));
        if (result.found) {
          found++;
          askAll(target, result.os);
        } else {
          assert(["no-kernel", "unknown-os", "unsupported"].includes(result.reason));
          assert(result.detail.length > 0);
        }
        target.repair();
      }
      // Damage that always kills would test nothing behind the first look.
      assert(found > ROUNDS / 10, `${found} of ${ROUNDS} rounds found a guest`);
      checkWhole(target);
    });
  });

  Deno.test(`a guest of build ${build} that is damaged after it was found answers every question`, () => {
    withSeed((random) => {
      const target = new Target(spec);
      const result = findWindows(target.memory);
      assert(result.found);
      for (let round = 0; round < ROUNDS; round++) {
        target.damage(random);
        askAll(target, result.os);
        target.repair();
      }
      checkWhole(target);
    });
  });
}
