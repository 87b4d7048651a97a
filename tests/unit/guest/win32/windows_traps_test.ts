/**
 * Windows guests that are torn, forged, half started or not there: each has its own outcome, and what was
 * found before is true.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MAX_LISTING } from "../../../../src/base/limits.ts";
import type { NoGuest } from "../../../../src/guest/guest_os.ts";
import { PhysicalMemory } from "../../../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../../../src/guest/synthetic_ram.ts";
import { findWindows } from "../../../../src/guest/win32/find_windows.ts";
import type { WindowsGuest } from "../../../../src/guest/win32/windows_guest.ts";
import {
  BUILD_19045,
  BUILD_24H2,
  KERNEL_BASE,
  PROCESSES,
  signed,
  STUB_GPA,
  WindowsImage,
  type WindowsSpec,
} from "../../../fixtures/windows_image.ts";
import { EXPORTS_AT, PE_AT } from "../../../fixtures/windows_pe.ts";

const EXPORTS_PAGE = 0x21_0000;
const ALL_PIDS = PROCESSES.map((process) => process.pid);

function open(image: WindowsImage): WindowsGuest {
  const result = findWindows(image.memory);
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

function declined(image: WindowsImage): NoGuest {
  const result = findWindows(image.memory);
  assert(!result.found, "a system was found");
  return result;
}

/** ntoskrnl's header and export directory with one u32 changed. */
function forged(page: number, at: number, value: number): WindowsSpec {
  return {
    layout: BUILD_19045,
    forge: (pages) => {
      const bytes = pages.get(page);
      assert(bytes !== undefined);
      new DataView(bytes.buffer).setUint32(at, value, true);
    },
  };
}

const pids = (os: WindowsGuest): number[] => os.processes().items.map((process) => process.pid);

Deno.test("an unlinked process is found on the scheduler's list, and told", () => {
  for (const layout of [BUILD_19045, BUILD_24H2]) {
    const image = new WindowsImage({ layout });
    const hidden = image.process("services.exe");
    image.unlink(hidden.object, layout.links);
    const os = open(image);
    const { items, end } = os.processes();
    assertEquals(end, { complete: true });
    assertEquals(items.filter((p) => p.unlinked).map((p) => p.pid), [hidden.spec.pid]);
    assertEquals(items.map((p) => p.pid), [...ALL_PIDS.filter((pid) => pid !== 720), 720]);
    const process = os.process(720);
    assertEquals(process?.object, signed(hidden.object));
    assert(process !== undefined);
    assertEquals(os.modulesOf(process).items.length, 2);
  }
});

Deno.test("without the scheduler's list an unlinked process is missed, and the layout says why", () => {
  const image = new WindowsImage({ layout: BUILD_19045, unscheduled: true });
  image.unlink(image.process("services.exe").object, BUILD_19045.links);
  const os = open(image);
  assertEquals(os.layout.scheduled, undefined);
  assertEquals(pids(os), ALL_PIDS.filter((pid) => pid !== 720));
});

Deno.test("a process that has ended is told as such, and has no memory", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  image.end("csrss.exe");
  const os = open(image);
  const process = os.process(500);
  assert(process !== undefined);
  assertEquals([process.exited, process.root, process.kernelThread, process.peb], [true, 0, false, 0]);
  assertEquals(pids(os), ALL_PIDS);
  assertEquals(os.maps(process), { items: [], end: { complete: true } });
  assertEquals(os.modulesOf(process), { items: [], end: { complete: true } });
  assertEquals(os.commandLine(process), []);
});

Deno.test("a number given anew means the process that lives", () => {
  const twice = [...PROCESSES, { name: "old.exe", pid: 7000, ppid: 720 }, {
    name: "new.exe",
    pid: 7000,
    ppid: 720,
  }];
  const image = new WindowsImage({ layout: BUILD_19045, processes: twice });
  image.end("old.exe");
  assertEquals(open(image).process(7000)?.name, "new.exe");
});

Deno.test("an unlinked process that has ended is none", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  image.unlink(image.process("csrss.exe").object, BUILD_19045.links);
  image.end("csrss.exe");
  assertEquals(pids(open(image)), ALL_PIDS.filter((pid) => pid !== 500));
});

Deno.test("a cycle ends the list, and is told with its place", () => {
  const image = new WindowsImage({ layout: BUILD_24H2 });
  const os = open(image);
  const link = (name: string): bigint => image.process(name).object + BigInt(BUILD_24H2.links);
  image.poke(link("wininit.exe"), link("smss.exe"));
  const { items, end } = os.processes();
  assertEquals(end, { complete: false, reason: "cycle", at: signed(link("smss.exe")) });
  // What lies past the break is found from behind, in its own order.
  const built = new Set(ALL_PIDS);
  assertEquals(new Set(items.map((p) => p.pid)), built);
  assertEquals(items.length, built.size);
});

Deno.test("a wild link ends the list; what lies past it is found from behind", () => {
  for (
    const wild of [0n, 0x41414141_41414141n, 0xffffb00f_7fff0000n, 0x7ff6_12340000n, 0xffffb00f_12340003n]
  ) {
    const image = new WindowsImage({ layout: BUILD_19045, unscheduled: true });
    const os = open(image);
    image.poke(image.process("wininit.exe").object + BigInt(BUILD_19045.links), wild);
    const { items, end } = os.processes();
    assert(!end.complete);
    assertEquals(end.reason, "wild-pointer");
    assertEquals(items.map((p) => p.pid), [4, 108, 380, 500, 576, 5216, 4120, 720]);
  }
});

Deno.test("an element that does not point back is where the list ends", () => {
  const image = new WindowsImage({ layout: BUILD_19045, unscheduled: true });
  const os = open(image);
  const link = image.process("wininit.exe").object + BigInt(BUILD_19045.links);
  image.poke(link + 8n, image.process("smss.exe").object + BigInt(BUILD_19045.links));
  const { items, end } = os.processes();
  assertEquals(end, { complete: false, reason: "wild-pointer", at: signed(link) });
  assertEquals(items.map((p) => p.pid), [4, 108, 380, 500, 5216, 4120, 720, 576]);
});

Deno.test("a process whose number makes no sense is no process", () => {
  const image = new WindowsImage({ layout: BUILD_19045, unscheduled: true });
  const os = open(image);
  image.poke(image.process("wininit.exe").object + BigInt(BUILD_19045.pid), 0x4141_4141_4141n);
  const { items, end } = os.processes();
  assertEquals(end, {
    complete: false,
    reason: "wild-pointer",
    at: signed(image.process("wininit.exe").object) + BUILD_19045.links,
  });
  assertEquals(items.map((p) => p.pid), [4, 108, 380, 500, 5216, 4120, 720]);
});

Deno.test("names without an end, odd lengths and text on a missing page are cut", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const os = open(image);
  const explorer = image.process("explorer.exe");
  const name = explorer.object + BigInt(BUILD_19045.name);
  image.tables.pokeBytes(image.kernelRoot, name, new TextEncoder().encode("fifteen-letters"));
  assertEquals(os.process(4120)?.name, "fifteen-letters");
  image.tables.pokeBytes(image.kernelRoot, name, new Uint8Array([0xff, 0x61, 0]));
  assertEquals(os.process(4120)?.name, "\udcffa", "the byte is kept");

  // The second module's name: an odd length, then one that runs into the page behind the heap, which is not
  // mapped.
  const process = os.process(4120);
  assert(process !== undefined);
  const space = os.spaceOf(process);
  const entry = 0x1a0_00000420n;
  const put = (va: bigint, value: bigint): void => image.tables.poke64(explorer.root, va, value);
  put(entry + 0x48n, 0x0100_0007n);
  assertEquals(os.modulesOf(process).items[1]?.name, "C:\\");
  const last = 0x1a0_00001ff0n;
  image.tables.pokeBytes(
    explorer.root,
    last,
    new Uint8Array([0x61, 0, 0x62, 0, 0x63, 0, 0x64, 0, 0x65, 0, 0x66, 0, 0x67, 0, 0x68, 0]),
  );
  put(entry + 0x48n, 0xffff_fffen);
  put(entry + 0x50n, last);
  assertEquals(space.probe(Number(last) + 16).ok, false);
  assertEquals(os.modulesOf(process).items[1]?.name, "abcdefgh");
  // Halves of pairs are different names, and a byte order mark is a character.
  for (const name of ["\ufeff\ud800a", "\ufeff\udbffa"]) {
    const units = Uint16Array.from(name + "bcdef", (c) => c.charCodeAt(0));
    image.tables.pokeBytes(explorer.root, last, new Uint8Array(units.buffer));
    assertEquals(os.modulesOf(process).items[1]?.name, name + "bcdef");
  }
  // A pointer to nothing: the short name serves.
  put(entry + 0x50n, 0x1234_5678n);
  assertEquals(os.modulesOf(process).items[1]?.name, "ntdll.dll");
  put(entry + 0x60n, 0n);
  assertEquals(os.modulesOf(process).items.map((m) => m.name), ["C:\\Windows\\System32\\explorer.exe", ""]);
});

Deno.test("a module list that leads astray is told", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const os = open(image);
  const process = os.process(4120);
  assert(process !== undefined);
  const { root } = image.process("explorer.exe");
  image.tables.poke64(root, 0x1a0_00000420n, 0x1a0_00000300n);
  const user = os.modulesOf(process);
  assertEquals([user.items.length, user.end], [2, { complete: false, reason: "cycle", at: 0x1a0_00000300 }]);
  image.tables.poke64(root, image.process("explorer.exe").peb + 0x18n, 0x10n);
  assertEquals(os.modulesOf(process), {
    items: [],
    end: { complete: false, reason: "wild-pointer", at: 0x10 },
  });
  const head = image.variable("PsLoadedModuleList");
  image.poke(head + 8n, 0n);
  const { items, end } = os.modules();
  assertEquals([items.length, end.complete], [3, false]);
});

Deno.test("an address tree that is torn shows its sound part", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const os = open(image);
  const explorer = image.process("explorer.exe");
  const process = os.process(4120);
  assert(process !== undefined);
  const root = image.peek(explorer.object + BigInt(BUILD_19045.vadRoot));
  const right = image.peek(root + 8n);
  image.poke(root + 8n, root);
  assertEquals(os.maps(process).end, { complete: false, reason: "cycle", at: signed(root) });
  image.poke(root + 8n, 0x4141_4141_4141_4141n);
  const torn = os.maps(process);
  assertEquals(torn.end, { complete: false, reason: "wild-pointer", at: signed(root) });
  assertEquals(torn.items.map((m) => m.start), explorer.ranges.slice(0, 3).map((r) => Number(r.start)));
  image.poke(root + 8n, right);
  // Another process's node is no child of this one.
  image.poke(root + 8n, image.process("smss.exe").nodes[4] as bigint);
  assertEquals(os.maps(process).end, { complete: false, reason: "wild-pointer", at: signed(root) });
  assertEquals(os.maps(process).items.length, 3);
  image.poke(root + 8n, right);
  // A node that overlaps the one before is left out.
  const second = explorer.nodes[1] as bigint;
  const range = image.peek(second + 0x18n);
  const high = image.peek(second + 0x20n);
  image.poke(second + 0x18n, image.peek((explorer.nodes[0] as bigint) + 0x18n));
  image.poke(second + 0x20n, image.peek((explorer.nodes[0] as bigint) + 0x20n));
  const overlap = os.maps(process);
  assertEquals([overlap.items.length, overlap.end], [4, {
    complete: false,
    reason: "wild-pointer",
    at: signed(second),
  }]);
  image.poke(second + 0x18n, range);
  image.poke(second + 0x20n, high);
  // So is one that ends before it starts.
  const first = explorer.nodes[0] as bigint;
  image.poke(first + 0x18n, 0xffff_ffffn);
  assertEquals(os.maps(process).items.length, 4);
  assertEquals(os.maps(process).end.complete, false);
});

Deno.test("where the address tree is not understood, the present pages are shown", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  for (const built of image.built) image.poke(built.object + BigInt(BUILD_19045.vadRoot), 0n);
  const os = open(image);
  assertEquals(os.layout.vad, undefined);
  // A page of the kernel's in the user half is none of the process's.
  const { root } = image.process("explorer.exe");
  image.tables.map(root, 0x1a0_00002000n, image.tables.allocate(), { writable: true });
  const process = os.process(4120);
  assert(process !== undefined);
  const { ranges, peb } = image.process("explorer.exe");
  const at = (i: number): number => Number(ranges[i]?.start);
  assertEquals(ranges[0]?.start, peb);
  const run = (start: number, pages: number, perms: string): unknown => ({
    start,
    end: start + pages * 4096,
    perms,
    fileOffset: 0,
    name: "",
  });
  assertEquals<unknown>(os.maps(process), {
    items: [run(at(0), 2, "rw-p"), run(at(1), 2, "rw-p"), run(at(3), 1, "r-xp"), run(at(4), 1, "r-xp")],
    end: { complete: true },
  });
});

Deno.test("a list of 300,000 processes is cut at the bound, and told", () => {
  const image = new WindowsImage({ layout: BUILD_19045, unscheduled: true });
  const os = open(image);
  // Objects that overlap: 32 bytes apart, each with its own number and links.
  const count = 300_000;
  const strideBytes = 32;
  const { pid, links } = BUILD_19045;
  const area = image.pool.allocate(count * strideBytes + 0x1000, "Proc");
  const link = (i: number): number => signed(area) + links + i * strideBytes;
  // One translation a page: a million of them would take most of the test's time.
  let page = NaN;
  let pageGpa = -1;
  const put = (va: number, value: number): void => {
    const offset = (va % 0x1000 + 0x1000) % 0x1000;
    if (va - offset !== page) {
      page = va - offset;
      pageGpa = os.kernel.translate(page);
      assert(pageGpa >= 0);
    }
    image.ram.putNumber(pageGpa + offset, value);
  };
  for (let i = 0; i < count; i++) {
    put(link(i) + pid - links, 8 + 4 * i);
    put(link(i), link(i + 1));
    put(link(i) + 8, link(i - 1));
  }
  const system = signed(image.process("System").object) + links;
  put(system, link(0));
  put(link(0) + 8, system);
  const { items, end } = os.processes();
  assert(!end.complete);
  assertEquals([end.reason, items.length, items.at(-1)?.pid], [
    "too-many",
    MAX_LISTING,
    4 * MAX_LISTING,
  ]);
});

Deno.test("tables that all name themselves are looked through once, not for ever", () => {
  const image = new WindowsImage({ ...forged(0, 0, 0), lowStub: false });
  // Below each self-mapped root, each table is the table itself: 2^36 places, and each of them an image that
  // is no kernel.
  const loop = image.tables.allocate();
  for (let i = 0; i < 512; i++) image.tables.set(loop, i, BigInt(loop) | 0x63n);
  for (const { root } of image.built) image.tables.set(root, 0x1f0, BigInt(loop) | 0x63n);
  const { reason, detail } = declined(image);
  assertEquals(reason, "unknown-os");
  assertStringIncludes(detail, "no ntoskrnl.exe under it");
  // The process's own tables loop too.
  const whole = new WindowsImage({ layout: BUILD_19045 });
  const os = open(whole);
  const process = os.process(4120);
  assert(process !== undefined);
  const own = whole.tables.allocate();
  for (let i = 0; i < 512; i++) whole.tables.set(own, i, BigInt(own) | (i % 2 === 0 ? 0x67n : 0x65n));
  whole.tables.set(process.root, 0, BigInt(own) | 0x67n);
  for (const built of whole.built) whole.poke(built.object + BigInt(BUILD_19045.vadRoot), 0n);
  const maps = open(whole).maps(process);
  assert(!maps.end.complete);
  assertEquals(maps.end.reason, "too-many");
  assert(maps.items.length > 1000 && maps.items.length <= MAX_LISTING);
});

Deno.test("nothing of Windows: no kernel", () => {
  const memory = new PhysicalMemory(new SyntheticRam([{ gpa: 0, sizeBytes: 2 ** 20 }]));
  const result = findWindows(memory);
  assert(!result.found);
  assertEquals(result.reason, "no-kernel");
  assertStringIncludes(result.detail, "low stub");
});

Deno.test("the low stub's page in a hole is not looked at", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  // Only the stub: the root loses its self-map, so that there is no other way.
  image.tables.set(image.kernelRoot, 0x1ed, 0n);
  for (const { root } of image.built) image.tables.set(root, 0x1ed, 0n);
  assert(findWindows(image.memory).found);
  image.ram.setHole(STUB_GPA, true);
  image.memory.refresh();
  assertEquals(declined(image).reason, "no-kernel");
});

Deno.test("a root without a kernel behind it: an unknown system", () => {
  const image = new WindowsImage({ ...forged(0, 0, 0), layout: BUILD_19045 });
  const { reason, detail } = declined(image);
  assertEquals(reason, "unknown-os");
  assertStringIncludes(detail, "no ntoskrnl.exe within 32 MiB");
  const unstubbed = new WindowsImage({ ...forged(0, 0, 0), lowStub: false });
  assertEquals(declined(unstubbed).reason, "unknown-os");
  assertStringIncludes(declined(unstubbed).detail, "self-mapped");
});

Deno.test("a stub whose entry point or root is garbage leads nowhere, and the self-map still does", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  image.ram.put64(STUB_GPA + 0xa0, 0x7f, 0xffff_f000);
  const os = open(image);
  assertEquals(os.kernel.root, image.kernelRoot);
});

Deno.test("a kernel that lies about its sizes is found as far as it is true, or refused", () => {
  // Not an image at all.
  const lies: readonly (readonly [page: number, at: number, value: number])[] = [
    [0, PE_AT.lfanew, 0x7fff_ffff],
    [0, PE_AT.lfanew, 0],
    [0, PE_AT.pe, 0],
    [0, PE_AT.sizeOfImage, 0],
    [0, PE_AT.sizeOfImage, 0xffff_ffff],
  ];
  for (const [page, at, value] of lies) {
    const { reason } = declined(new WindowsImage(forged(page, at, value)));
    assertEquals(reason, "unknown-os", `0x${value.toString(16)} at 0x${at.toString(16)}`);
  }
  // The kernel, by its POOLCODE or its name, but without exports that can be read.
  const hollow: readonly (readonly [page: number, at: number, value: number])[] = [
    [0, PE_AT.exportsRva, 0],
    [0, PE_AT.exportsRva, 0xffff_fff0],
    [0, PE_AT.sizeOfImage, 0x2000],
    [EXPORTS_PAGE, EXPORTS_AT.names, 0],
    [EXPORTS_PAGE, EXPORTS_AT.functions, 0],
    [EXPORTS_PAGE, EXPORTS_AT.namesRva, 0xffff_ff00],
    [EXPORTS_PAGE, EXPORTS_AT.functionsRva, 0x00ff_0000],
    [EXPORTS_PAGE, EXPORTS_AT.ordinalsRva, 0],
  ];
  for (const [page, at, value] of hollow) {
    const { reason, detail } = declined(new WindowsImage(forged(page, at, value)));
    assertEquals(reason, "unsupported", `0x${value.toString(16)} at 0x${at.toString(16)}`);
    assertStringIncludes(detail, "exports no NtBuildNumber");
  }
  // Headers too far from the image's start.
  const far = new WindowsImage({
    layout: BUILD_19045,
    forge: (pages) => {
      const page = pages.get(0);
      assert(page !== undefined);
      page.copyWithin(0xa00, PE_AT.pe, PE_AT.pe + 0x400);
      new DataView(page.buffer).setUint32(PE_AT.lfanew, 0xa00, true);
    },
  });
  assertEquals(declined(far).reason, "unknown-os");
  // Counts without end: those that are there are found.
  for (const at of [EXPORTS_AT.names, EXPORTS_AT.functions]) {
    const os = open(new WindowsImage(forged(EXPORTS_PAGE, at, 0xffff_ffff)));
    assertEquals(os.symbol("ZwClose"), signed(KERNEL_BASE) + 0x4560);
  }
});

Deno.test("another image's name is not the kernel", () => {
  const image = new WindowsImage({
    layout: BUILD_19045,
    forge: (pages) => {
      const page = pages.get(EXPORTS_PAGE);
      assert(page !== undefined);
      const at = new DataView(page.buffer).getUint32(EXPORTS_AT.name, true) - EXPORTS_PAGE;
      page.set(new TextEncoder().encode("ntoskrnx"), at);
    },
  });
  assertEquals(declined(image).reason, "unknown-os");
});

Deno.test("a kernel that is not understood is told apart, with what was missed", () => {
  const cases: readonly (readonly [string, (image: WindowsImage) => void])[] = [
    ["NtBuildNumber 3", (image) => image.poke(image.variable("NtBuildNumber"), 3n)],
    ["still starting", (image) => image.poke(image.variable("PsInitialSystemProcess"), 0n)],
    ["no process named System", (image) => {
      const { object } = image.process("System");
      image.poke(object + BigInt(BUILD_19045.name), 0x414141n);
    }],
    ["no number 4", (image) => {
      const { object } = image.process("System");
      image.poke(object + BigInt(BUILD_19045.pid), 8n);
    }],
  ];
  for (const [why, spoil] of cases) {
    const image = new WindowsImage({ layout: BUILD_19045 });
    spoil(image);
    const { reason, detail } = declined(image);
    assertEquals(reason, "unsupported", why);
    assertStringIncludes(detail, why);
  }
  const alone = new WindowsImage({ layout: BUILD_19045, processes: PROCESSES.slice(0, 1) });
  assertStringIncludes(declined(alone).detail, "only the System process runs yet");
});

Deno.test("a guest that was still starting is learnt further when it is asked", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const users = image.built.filter((process) => process.peb !== 0n);
  for (const user of users) image.poke(user.object + BigInt(BUILD_19045.peb), 0n);
  const os = open(image);
  assertEquals(os.layout.peb, undefined);
  const early = os.process(380);
  assert(early !== undefined);
  assertEquals(os.modulesOf(early), {
    items: [],
    end: { complete: false, reason: "wild-pointer", at: early.object },
  });
  for (const user of users) image.poke(user.object + BigInt(BUILD_19045.peb), user.peb);
  assertEquals(os.modulesOf(early).items.length, 2);
  assertEquals(os.layout.peb, BUILD_19045.peb);
});

Deno.test("the kernel is gone once its image or its System process is", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const os = open(image);
  assertEquals(os.stillThere(), true);
  const { object } = image.process("System");
  image.poke(object + BigInt(BUILD_19045.pid), 0n);
  assertEquals(os.stillThere(), false);
  assertEquals(os.processes(), {
    items: [],
    end: { complete: false, reason: "wild-pointer", at: signed(object) },
  });
  image.poke(object + BigInt(BUILD_19045.pid), 4n);
  assertEquals(os.stillThere(), true);
  image.poke(image.variable("PsInitialSystemProcess"), image.process("smss.exe").object);
  assertEquals(os.stillThere(), false);
  image.poke(image.variable("PsInitialSystemProcess"), object);
  const header = image.tables.translate(image.kernelRoot, KERNEL_BASE);
  assert(header !== undefined);
  image.ram.put32(header + PE_AT.pe + 8, 1);
  assertEquals(os.stillThere(), false, "another build's header");
  image.ram.putBytes(header, new Uint8Array(4096));
  assertEquals(os.stillThere(), false);
});
