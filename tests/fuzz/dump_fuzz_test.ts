/**
 * Dumps of memory: every reader of dumps/formats.ts, and what unpacks their pages. What is opened is read
 * through, as a search for a kernel does.
 */
import { assert } from "@std/assert";
import "../unit/ffi/loaded_shim.ts";
import { createMemfd, ftruncate } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../ffi/stream.ts";
import { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import type { RamPort } from "../../src/guest/ram_port.ts";
import { AvmlImage } from "../../src/ram/dumps/avml.ts";
import { CODECS } from "../../src/ram/dumps/codecs.ts";
import { FileBytes } from "../../src/ram/dumps/dump_bytes.ts";
import { FlattenedBytes } from "../../src/ram/dumps/flattened.ts";
import { KdumpRam } from "../../src/ram/dumps/kdump.ts";
import { LimeImage } from "../../src/ram/dumps/lime.ts";
import { readRegions } from "../../src/ram/dumps/vmware.ts";
import {
  avmlImage,
  type DumpedRange,
  flattened,
  kdump,
  limeImage,
  PACKERS,
} from "../fixtures/dump_writers.ts";
import { type Bytes, fuzz } from "./harness.ts";

const PAGE = 4096;
/** Pages that a read goes through: what a turn has time for. */
const READ_PAGES = 16;
const MAX_BYTES = 64 * 1024;

let file: OwnedFd | undefined;

/** The input as a file; its descriptor is the reader's. */
function fileOf(input: Bytes): OwnedFd {
  file ??= createMemfd("fuzz-dump", 0);
  ftruncate(file.fd, 0);
  if (input.length > 0) pwriteFrom(file.fd, input, 0, input.length, 0);
  return file.dup();
}

function range(gpa: number, pages: number): DumpedRange {
  const bytes = new Uint8Array(pages * PAGE);
  for (let page = 0; page < pages; page += 2) bytes.fill(page + 1, page * PAGE, page * PAGE + 300);
  return { gpa, bytes };
}

const RANGES = [range(0, 3), range(2 ** 20, 2)];

/** Opens, looks through the segments, and reads the first pages and the last. */
function readThrough(port: RamPort): string {
  using memory = new PhysicalMemory(port);
  let end = 0;
  for (const { gpa, sizeBytes } of port.segments) {
    assert(Number.isSafeInteger(gpa) && gpa % PAGE === 0 && gpa >= end, "segments are in order");
    assert(sizeBytes > 0 && sizeBytes % PAGE === 0 && Number.isSafeInteger(gpa + sizeBytes));
    end = gpa + sizeBytes;
    const data = port.nextData(gpa, end);
    const hole = port.nextHole(gpa, end);
    assert(data >= gpa && data <= end && hole >= gpa && hole <= end, "presence stays in its range");
    if (port.segments.length > READ_PAGES) break;
  }
  memory.verify();
  const page = new Uint8Array(PAGE);
  let read = 0;
  let missing = 0;
  for (const { gpa, sizeBytes } of port.segments.slice(0, 4)) {
    const pages = Math.min(READ_PAGES, sizeBytes / PAGE);
    for (let i = 0; i < pages; i++) {
      const have = memory.read(
        gpa + Math.floor(i * (sizeBytes / PAGE - 1) / Math.max(1, pages - 1)) * PAGE,
        page,
      );
      assert(have === 0 || have === PAGE, "a page is there or is not");
      if (have === 0) missing++;
      else read++;
    }
  }
  return missing === 0 ? "whole" : read === 0 ? "nothing" : "in part";
}

const FLAGS = PACKERS.filter(([, pack]) => pack !== undefined).map(([flag]) => flag);
const NUMBERS = [
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0, 0, 0, 0, 0, 0, 0, 0x80],
  [0, 0, 0, 0, 0, 0x20, 0, 0],
  [0, 0x10, 0, 0],
  [1, 0, 0, 0],
];

fuzz({
  name: "kdump",
  corpus: () => [
    kdump(RANGES, { flags: FLAGS }),
    kdump(RANGES, { flags: [2], leftOut: [1, 256], level: 31 }),
    kdump(RANGES, { leftOut: [1], level: 1, vmcoreinfo: "OSRELEASE=5\n" }),
    kdump([range(0, 1)], { version: 3, frames: 20_000 }),
  ],
  largest: MAX_BYTES,
  words: ["KDUMP   ", ...NUMBERS],
  decode: (input) => readThrough(new KdumpRam(new FileBytes(fileOf(input), "it"), "it")),
  mustMeet: ["whole", "in part", "nothing", "fault:refused", "fault:not-supported"],
});

fuzz({
  name: "flattened kdump",
  corpus: () => [flattened(kdump(RANGES), 3000), flattened(kdump([range(0, 1)]), 100_000)],
  largest: MAX_BYTES,
  words: ["makedumpfile", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0, 0, 0, 0x10, 0]],
  decode: (input) => readThrough(new KdumpRam(new FlattenedBytes(fileOf(input), "it"), "it")),
  mustMeet: ["whole", "fault:refused"],
});

fuzz({
  name: "LiME",
  corpus: () => [limeImage(RANGES), limeImage([{ gpa: 0x9_d200, bytes: new Uint8Array(2 * PAGE) }])],
  largest: MAX_BYTES,
  words: ["EMiL\x01\0\0\0", ...NUMBERS],
  decode: (input) => readThrough(new LimeImage(fileOf(input), "it")),
  mustMeet: ["whole", "fault:refused", "fault:not-supported"],
});

fuzz({
  name: "AVML",
  corpus: () => [avmlImage(RANGES), avmlImage([range(0, 20), range(2 ** 32, 1)])],
  largest: MAX_BYTES,
  words: ["AVML\x02\0\0\0", "\xff\x06\0\0sNaPpY", ...NUMBERS],
  decode: (input) => readThrough(new AvmlImage(new FileBytes(fileOf(input), "it"), "it")),
  mustMeet: ["whole", "in part", "fault:refused", "fault:not-supported"],
});

/** A state file of two groups, whose regions are three small numbers each. */
function vmss(regions: readonly (readonly number[])[]): Bytes {
  const tag = (name: string, index: number | undefined, value: number) => [
    2 | (index === undefined ? 0 : 0x40),
    name.length,
    ...new TextEncoder().encode(name),
    ...(index === undefined ? [] : [index, 0, 0, 0]),
    value & 0xff,
    value >> 8,
  ];
  const head = new Uint8Array(172);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0xbed2_bed2, true);
  view.setUint32(8, 2, true);
  head.set(new TextEncoder().encode("memory"), 92);
  view.setUint32(92 + 64, 172, true);
  return Uint8Array.from([
    ...head,
    // A long value, which is passed over.
    ...[0x3f, 1, 0x78, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
    ...tag("regionsCount", undefined, regions.length),
    ...regions.flatMap((region, i) =>
      ["regionPPN", "regionPageNum", "regionSize"].flatMap((name, k) => tag(name, i, region[k] ?? 0))
    ),
    0,
    0,
  ]);
}

fuzz({
  name: "VMware state",
  corpus: () => [vmss([[0, 0, 4], [256, 4, 2]]), vmss([]), vmss([[1, 0, 1]])],
  largest: 4096,
  words: ["memory\0", "regionsCount", [0x3f, 1], ...NUMBERS],
  decode: (input) => {
    using bytes = new FileBytes(fileOf(input), "it");
    const regions = readRegions(bytes, "it");
    for (const { gpa, sizeBytes, fileOffset } of regions) {
      assert(gpa >= 0 && sizeBytes > 0 && fileOffset >= 0 && (gpa + sizeBytes + fileOffset) % PAGE === 0);
    }
    return regions.length === 0 ? "none" : "regions";
  },
  mustMeet: ["none", "regions", "fault:refused"],
});

for (const { name, flag, unpack } of CODECS) {
  if (unpack === undefined) continue;
  const pack = PACKERS.find(([of]) => of === flag)?.[1];
  assert(pack !== undefined, "what is unpacked is packed here");
  const out = new Uint8Array(PAGE + 1);
  fuzz({
    name: `a page packed by ${name}`,
    corpus: () =>
      [range(0, 1).bytes, Uint8Array.from({ length: PAGE }, (_, i) => i % 7 * (i >> 6))].map((page) =>
        pack(page)
      ),
    largest: PAGE,
    decode: (input) => {
      out.fill(0xee);
      const whole = unpack(input, out.subarray(0, PAGE));
      assert(out[PAGE] === 0xee, "nothing is written past the page");
      return whole ? "page" : "refused";
    },
    mustMeet: ["page", "refused"],
  });
}
