/** Dumps of every format on small images: what is read, what is named, and what is cut or lies. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import "../ffi/loaded_shim.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { GuestFinder } from "../../../src/guest/find_guest.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import type { RamPort } from "../../../src/guest/ram_port.ts";
import { AvmlImage } from "../../../src/ram/dumps/avml.ts";
import { FileBytes } from "../../../src/ram/dumps/dump_bytes.ts";
import { FlattenedBytes } from "../../../src/ram/dumps/flattened.ts";
import { DUMP_FORMATS } from "../../../src/ram/dumps/formats.ts";
import { KdumpRam } from "../../../src/ram/dumps/kdump.ts";
import { LimeImage } from "../../../src/ram/dumps/lime.ts";
import { openTarget } from "../../../src/ram/open_target.ts";
import {
  avmlImage,
  type DumpedRange,
  flattened,
  kdump,
  limeImage,
  PACKERS,
} from "../../fixtures/dump_writers.ts";
import { joinedBytes } from "../../../src/base/joined_bytes.ts";

const PAGE = 4096;
const NOTHING: GuestFinder = () => ({ found: false, reason: "no-kernel", detail: "nothing" });

function range(gpa: number, pages: number): DumpedRange {
  const bytes = new Uint8Array(pages * PAGE);
  for (let page = 0; page < pages; page++) {
    // Each third page is zeros; the others begin with their number.
    if (page % 3 === 2) continue;
    bytes.fill(page + 1, page * PAGE, page * PAGE + 1000);
    new DataView(bytes.buffer).setUint32(page * PAGE, gpa / PAGE + page, true);
  }
  return { gpa, bytes };
}

const RANGES = [range(0, 40), range(0x10_0000, 70), range(2 ** 32, 9)];

function fileOf(bytes: Uint8Array<ArrayBuffer>): OwnedFd {
  const fd = createMemfd("dump", bytes.length);
  pwriteFrom(fd.fd, bytes, 0, bytes.length, 0);
  return fd;
}

const READERS: Record<string, (bytes: Uint8Array<ArrayBuffer>) => RamPort> = {
  kdump: (bytes) => new KdumpRam(new FileBytes(fileOf(bytes), "it"), "it"),
  flattened: (bytes) => new KdumpRam(new FlattenedBytes(fileOf(bytes), "it"), "it"),
  lime: (bytes) => new LimeImage(fileOf(bytes), "it"),
  avml: (bytes) => new AvmlImage(new FileBytes(fileOf(bytes), "it"), "it"),
};

function readBack(port: RamPort, ranges: readonly DumpedRange[] = RANGES): void {
  using memory = new PhysicalMemory(port);
  memory.refresh();
  for (const { gpa, bytes } of ranges) {
    const out = new Uint8Array(bytes.length);
    assertEquals(memory.read(gpa, out), bytes.length);
    assertEquals(out, bytes);
  }
}

const DUMPS: readonly (readonly [name: string, reader: string, bytes: Uint8Array<ArrayBuffer>])[] = [
  ...PACKERS.filter(([, pack]) => pack !== undefined).map(([flag]) =>
    [`kdump, packed by ${flag}`, "kdump", kdump(RANGES, { flags: [flag] })] as const
  ),
  ["kdump, packed by turns", "kdump", kdump(RANGES, { flags: [0, 1, 2, 4] })],
  ["kdump of version 3", "kdump", kdump(RANGES, { version: 3 })],
  ["flattened kdump", "flattened", flattened(kdump(RANGES))],
  ["flattened kdump in small pieces", "flattened", flattened(kdump(RANGES), 777)],
  ["LiME", "lime", limeImage(RANGES.toReversed())],
  ["AVML", "avml", avmlImage(RANGES.toReversed())],
];

for (const [name, reader, bytes] of DUMPS) {
  Deno.test(`${name}: RAM is what was dumped, and a dump that is cut anywhere is refused`, () => {
    const before = openFdCount();
    readBack(READERS[reader]!(bytes));
    {
      using memory = new PhysicalMemory(READERS[reader]!(bytes));
      assertEquals(memory.ramBytes, 119 * PAGE);
      assertEquals([memory.isRam(40 * PAGE), memory.isRam(2 ** 32 + 9 * PAGE)], [false, false]);
      assertEquals(memory.read(40 * PAGE, new Uint8Array(1)), 0);
    }
    // A LiME or AVML image that ends between two ranges is a whole one of less.
    const whole = new Set(reader === "lime" || reader === "avml" ? rangeEnds(bytes) : []);
    for (let size = 0; size < bytes.length; size += size < 600 || size > bytes.length - 600 ? 1 : 397) {
      if (whole.has(size)) continue;
      const fault = assertThrows(() => READERS[reader]!(bytes.slice(0, size)), Fault);
      assertEquals(fault.code, "refused", `cut to ${size} bytes: ${fault.message}`);
    }
    assertEquals(openFdCount(), before);
  });
}

function rangeEnds(bytes: Uint8Array): number[] {
  const text = new TextDecoder("latin1").decode(bytes);
  const ends: number[] = [];
  for (const magic of ["EMiL\x01", "AVML\x02"]) {
    for (let at = text.indexOf(magic, 1); at >= 0; at = text.indexOf(magic, at + 1)) ends.push(at);
  }
  return ends;
}

Deno.test("pages that a dump leaves out cannot be read, unless only zeros were left out", () => {
  const leftOut = [2, 5, 0x100, 2 ** 20 + 8];
  const read = (port: RamPort, frame: number) => {
    using memory = new PhysicalMemory(port);
    memory.refresh();
    const out = new Uint8Array(8).fill(0xee);
    return [memory.isRam(frame * PAGE), memory.read(frame * PAGE, out), out[0]];
  };
  const filtered = kdump(RANGES, { leftOut, level: 31 });
  const withoutZeros = kdump(RANGES, { leftOut, level: 1 });
  for (const frame of leftOut) {
    assertEquals(read(READERS.kdump!(filtered), frame), [true, 0, 0xee]);
    assertEquals(read(READERS.kdump!(withoutZeros), frame), [true, 8, 0]);
  }
  assertEquals(read(READERS.kdump!(filtered), 6), [true, 8, 6]);
});

Deno.test("a kdump's note is what a finder is told", () => {
  using port = READERS.kdump!(kdump(RANGES, { vmcoreinfo: "OSRELEASE=5.4.0\n" }));
  assertEquals(port.vmcoreinfo, "OSRELEASE=5.4.0\n");
  using none = READERS.kdump!(kdump(RANGES));
  assertEquals(none.vmcoreinfo, undefined);
});

Deno.test("a kdump that does not know its machine is read: QEMU's of a guest without a note says Unknown", () => {
  const bytes = kdump(RANGES);
  bytes.fill(0, 272, 272 + 65);
  bytes.set(new TextEncoder().encode("Unknown"), 272);
  readBack(READERS["kdump"]!(bytes));
});

Deno.test("dumps that say what they are not are refused by name", () => {
  const before = openFdCount();
  const changed = (bytes: Uint8Array<ArrayBuffer>, at: number, ...values: number[]) => {
    const out = bytes.slice();
    out.set(values, at);
    return out;
  };
  const good = kdump(RANGES);
  const flat = flattened(good, good.length);
  const lime = limeImage(RANGES);
  const avml = avmlImage(RANGES);
  const table = new DataView(good.buffer).getUint32(436, true) * PAGE + 2 * PAGE;
  const cases:
    readonly (readonly [text: string, reader: string, bytes: Uint8Array<ArrayBuffer>, code?: string])[] = [
      ["incomplete (the disk was full)", "kdump", changed(good, 424, 9)],
      ["makedumpfile --reassemble", "kdump", changed(good, PAGE + 12, 1)],
      ["of version 7", "kdump", changed(good, 8, 7), "not-supported"],
      [
        "of a ppc64le machine",
        "kdump",
        changed(good, 272, ...new TextEncoder().encode("ppc64le")),
        "not-supported",
      ],
      ["with pages of 65536 bytes", "kdump", changed(good, 428, 0, 0, 1), "not-supported"],
      ["it says it has 0 pages", "kdump", changed(good, PAGE + 96, 0, 0, 0, 0, 0, 0, 0, 0)],
      ["pages, and bitmaps of", "kdump", changed(good, PAGE + 100, 1)],
      ["within its bitmaps", "kdump", changed(changed(good, PAGE + 99, 0x40), 439, 0x10)],
      ["packed into 0 bytes", "kdump", changed(good, table + 8, 0, 0)],
      [
        "packed into 65535 bytes",
        "kdump",
        changed(joinedBytes([good, new Uint8Array(70_000)]), table + 8, 0xff, 0xff),
      ],
      ["packed by several ways", "kdump", changed(good, table + 12, 3), "not-supported"],
      ["within its pages", "kdump", changed(good, table + 7, 1)],
      ["within its VMCOREINFO", "kdump", changed(good, PAGE + 32, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1)],
      ["belongs nowhere", "flattened", changed(flat, PAGE, 0x80)],
      ["belongs nowhere", "flattened", changed(flat, PAGE + 8, 0x80)],
      ["records overlap; unpack it", "flattened", changed(flat, PAGE + 7, 5)],
      ["no range's header at byte 0", "lime", changed(lime, 0, 0)],
      ["LiME image of version 2", "lime", changed(lime, 4, 2), "not-supported"],
      ["ends before it begins", "lime", changed(lime, 14, 0xff)],
      ["addresses end at", "lime", changed(changed(lime, 14, 1), 22, 1)],
      ["no range's header at byte 0", "avml", changed(avml, 0, 0)],
      ["AVML image of version 3", "avml", changed(avml, 4, 3), "not-supported"],
      ["not whole pages", "avml", changed(avml, 8, 1)],
      ["of kind 2, which is not known", "avml", changed(avml, 32, 2)],
      ["holds more than it says", "avml", changed(avml, 17, 0x0f)],
      ["is not as long as it says", "avml", changed(avml, avml.length - 8, 0)],
    ];
  for (const [text, reader, bytes, code = "refused"] of cases) {
    const fault = assertThrows(() => READERS[reader]!(bytes), Fault, text);
    assertEquals(fault.code, code, fault.message);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a page whose bytes are wrong is not readable, and its neighbours are", () => {
  const good = kdump(RANGES);
  const table = new DataView(good.buffer).getUint32(436, true) * PAGE + 2 * PAGE;
  const at = Number(new DataView(good.buffer).getBigUint64(table + 24, true));
  good.fill(0xff, at, at + 8);
  using memory = new PhysicalMemory(READERS.kdump!(good));
  memory.refresh();
  const out = new Uint8Array(4);
  assertEquals([memory.read(0, out), memory.read(PAGE, out), memory.read(3 * PAGE, out)], [4, 0, 4]);
});

Deno.test("LiME's ranges that are not whole pages are cut to them", () => {
  const bytes = Uint8Array.from({ length: 4 * PAGE }, (_, i) => i >> 8);
  using memory = new PhysicalMemory(READERS.lime!(limeImage([{ gpa: 0x9_d200, bytes }])));
  assertEquals([memory.ramBytes, memory.endGpa], [3 * PAGE, 0xa_1000]);
  const out = new Uint8Array(1);
  memory.refresh();
  assertEquals([memory.read(0x9_e000, out), out[0]], [1, 0xe]);
});

Deno.test("what is not read is named, with what to do instead; what follows no format is a raw image", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  const before = openFdCount();
  try {
    const heads: Record<string, string> = {
      "QEVM\0\0\0\x03": "migrate-incoming",
      "LibvirtQemudSave\x02": "virsh restore FILE --paused",
      "LibvirtQemudPart\x02": "was never finished",
      "PAGEDU64": `without "format": "win-dmp"`,
      "PAGEDUMP": "dump-guest-memory",
      "QFI\xfb": "snapshot-load",
      "\x7fVirtualBox SavedState V2.0": "dumpvmcore",
      "\x1f\x8b\x08": "packed by gzip; unpack it first",
      "\xfd7zXZ\0": "packed by xz",
      "\x28\xb5\x2f\xfd": "packed by zstd",
      "BZh9": "packed by bzip2",
      "\x89LZO\0\r\n\x1a\n": "packed by lzop",
    };
    for (const [head, text] of Object.entries(heads)) {
      const bytes = new Uint8Array(2 * PAGE);
      bytes.set([...head].map((c) => c.charCodeAt(0)));
      Deno.writeFileSync(`${folder}/dump`, bytes);
      const fault = assertThrows(() => openTarget(`file:${folder}/dump`, [NOTHING]), Fault);
      assertEquals(fault.code, "not-supported");
      assertStringIncludes(fault.message, text);
    }
    assertEquals(DUMP_FORMATS.filter((format) => "instead" in format).length, Object.keys(heads).length - 1);
    Deno.writeFileSync(`${folder}/ram`, new Uint8Array(2 * PAGE).fill(7));
    using raw = openTarget(`file:${folder}/ram`, [NOTHING]);
    assertEquals(raw.memory.ramBytes, 2 * PAGE);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  assertEquals(openFdCount(), before);
});

/** A .vmss with a group of other things, and regions: [first page in RAM, first page in the file, pages]. */
function vmss(regions: readonly (readonly number[])[], magic = 0xbed2_bed2): Uint8Array<ArrayBuffer> {
  const number = (name: string, index: number | undefined, value: number) => {
    const indices = index === undefined ? [] : [index, 0, 0, 0];
    const bytes = new TextEncoder().encode(name);
    const flags = 4 | (index === undefined ? 0 : 0x40);
    return new Uint8Array([flags, bytes.length, ...bytes, ...indices, value, value >> 8, value >> 16, 0]);
  };
  const long = new Uint8Array(magic === 0xbed2_bed0 ? 8 : 16);
  long[0] = 5;
  const tags = joinedBytes([
    new Uint8Array([0x3f, 1, 0x78]),
    long,
    new Uint8Array(2 + 5),
    number("regionsCount", undefined, regions.length),
    ...regions.flatMap(([ppn = 0, page = 0, pages = 0], i) => [
      number("regionPPN", i, ppn),
      number("regionPageNum", i, page),
      number("regionSize", i, pages),
    ]),
    new Uint8Array(2),
  ]);
  const head = new Uint8Array(12 + 2 * 80);
  const view = new DataView(head.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(8, 2, true);
  head.set(new TextEncoder().encode("cpu"), 12);
  head.set(new TextEncoder().encode("memory"), 92);
  view.setBigUint64(92 + 64, BigInt(head.length), true);
  return joinedBytes([head, tags]);
}

Deno.test("VMware's memory lies where the state file beside it says", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  const before = openFdCount();
  try {
    const memory = new Uint8Array(6 * PAGE);
    for (let page = 0; page < 6; page++) memory[page * PAGE] = page + 1;
    const byteAt = (name: string, gpa: number) => {
      using target = openTarget(`file:${folder}/${name}`, [NOTHING]);
      const out = new Uint8Array(1);
      return target.memory.read(gpa, out) === 1 ? out[0] : undefined;
    };
    Deno.writeFileSync(`${folder}/vm.vmem`, memory);
    assertEquals([byteAt("vm.vmem", 0), byteAt("vm.vmem", 5 * PAGE)], [1, 6], "alone it is a plain image");
    for (const magic of [0xbed2_bed2, 0xbed2_bed0, 0xbad1_bad1, 0xbed3_bed3]) {
      Deno.writeFileSync(`${folder}/vm.vmss`, vmss([[0, 0, 4], [0x10_0000, 4, 2]], magic));
      for (const name of ["vm.vmem", "vm.vmss"]) {
        assertEquals([byteAt(name, 3 * PAGE), byteAt(name, 4 * PAGE)], [4, undefined]);
        assertEquals([byteAt(name, 2 ** 32), byteAt(name, 2 ** 32 + PAGE)], [5, 6]);
      }
    }
    const whole = vmss([[0, 0, 4], [0x10_0000, 4, 2]]);
    for (let size = 4; size < whole.length; size++) {
      Deno.writeFileSync(`${folder}/vm.vmss`, whole.subarray(0, size));
      assertThrows(() => byteAt("vm.vmem", 0), Fault, "cut short");
    }
    Deno.writeFileSync(`${folder}/vm.vmss`, vmss([[0, 0, 7]]));
    assertThrows(() => byteAt("vm.vmem", 0), Fault, "4096 bytes are missing");
    Deno.writeFileSync(`${folder}/vm.vmss`, vmss([]));
    assertEquals(byteAt("vm.vmem", 5 * PAGE), 6);
    assertThrows(() => byteAt("vm.vmss", 0), Fault, "it tells of no regions; name ");
    Deno.removeSync(`${folder}/vm.vmem`);
    assertThrows(() => byteAt("vm.vmss", 0), Fault, "is not beside it");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  assertEquals(openFdCount(), before);
});
