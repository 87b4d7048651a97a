/** Watched values over synthetic RAM: sizes, places, pages that move, holes, processes that end. @module */
import { assertEquals } from "@std/assert";
import { AddressSpace } from "../../../src/guest/address_space.ts";
import type { GuestOs } from "../../../src/guest/guest_os.ts";
import { MemoryWatch, type Place } from "../../../src/guest/memory_watch.ts";
import { pagingOf } from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import type { Process } from "../../../src/guest/process.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";
import { TableBuilder } from "../../fixtures/table_builder.ts";

const MIB = 2 ** 20;
const KERNEL = -0x7fff_0000;

/** A guest of tables alone. */
class Rig {
  readonly ram = new SyntheticRam([{ gpa: 0, sizeBytes: 4 * MIB }]);
  readonly tables = new TableBuilder(this.ram, pagingOf(4), 2 * MIB);
  readonly kernelRoot = this.tables.page();
  readonly userRoot = this.tables.page();
  readonly process: Process = {
    pid: 7,
    ppid: 1,
    name: "p",
    root: this.userRoot,
    kernelThread: false,
    object: KERNEL,
  };
  isAlive = true;
  found: string[] = [];
  readonly os: GuestOs;

  constructor() {
    const memory = new PhysicalMemory(this.ram);
    memory.refresh();
    const kernel = new AddressSpace(memory, pagingOf(4), this.kernelRoot);
    this.os = {
      kernel,
      spaceOf: ({ root }: Process) => kernel.withRoot(root),
      lives: () => this.isAlive,
    } as unknown as GuestOs;
  }

  watch(places: readonly Place[]): MemoryWatch {
    return new MemoryWatch(this.os, places);
  }

  look(watch: MemoryWatch): string[] {
    this.found = [];
    watch.look({
      onWord: (index, value) => this.found.push(`${index}=0x${value.toString(16)}`),
      onBytes: (index, bytes) => this.found.push(`${index}=${bytes.toHex()}`),
      onUnreadable: (index, reason) => this.found.push(`${index} ${reason}`),
    });
    return this.found.sort();
  }
}

Deno.test("each value is told once, and then only when its own bytes change", () => {
  const rig = new Rig();
  rig.tables.mapRange(rig.kernelRoot, KERNEL, 0x8000, 0x2000);
  rig.ram.put64(0x8010, 0x0102_0304, 0x0506_0708);
  rig.ram.put64(0x8ff8, 0x1112_1314, 0x1516_1718);
  rig.ram.put64(0x9000, 0x2122_2324, 0x2526_2728);
  const watch = rig.watch([
    { gva: KERNEL + 0x10, sizeBytes: 8 },
    { gva: KERNEL + 0x13, sizeBytes: 1 },
    { gva: KERNEL + 0x12, sizeBytes: 4 },
    { gva: KERNEL + 0xffe, sizeBytes: 4 },
    { gva: KERNEL + 0x10, sizeBytes: 8 },
  ]);
  const all = ["0=0x102030405060708", "1=0x5", "2=0x3040506", "3=12112827", "4=0x102030405060708"];
  assertEquals(rig.look(watch), all);
  assertEquals(rig.look(watch), []);
  rig.ram.put32(0x8010, 0x0506_07ff);
  assertEquals(rig.look(watch), ["0=0x1020304050607ff", "4=0x1020304050607ff"]);
  rig.ram.put32(0x8010, 0x00ff_07ff);
  assertEquals(
    rig.look(watch),
    ["0=0x102030400ff07ff", "1=0x0", "2=0x30400ff", "4=0x102030400ff07ff"].sort(),
  );
  rig.ram.put32(0x9000, 0x2526_27ff);
  assertEquals(rig.look(watch), ["3=1211ff27"]);
});

Deno.test("a page that moves is followed, one that goes is told, and one that comes back is told anew", () => {
  const rig = new Rig();
  const at = 0x40_0000;
  rig.tables.map(rig.userRoot, at, 0x8000);
  rig.ram.put32(0x8000, 5);
  rig.ram.put32(0xa000, 5);
  const watch = rig.watch([
    { gva: at, sizeBytes: 4, process: rig.process },
    { gva: at + 0x1000, sizeBytes: 4, process: rig.process },
  ]);
  assertEquals(rig.look(watch), ["0=0x5", "1 not-present"]);
  // Another frame with the same bytes is no news.
  rig.tables.map(rig.userRoot, at, 0xa000);
  assertEquals(rig.look(watch), []);
  rig.ram.put32(0x8000, 6);
  assertEquals(rig.look(watch), [], "the old frame is nobody's");
  rig.ram.put32(0xa000, 7);
  assertEquals(rig.look(watch), ["0=0x7"]);
  rig.tables.map(rig.userRoot, at + 0x1000, 0x8000);
  assertEquals(rig.look(watch), ["1=0x6"]);
  rig.tables.map(rig.userRoot, at, 2 ** 40);
  assertEquals(rig.look(watch), ["0 out-of-ram"]);
  rig.tables.map(rig.userRoot, at, 0xa000);
  assertEquals(rig.look(watch), ["0=0x7"]);
});

Deno.test("what changes in the memory of a process that has ended is not told", () => {
  const rig = new Rig();
  const at = 0x40_0000;
  rig.tables.map(rig.userRoot, at, 0x8000);
  rig.tables.map(rig.kernelRoot, KERNEL, 0x9000);
  const watch = rig.watch([
    { gva: at, sizeBytes: 4, process: rig.process },
    { gva: at + 7, sizeBytes: 4, process: rig.process },
    { gva: KERNEL, sizeBytes: 4 },
  ]);
  assertEquals(rig.look(watch), ["0=0x0", "1=00000000", "2=0x0"]);
  rig.isAlive = false;
  assertEquals(rig.look(watch), [], "nothing has changed, and nobody was asked");
  rig.ram.put32(0x8000, 1);
  rig.ram.put32(0x9000, 2);
  assertEquals(rig.look(watch), ["0 process-ended", "1 process-ended", "2=0x2"]);
  assertEquals(watch.gone(), [0, 1]);
  assertEquals(rig.look(watch), []);
});

Deno.test("a page that the host does not hold reads as zeros, and is seen when it comes", () => {
  const rig = new Rig();
  rig.tables.map(rig.kernelRoot, KERNEL, 0x8000);
  rig.ram.put32(0x8000, 0xdead);
  rig.ram.setHole(0x8000, true);
  const memory = rig.os.kernel.memory;
  memory.refresh();
  const watch = rig.watch([{ gva: KERNEL, sizeBytes: 4 }]);
  assertEquals(rig.look(watch), ["0=0x0"], "a hole is never touched");
  rig.ram.setHole(0x8000, false);
  rig.look(watch);
  assertEquals([...rig.found, ...rig.look(watch)], ["0=0xdead"]);
});

Deno.test("many values in many pages are all told, in any order", () => {
  const rig = new Rig();
  const places: Place[] = [];
  for (let i = 0; i < 200; i++) {
    const gva = KERNEL + 0x1000 * (i * 37 % 200);
    rig.tables.map(rig.kernelRoot, gva, 0x10_0000 + 0x1000 * (i * 11 % 200));
    for (let j = 0; j < 5; j++) places.push({ gva: gva + 8 * (j * 97 % 512), sizeBytes: 8 });
  }
  const watch = rig.watch(places);
  assertEquals(rig.look(watch).length, 1000);
  for (const [i, { gva }] of places.entries()) {
    if (i % 7 !== 0) continue;
    rig.ram.put32(rig.os.kernel.translate(gva), i + 1);
  }
  const told = rig.look(watch);
  assertEquals(
    told.sort(),
    places.flatMap((_, i) => i % 7 === 0 ? [`${i}=0x${(i + 1).toString(16)}`] : []).sort(),
  );
});
