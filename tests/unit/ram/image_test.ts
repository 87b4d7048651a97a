/** RAM in files: raw images, ELF cores, files that shrink, writers. @module */
import { assert, assertEquals, assertThrows } from "@std/assert";
import "../ffi/loaded_shim.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { createMemfd, ftruncate } from "../../../ffi/memfd.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { GuestFinder } from "../../../src/guest/find_guest.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { ElfCore } from "../../../src/ram/elf_core.ts";
import { MappedRam } from "../../../src/ram/mapped_ram.ts";
import { isTarget, openTarget } from "../../../src/ram/open_target.ts";
import { RamWriter } from "../../../src/ram/ram_writer.ts";

const PAGE = 4096;
const MIB = 2 ** 20;

/** A memfd with a mark at the start of some pages. */
function marked(sizeBytes: number, pages: readonly number[]) {
  const fd = createMemfd("ram", sizeBytes);
  for (const page of pages) pwriteFrom(fd.fd, new Uint8Array([page & 0xff, 7]), 0, 2, page * PAGE);
  return fd;
}

function byteAt(memory: PhysicalMemory, gpa: number): number | undefined {
  const into = new Uint8Array(1);
  return memory.read(gpa, into) === 1 ? into[0] : undefined;
}

Deno.test("files are mapped at their guest addresses, holes stay holes, and all is closed again", () => {
  const before = openFdCount();
  const fd = marked(4 * MIB, [0, 1, 300, 800]);
  const pieces = [
    { gpa: 0, fileOffset: 0, sizeBytes: 2 * MIB, backend: 0 },
    { gpa: 2 ** 32, fileOffset: 2 * MIB, sizeBytes: 2 * MIB, backend: 0 },
  ];
  const memory = new PhysicalMemory(
    new MappedRam("a test", [{ fd, sizeBytes: 4 * MIB, huge: false }], pieces),
  );
  assertEquals(memory.refresh(), { residentBytes: 4 * PAGE, runs: 3 });
  assertEquals([byteAt(memory, 300 * PAGE), byteAt(memory, 2 ** 32 + 288 * PAGE), byteAt(memory, PAGE + 1)], [
    44,
    800 & 0xff,
    7,
  ]);
  assertEquals(byteAt(memory, 5 * PAGE), 0);
  assertEquals(memory.refresh().residentBytes, 4 * PAGE, "reading a hole did not fill it");
  assertEquals([byteAt(memory, 2 * MIB), byteAt(memory, 3 * 2 ** 30)], [undefined, undefined]);
  pwriteFrom(fd.fd, new Uint8Array([99]), 0, 1, 5 * PAGE);
  assertEquals(byteAt(memory, 5 * PAGE), 99, "a page that came since the last look is seen");
  memory[Symbol.dispose]();
  assertEquals(byteAt(memory, 0), undefined);
  assertEquals(openFdCount(), before);
});

Deno.test("a file that shrank is refused at the next look, and when it is opened", () => {
  const fd = marked(MIB, [0]);
  using memory = new PhysicalMemory(
    new MappedRam("a test", [{ fd, sizeBytes: MIB, huge: false }], [{
      gpa: 0,
      fileOffset: 0,
      sizeBytes: MIB,
      backend: 0,
    }]),
  );
  memory.refresh();
  ftruncate(fd.fd, PAGE);
  assertThrows(() => memory.refresh(), Fault, "shrank from 1048576 to 4096");
  const before = openFdCount();
  assertThrows(
    () =>
      new MappedRam("b", [{ fd: marked(PAGE, []), sizeBytes: MIB, huge: false }], [{
        gpa: 0,
        fileOffset: 0,
        sizeBytes: MIB,
        backend: 0,
      }]),
    Fault,
    "shrank",
  );
  assertEquals(openFdCount(), before, "what was handed over is closed when opening fails");
});

Deno.test("a file that is cut between the look and the read gives zeros, and the next look says so", () => {
  const fd = marked(MIB, [1, 200]);
  using memory = new PhysicalMemory(
    new MappedRam("a test", [{ fd, sizeBytes: MIB, huge: false }], [{
      gpa: 0,
      fileOffset: 0,
      sizeBytes: MIB,
      backend: 0,
    }]),
  );
  memory.refresh();
  assertEquals([byteAt(memory, PAGE), byteAt(memory, 200 * PAGE)], [1, 200]);
  ftruncate(fd.fd, 2 * PAGE);
  assertEquals([byteAt(memory, PAGE), byteAt(memory, 200 * PAGE)], [1, 0]);
  assertThrows(() => memory.verify(), Fault, "shrank from 1048576 to 8192");
  // Grown again it has its old size, and is another file all the same.
  ftruncate(fd.fd, MIB);
  assertThrows(() => memory.refresh(), Fault, "its file was cut while it was read; open it again");
  const dump = core([{ gpa: 0, offset: 0x1000, size: MIB }]);
  using dumped = new PhysicalMemory(new ElfCore(dump, "a core"));
  dumped.refresh();
  assertEquals(byteAt(dumped, 3 * PAGE), 3);
  ftruncate(dump.fd, 0);
  assertEquals(byteAt(dumped, 3 * PAGE), 0);
  ftruncate(dump.fd, 2 * MIB);
  assertThrows(() => dumped.verify(), Fault, "a core: it was cut while it was read");
});

interface Load {
  gpa: number;
  offset: number;
  size: number;
}

function core(loads: readonly Load[], change: (view: DataView) => void = () => {}, size = 2 * MIB) {
  const fd = createMemfd("core", size);
  const head = new Uint8Array(64 + 56 * (loads.length + 1));
  const view = new DataView(head.buffer);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setUint32(32, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, loads.length + 1, true);
  view.setUint32(64, 4, true);
  loads.forEach(({ gpa, offset, size }, i) => {
    const at = 64 + 56 * (i + 1);
    view.setUint32(at, 1, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 24, BigInt(gpa), true);
    view.setBigUint64(at + 32, BigInt(size), true);
    for (let page = 0; page < size / PAGE && offset + page * PAGE < 2 * MIB; page++) {
      pwriteFrom(fd.fd, new Uint8Array([(gpa / PAGE + page) & 0xff]), 0, 1, offset + page * PAGE);
    }
  });
  change(view);
  pwriteFrom(fd.fd, head, 0, head.length, 0);
  return fd;
}

Deno.test("an ELF core's segments are RAM at their physical addresses, aligned in the file or not", () => {
  const before = openFdCount();
  for (const shift of [0, 4, 2]) {
    const fd = core([
      { gpa: 2 ** 32, offset: 0x20_000 + shift, size: 4 * PAGE },
      { gpa: 0, offset: 0x1000 + shift, size: 16 * PAGE },
      { gpa: 17 * PAGE, offset: 0x40_000 + shift, size: 2 * PAGE + 100 },
      // Tells the same RAM again.
      { gpa: 2 * PAGE, offset: 0x3000 + shift, size: PAGE },
    ]);
    using memory = new PhysicalMemory(new ElfCore(fd, "a core"));
    memory.refresh();
    for (const page of [0, 5, 15, 17, 18, 2 ** 20, 2 ** 20 + 3]) {
      assertEquals(byteAt(memory, page * PAGE), page & 0xff, `page ${page}`);
    }
    for (const page of [16, 19, 2 ** 20 + 4]) assertEquals(byteAt(memory, page * PAGE), undefined);
    assertEquals(memory.ramBytes, 22 * PAGE);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a core that is cut short, lies, or is none, is refused by name", () => {
  const before = openFdCount();
  const good: Load[] = [{ gpa: 0, offset: 0x1000, size: 4 * PAGE }];
  const cases: [string, () => unknown][] = [
    ["bytes are missing", () => new ElfCore(core([{ gpa: 0, offset: 0x1000, size: 4 * MIB }]), "x")],
    [
      "bytes are missing",
      () => new ElfCore(core(good, (v) => v.setBigUint64(64 + 56 + 8, 2n ** 63n, true)), "x"),
    ],
    ["within its headers", () => new ElfCore(core(good, (v) => v.setBigUint64(32, 2n ** 60n, true)), "x")],
    ["not an ELF core", () => new ElfCore(core(good, (v) => v.setUint16(16, 2, true)), "x")],
    ["not an ELF core", () => new ElfCore(core(good, (v) => v.setUint16(18, 243, true)), "x")],
    ["program headers", () => new ElfCore(core(good, (v) => v.setUint16(56, 0, true)), "x")],
    ["addresses end at 0x80000000000", () => new ElfCore(core([{ ...good[0]!, gpa: 2 ** 43 - PAGE }]), "x")],
    [
      "addresses end at",
      () => new ElfCore(core(good, (v) => v.setBigUint64(64 + 56 + 24, 2n ** 64n - 4096n, true)), "x"),
    ],
    ["holds no memory", () => new ElfCore(core([{ gpa: 0, offset: 0x1000, size: 100 }]), "x")],
  ];
  for (const [text, open] of cases) assertThrows(open, Fault, text);
  assertEquals(openFdCount(), before);
});

const NOTHING: GuestFinder = () => ({ found: false, reason: "no-kernel", detail: "nothing" });

Deno.test("targets: words that are none, files that are no memory, raw images", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  const before = openFdCount();
  try {
    const file = (name: string, bytes: Uint8Array) => {
      Deno.writeFileSync(`${folder}/${name}`, bytes);
      return `file:${folder}/${name}`;
    };
    for (const word of ["", "x", "pid:", "pid:0", "pid:x", "pid:99999999", "file:", "PID:3"]) {
      assertThrows(() => openTarget(word, [NOTHING]), Fault, "say pid:N");
    }
    assertEquals(["pid:1", "file:x", "vm1", "profile:x"].map(isTarget), [true, true, false, false]);
    assertThrows(
      () => openTarget(`file:${folder}/none`, [NOTHING]),
      Fault,
      "none: No such file or directory (ENOENT)",
    );
    assertThrows(() => openTarget(`file:${folder}`, [NOTHING]), Fault, "no regular file");
    assertThrows(() => openTarget(file("short", new Uint8Array(100)), [NOTHING]), Fault, "whole pages");
    assertThrows(() => openTarget(file("empty", new Uint8Array(0)), [NOTHING]), Fault, "whole pages");
    assertThrows(() => openTarget(`pid:${Deno.pid}`, [NOTHING]), Fault, "not QEMU");
    assertThrows(() => openTarget("pid:4194303", [NOTHING]), Fault, "there is none");
    using target = openTarget(file("ram", new Uint8Array(4 * PAGE).fill(5)), [NOTHING]);
    assertEquals([target.lowBytes, target.memory.ramBytes, byteAt(target.memory, 3 * PAGE)], [
      4 * PAGE,
      4 * PAGE,
      5,
    ]);
    assert(!target.guest.found && target.guest.detail === "nothing");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a large raw image gets the layout in which a system is found", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  const before = openFdCount();
  try {
    const path = `${folder}/ram`;
    using file = Deno.openSync(path, { create: true, write: true });
    file.truncateSync(4 * 2 ** 30);
    // The mark lies at 3 GiB of the file: at 5 GiB for q35, at 4 GiB for pc, at 3 GiB without a hole.
    file.seekSync(3 * 2 ** 30, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array([77]));
    for (const [gpa, low] of [[5, 2], [4, 3], [3, 4]] as const) {
      const finder: GuestFinder = (memory) =>
        byteAt(memory, gpa * 2 ** 30) === 77
          ? { found: true, os: { kind: "linux" } as never }
          : { found: false, reason: "no-kernel", detail: "" };
      using target = openTarget(`file:${path}`, [finder]);
      assertEquals([target.guest.found, target.lowBytes], [true, low * 2 ** 30]);
    }
    using none = openTarget(`file:${path}`, [NOTHING]);
    assertEquals(none.lowBytes, 2 * 2 ** 30);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a writer stores runs, whole or not at all", () => {
  using fd = marked(2 * MIB, []);
  const backend = {
    id: "r",
    kind: "memfd" as const,
    memfd: true,
    sealed: false,
    sizeBytes: 2 * MIB,
    fileOffset: 0,
    hostAddress: 0,
  };
  const pieces = [{ gpa: 0, fileOffset: 0, sizeBytes: MIB, backend: 0 }, {
    gpa: 2 ** 32,
    fileOffset: MIB,
    sizeBytes: MIB,
    backend: 0,
  }];
  using writer = new RamWriter([backend], [fd.fd], pieces);
  const access = { writable: true, user: true, executable: false, gva: 0 };
  const memory = new PhysicalMemory(
    new MappedRam("t", [{ fd: fd.dup(), sizeBytes: 2 * MIB, huge: false }], pieces),
  );
  using _memory = memory;
  const bytes = (gpa: number, n: number) => {
    const into = new Uint8Array(n);
    memory.read(gpa, into);
    return [...into];
  };
  for (const n of [1, 2, 4, 8, 3, 16]) {
    const data = Uint8Array.from({ length: n }, (_, i) => n * 16 + i);
    assert(writer.store([{ ...access, gpa: 2 ** 32 + 256 * n, sizeBytes: n }], data));
    assertEquals(bytes(2 ** 32 + 256 * n, n), [...data]);
    assertEquals(bytes(2 ** 32 + 256 * n + n, 1), [0]);
  }
  assert(
    writer.store(
      [{ ...access, gpa: 4094, sizeBytes: 2 }, { ...access, gpa: 8192, sizeBytes: 2 }],
      new Uint8Array([1, 2, 3, 4]),
    ),
  );
  assertEquals([bytes(4094, 2), bytes(8192, 2)], [[1, 2], [3, 4]]);
  assert(
    !writer.store(
      [{ ...access, gpa: 100, sizeBytes: 2 }, { ...access, gpa: MIB, sizeBytes: 2 }],
      new Uint8Array([9, 9, 9, 9]),
    ),
  );
  assert(!writer.store([{ ...access, gpa: 100, sizeBytes: 4 }], new Uint8Array([9, 9])));
  assertEquals(bytes(100, 4), [0, 0, 0, 0], "nothing of a refused write is stored");
  assertThrows(() => new RamWriter([], [], []), Fault, "no shared memory backend");
  assertThrows(() => new RamWriter([{ ...backend, sizeBytes: 4 * MIB }], [fd.fd], pieces), Fault, "shrank");
  ftruncate(fd.fd, MIB);
  const write = () =>
    writer.store([{ ...access, gpa: 2 ** 32 + 256, sizeBytes: 8 }], new Uint8Array(8).fill(1));
  assertThrows(write, Fault, "its file was truncated");
});

Deno.test("a sparse file of TiB is opened without reading its holes, or named with what to take instead", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  const path = `${folder}/ram`;
  const before = openFdCount();
  let looks = 0;
  const count: GuestFinder = (memory) => {
    looks++;
    // All of it holes, told at once: a look that read them page by page would not come to an end.
    assertEquals(memory.refresh(), { residentBytes: PAGE, runs: 1 });
    return { found: false, reason: "no-kernel", detail: "nothing" };
  };
  const rss = Deno.memoryUsage().rss;
  try {
    for (const [gib, isOpened] of [[900, true], [1024, false], [8192, false], [12_288, false]] as const) {
      Deno.writeFileSync(path, new Uint8Array(PAGE).fill(1));
      Deno.truncateSync(path, gib * 2 ** 30);
      if (isOpened) {
        using target = openTarget(`file:${path}`, [count]);
        assertEquals([target.guest.found, target.memory.ramBytes], [false, gib * 2 ** 30]);
        continue;
      }
      const fault = assertThrows(() => openTarget(`file:${path}`, [count]), Fault);
      assertEquals(fault.code, "not-supported");
      assert(fault.message.includes(`a raw image of ${gib} GiB does not tell where`), fault.message);
      assert(fault.message.includes("dump-guest-memory") && fault.message.includes("virsh dump"));
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  assert(looks > 1, "each layout was looked at");
  assert(Deno.memoryUsage().rss - rss < 512 * MIB, "what it takes does not grow with the file");
  assertEquals(openFdCount(), before);
});
