// Finding regions among processes: what is found, what is not, in which order, and in slices.
import { assert, assertEquals } from "@std/assert";
import { MAX_VGPU_CANDIDATES_PER_PROCESS } from "../../../src/base/limits.ts";
import { confirmAlive, RegionScan } from "../../../src/vgpu/discovery.ts";
import { READ } from "../../../src/vgpu/vgpu_region.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";
import { RegionBytes } from "../../fixtures/vgpu_bytes.ts";
import { TestGuest, USER_PAGE } from "../../fixtures/vgpu_guest.ts";

const GVA = 0x7f12_3456_7000;

/** A guest with some processes of some pages each. */
function crowd(count: number, levels: 4 | 5 = 4): TestGuest {
  const guest = new TestGuest(64 << 20, levels);
  for (let pid = 1; pid <= count; pid++) {
    const process = guest.addProcess(pid);
    for (let i = 0; i < 8; i++) {
      const gpa = guest.page();
      guest.ram.put32(gpa, 0x1000 + i);
      guest.map(process.root, 0x5555_0000_0000 + i * 4096, gpa);
    }
  }
  return guest;
}

function found(scan: RegionScan): [pid: number, gva: number][] {
  return scan.candidates.map((candidate) => [candidate.process.pid, candidate.gva]);
}

for (const levels of [4, 5] as const) {
  Deno.test(`one region among twenty processes, ${levels} levels: found, then alive`, () => {
    const guest = crowd(20, levels);
    const bytes = new RegionBytes({ producerPid: 13 });
    const [header] = guest.place(guest.processes[12]!.root, GVA, bytes.bytes);
    const scan = new RegionScan(guest.os());
    assertEquals(scan.run().length, 1);
    assertEquals(found(scan), [[13, GVA]]);
    const candidates = [...scan.candidates];
    guest.ram.put32(header! + 0x40, 1);
    const alive = confirmAlive(candidates, scan);
    assertEquals(alive.length, 1);
    assertEquals(alive[0]!.region.header.producerPid, 13);
  });
}

Deno.test("a dead copy is a candidate once, and passed by until its heartbeat moves", () => {
  const guest = crowd(3);
  const [header] = guest.place(guest.processes[1]!.root, GVA, new RegionBytes().bytes);
  const scan = new RegionScan(guest.os());
  assertEquals(scan.run().length, 1);
  const candidate = scan.candidates[0]!;
  assertEquals(confirmAlive([candidate], scan), []);
  assertEquals(candidate.region.confirmAlive(0), READ.GONE, "a dead candidate is closed");
  assertEquals(scan.run().length, 0);
  guest.ram.put32(header! + 0x40, 5);
  assertEquals(scan.run().length, 1);
});

Deno.test("the magic alone, a broken CRC, a kernel-only or read-only page, and a hole are no candidates", () => {
  const guest = crowd(2);
  const root = guest.processes[0]!.root;
  const magicOnly = new Uint8Array(4096);
  magicOnly.set(new TextEncoder().encode("VGPUSTR1"));
  guest.place(root, GVA, magicOnly);
  const broken = new RegionBytes();
  broken.u32(0x02c, 0);
  guest.place(root, GVA + 0x100000, broken.bytes);
  const sound = new RegionBytes();
  const pages = guest.place(root, GVA + 0x200000, sound.bytes);
  guest.map(root, GVA + 0x200000, pages[0]!, USER_PAGE & ~2);
  guest.place(root, GVA + 0x300000, sound.bytes).forEach((gpa, i) => {
    guest.map(root, GVA + 0x300000 + i * 4096, gpa, USER_PAGE & ~4);
  });
  const hidden = guest.place(root, GVA + 0x400000, sound.bytes);
  guest.ram.setHole(hidden[0]!, true);
  const scan = new RegionScan(guest.os());
  assertEquals(found(scan), []);
  assertEquals(scan.run().length, 0);
});

Deno.test("a kernel thread, and a root that was seen already, are not looked through", () => {
  const guest = crowd(1);
  guest.place(guest.processes[0]!.root, GVA, new RegionBytes({ producerPid: 9 }).bytes);
  guest.addProcess(2, "kthreadd", true);
  guest.processes.push({ ...guest.processes[0]!, pid: 9 });
  const scan = new RegionScan(guest.os());
  scan.run();
  assertEquals(found(scan).length, 1);
});

Deno.test("two producers are both found; the process that the header names comes first", () => {
  const guest = crowd(6);
  guest.place(guest.processes[1]!.root, GVA, new RegionBytes({ producerPid: 5 }).bytes);
  guest.place(guest.processes[4]!.root, GVA, new RegionBytes({ producerPid: 5 }).bytes);
  const scan = new RegionScan(guest.os());
  scan.run();
  assertEquals(found(scan).map(([pid]) => pid), [5, 2]);
});

Deno.test("a process full of headers hides nobody's region", () => {
  const guest = crowd(4);
  const bytes = new RegionBytes();
  for (let i = 0; i < 40; i++) {
    guest.place(guest.processes[0]!.root, GVA + i * 0x100000, bytes.bytes.subarray(0, 4096));
  }
  guest.place(guest.processes[3]!.root, GVA, new RegionBytes({ producerPid: 4 }).bytes);
  const scan = new RegionScan(guest.os());
  scan.run();
  assertEquals(found(scan).filter(([pid]) => pid === 1).length, MAX_VGPU_CANDIDATES_PER_PROCESS);
  assertEquals(found(scan)[0], [4, GVA]);
});

Deno.test("a region in a 2 MiB page, at any of its 4 KiB pieces, and in a 1 GiB page", () => {
  const guest = new TestGuest(16 << 20);
  const bytes = new RegionBytes();
  const process = guest.addProcess(3);
  const large = guest.largePage(2 << 20);
  guest.map(process.root, 0x4000_0000, large, USER_PAGE, 2 << 20);
  guest.ram.putBytes(large + 100 * 4096, bytes.bytes);
  // RAM from 0 to 16 MiB as one 1 GiB page: most of it is no RAM at all, and all of it is one's own tables.
  const whole = guest.addProcess(4);
  guest.map(whole.root, 0x80_0000_0000, 0, USER_PAGE, 1 << 30);
  const scan = new RegionScan(guest.os());
  scan.run();
  assertEquals(found(scan), [
    [3, 0x4000_0000 + 100 * 4096],
    [4, 0x80_0000_0000 + large + 100 * 4096],
  ]);
});

Deno.test("a look in slices finds what a look at once finds, and each slice is bounded", () => {
  withSeed((random) => {
    const guest = crowd(12);
    for (const pid of [3, 7, 11]) {
      guest.place(guest.processes[pid]!.root, GVA + random.below(1000) * 4096, new RegionBytes().bytes);
    }
    const once = new RegionScan(guest.os());
    once.run();
    const sliced = new RegionScan(guest.os());
    sliced.begin();
    let before = 0;
    while (!sliced.step(1 + random.below(700))) {
      assert(sliced.looked - before <= 700 + 512 + 64, `a slice looked at ${sliced.looked - before}`);
      before = sliced.looked;
    }
    assertEquals(found(sliced), found(once));
    assertEquals(found(once).length, 3);
  });
});

Deno.test("a second look at what is new takes the new processes alone", () => {
  const guest = crowd(5);
  const scan = new RegionScan(guest.os());
  scan.run();
  const all = scan.looked;
  scan.run("new");
  assertEquals(scan.looked, 0);
  const late = guest.addProcess(99);
  guest.place(late.root, GVA, new RegionBytes({ producerPid: 99 }).bytes);
  assertEquals(scan.run("new").length, 1);
  assert(scan.looked < all, "only one process was looked through");
  assertEquals(scan.run("all").length, 1);
});

Deno.test("tables that name themselves, and tables of noise, end", () => {
  withSeed((random) => {
    const guest = new TestGuest(4 << 20);
    const own = guest.addProcess(1);
    for (let i = 0; i < 256; i++) guest.ram.putNumber(own.root + 8 * i, own.root + 0x67);
    const noise = guest.addProcess(2);
    for (let i = 0; i < 1024; i++) guest.ram.put32(noise.root + 4 * i, random.u32());
    const late = guest.addProcess(3);
    guest.place(late.root, GVA, new RegionBytes().bytes);
    const scan = new RegionScan(guest.os());
    scan.begin();
    let slices = 0;
    while (!scan.step(1 << 12)) slices++;
    assert(slices < 300, `${slices} slices`);
    assert(scan.candidates.some((candidate) => candidate.process.pid === 3), "who comes after them is found");
  });
});

Deno.test("a process list that breaks off is told, and what it gave is looked through", () => {
  const guest = crowd(3);
  guest.listComplete = false;
  guest.place(guest.processes[2]!.root, GVA, new RegionBytes().bytes);
  const scan = new RegionScan(guest.os());
  assertEquals(scan.run().length, 1);
  assertEquals(scan.listComplete, false);
});
