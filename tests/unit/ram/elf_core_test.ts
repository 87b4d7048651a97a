/** ELF cores as crash kernels and makedumpfile write them: very many segments, and RAM that is told twice. */
import { assertEquals, assertThrows } from "@std/assert";
import "../ffi/loaded_shim.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { GuestFinder } from "../../../src/guest/find_guest.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { ElfCore } from "../../../src/ram/elf_core.ts";
import { openTarget } from "../../../src/ram/open_target.ts";

const PAGE = 4096;
const MIB = 2 ** 20;
const NOTHING: GuestFinder = () => ({ found: false, reason: "no-kernel", detail: "nothing" });

interface Load {
  gpa: number | bigint;
  offset: number;
  size: number;
}

/** A core; its headers stand at its end, and with `xnum` their number in a section header. */
function core(loads: readonly Load[], sizeBytes: number, xnum = loads.length >= 0xffff): OwnedFd {
  const fd = createMemfd("core", sizeBytes);
  const bytes = new Uint8Array(64 * 2 + 56 * loads.length);
  const view = new DataView(bytes.buffer);
  const place = sizeBytes - bytes.length + 64;
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, BigInt(place + 64), true);
  view.setBigUint64(40, BigInt(place), true);
  view.setUint16(54, 56, true);
  view.setUint16(56, xnum ? 0xffff : loads.length, true);
  view.setUint32(64 + 44, loads.length, true);
  loads.forEach(({ gpa, offset, size }, i) => {
    const at = 128 + 56 * i;
    view.setUint32(at, 1, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 24, BigInt(gpa), true);
    view.setBigUint64(at + 32, BigInt(size), true);
  });
  pwriteFrom(fd.fd, bytes, 0, 64, 0);
  pwriteFrom(fd.fd, bytes, 64, bytes.length - 64, place);
  return fd;
}

function mark(fd: OwnedFd, offset: number, value: number): void {
  pwriteFrom(fd.fd, new Uint8Array([value]), 0, 1, offset);
}

function byteAt(memory: PhysicalMemory, gpa: number): number | undefined {
  const into = new Uint8Array(1);
  return memory.read(gpa, into) === 1 ? into[0] : undefined;
}

for (const [count, xnum] of [[5000, false], [5000, true], [70_000, true]] as const) {
  Deno.test(`a core of ${count} segments is read${xnum ? ", counted by a section header" : ""}`, () => {
    const before = openFdCount();
    // Every second page, in falling order, all apart in RAM and in the file's order.
    const loads = Array.from({ length: count }, (_, i) => ({
      gpa: 2 * (count - i) * PAGE,
      offset: (1 + i % 64) * PAGE + (i % 2),
      size: PAGE,
    }));
    const fd = core(loads, 8 * MIB, xnum);
    for (let i = 0; i < 64; i++) mark(fd, (1 + i) * PAGE + (i % 2), i + 1);
    {
      using memory = new PhysicalMemory(new ElfCore(fd, "a core"));
      assertEquals([memory.ramBytes, memory.endGpa], [count * PAGE, (2 * count + 1) * PAGE]);
      memory.refresh();
      for (const i of [0, 1, 777, count - 1]) {
        assertEquals(byteAt(memory, loads[i]!.gpa), i % 64 + 1, `segment ${i}`);
        assertEquals(byteAt(memory, loads[i]!.gpa + PAGE), undefined);
      }
    }
    assertEquals(openFdCount(), before);
  });
}

Deno.test("headers that are counted where nothing is, or past all bounds, are refused", () => {
  const before = openFdCount();
  const one = [{ gpa: 0, offset: PAGE, size: PAGE }];
  const open = (change: (view: DataView<ArrayBuffer>) => void) => {
    const fd = core(one, MIB, true);
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    view.setUint16(16, 4, true);
    view.setUint16(18, 62, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, 0xffff, true);
    change(view);
    pwriteFrom(fd.fd, bytes, 0, 64, 0);
    return () => new ElfCore(fd, "x");
  };
  assertThrows(open((v) => v.setBigUint64(40, BigInt(MIB), true)), Fault, "within its headers");
  assertThrows(open((v) => v.setBigUint64(40, 2n ** 63n, true)), Fault, "within its headers");
  // What stands at 0 is the ELF header itself: its sh_info is zero.
  assertThrows(open(() => {}), Fault, "0 program headers");
  assertEquals(openFdCount(), before);
});

Deno.test("RAM that is told twice alike is one; told differently it is refused", () => {
  const before = openFdCount();
  const loads = [
    { gpa: 0, offset: 0x1000, size: 16 * PAGE },
    // The last four pages again, and four more.
    { gpa: 12 * PAGE, offset: 0x20_000, size: 8 * PAGE },
    // All within the first.
    { gpa: 2 * PAGE, offset: 0x40_000, size: 3 * PAGE },
    // No physical address: not another place, but the same memory by another name.
    { gpa: 2n ** 64n - 1n, offset: 0x1000, size: 64 * PAGE },
    { gpa: 20 * PAGE, offset: 0x28_000, size: PAGE },
  ];
  const made = (wrong?: number) => {
    const fd = core(loads, MIB);
    loads.slice(0, 3).forEach(({ gpa, offset, size }) => {
      for (let page = 0; page < size / PAGE; page++) {
        mark(fd, offset + page * PAGE, Number(gpa) / PAGE + page + 1);
      }
    });
    mark(fd, 0x28_000, 77);
    if (wrong !== undefined) mark(fd, wrong, 99);
    return fd;
  };
  {
    using memory = new PhysicalMemory(new ElfCore(made(), "a core"));
    assertEquals(memory.ramBytes, 21 * PAGE);
    memory.refresh();
    for (let page = 0; page < 20; page++) assertEquals(byteAt(memory, page * PAGE), page + 1);
    assertEquals(byteAt(memory, 20 * PAGE), 77);
  }
  assertThrows(
    () => new ElfCore(made(0x20_000 + 3 * PAGE + 5), "x"),
    Fault,
    "overlap and tell different bytes for 0xf000",
  );
  assertThrows(() => new ElfCore(made(0x40_000), "x"), Fault, "overlap and tell different bytes for 0x2000");
  assertEquals(openFdCount(), before);
});

Deno.test("video memory and flash are not counted as low RAM", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  try {
    const low = (loads: readonly Load[]) => {
      const fd = core(loads, 4 * MIB);
      const bytes = Deno.readFileSync(`/proc/self/fd/${fd.fd}`);
      fd.close();
      Deno.writeFileSync(`${folder}/core`, bytes);
      using target = openTarget(`file:${folder}/core`, [NOTHING]);
      return target.lowBytes;
    };
    const ram = { gpa: MIB, offset: PAGE, size: 2 * MIB };
    const devices = [
      { gpa: 0xfd00_0000, offset: PAGE, size: MIB },
      { gpa: 0xfffc_0000, offset: PAGE, size: 64 * PAGE },
      { gpa: 2 ** 32, offset: PAGE, size: MIB },
    ];
    assertEquals(low([{ gpa: 0, offset: PAGE, size: 160 * PAGE }, ram, ...devices]), 3 * MIB);
    // RAM that reaches into that range is RAM.
    assertEquals(low([{ gpa: 0xdfff_f000, offset: PAGE, size: PAGE }, ...devices]), 0);
    const upTo = { gpa: 0xbff0_0000, offset: PAGE, size: 2 * MIB };
    assertEquals(low([ram, upTo, ...devices]), 0xc010_0000);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
