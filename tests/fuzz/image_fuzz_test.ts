/** Files of memory and of pictures: ELF cores, and the PPM that QEMU's screendump writes. */
import { assert } from "@std/assert";
import { createMemfd, ftruncate } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../ffi/stream.ts";
import { ElfCore, isElf } from "../../src/ram/elf_core.ts";
import { ppmToRgba, readPpmHead } from "../../src/vgpu/ppm.ts";
import { type Bytes, bytesOf, fuzz } from "./harness.ts";

const PAGE = 4096;

/** A core of these segments: [address, place in the file, bytes]. */
function core(segments: readonly (readonly [number | bigint, number, number])[], shownBytes: number): Bytes {
  const bytes = new Uint8Array(shownBytes);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setUint32(32, 64, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  segments.forEach(([gpa, place, size], i) => {
    const at = 64 + 56 * i;
    view.setUint32(at, 1, true);
    view.setBigUint64(at + 8, BigInt(place), true);
    view.setBigUint64(at + 24, BigInt(gpa), true);
    view.setBigUint64(at + 32, BigInt(size), true);
    view.setBigUint64(at + 40, BigInt(size), true);
  });
  return bytes;
}

/** One whose segments a section header counts, as one of 65,535 and more has to. */
function counted(): Bytes {
  const bytes = core([[0, PAGE, 4 * PAGE], [0x10_0000, 5 * PAGE, PAGE]], 320);
  const view = new DataView(bytes.buffer);
  view.setUint16(56, 0xffff, true);
  view.setBigUint64(40, 240n, true);
  view.setUint32(240 + 44, 2, true);
  return bytes;
}

/** The input is the head of a file of this size; the rest is a hole. */
const FILE_BYTES = 16 * PAGE;
let file: OwnedFd | undefined;
const page = new Uint8Array(PAGE);

fuzz({
  name: "ELF core",
  corpus: () => [
    core([[0, PAGE, 4 * PAGE], [2 ** 32, 5 * PAGE, 8 * PAGE]], 256),
    core([[0x1000, 0x1001, 2 * PAGE], [0x8000, 4 * PAGE, PAGE + 100], [0x1000, 0x1001, 2 * PAGE]], 256),
    core([[0x800, 0x800, 3 * PAGE]], 128),
    core([[0, PAGE, 8 * PAGE], [4 * PAGE, 5 * PAGE, 8 * PAGE], [0xffff_ffff_ffff_ffffn, 0, PAGE]], 256),
    counted(),
  ],
  largest: FILE_BYTES,
  words: [[1, 0, 0, 0], [4, 0, 0, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [
    0,
    0,
    0,
    0,
    0,
    0,
    0x20,
    0,
  ], [0, 0x10, 0, 0]],
  decode: (input) => {
    file ??= createMemfd("fuzz-core", FILE_BYTES);
    ftruncate(file.fd, 0);
    ftruncate(file.fd, FILE_BYTES);
    pwriteFrom(file.fd, input, 0, input.length, 0);
    using image = new ElfCore(file.dup(), "it");
    assert(isElf(input));
    let end = 0;
    for (const { gpa, sizeBytes, mapped } of image.segments) {
      assert(
        Number.isSafeInteger(gpa) && gpa % PAGE === 0 && gpa >= end,
        "segments are in order and whole pages",
      );
      assert(Number.isSafeInteger(gpa + sizeBytes) && sizeBytes > 0 && sizeBytes % PAGE === 0);
      assert(mapped === undefined || (mapped.byteOffset >= 0 && mapped.byteOffset + sizeBytes <= FILE_BYTES));
      end = gpa + sizeBytes;
      const data = image.nextData(gpa, end);
      assert(data >= gpa && data <= end);
      const hole = image.nextHole(gpa, end);
      assert(hole >= gpa && hole <= end);
      assert(image.fetch(gpa, page) && image.fetch(end - PAGE, page), "every page of a segment is there");
    }
    image.verify();
    return image.segments.length > 1 ? "segments" : "segment";
  },
  mustMeet: ["segment", "segments", "fault:bad-argument", "fault:refused"],
  after: () => {
    file?.close();
    file = undefined;
  },
});

const pixels = (head: string, count: number) =>
  new Uint8Array([...bytesOf(head), ...new Uint8Array(3 * count)]);

fuzz({
  name: "PPM",
  corpus: () => [
    pixels("P6\n4 3\n255\n", 12),
    pixels("P6 # made by hand\n# twice\n 8\t2 255 ", 16),
    pixels("P6\n1 1\n255\n", 1),
  ],
  largest: 65_536,
  words: [
    "P6",
    "P5",
    "\n",
    "#",
    "# x\n",
    " ",
    "255",
    "65535",
    "32768",
    "32769",
    "0",
    "00000001",
    "\x0b",
    "\x0c",
  ],
  openers: ["#", "#\n", " ", "0"],
  decode: (input) => {
    const head = readPpmHead(input, input.length);
    if (!head.ok) return head.why;
    const { width, height, dataOffset } = head;
    assert(width > 0 && height > 0 && dataOffset > 0);
    assert(dataOffset + 3 * width * height <= input.length, "all pixels are in the file");
    const into = new Uint8Array(4 * width * height + 1).fill(0xee);
    ppmToRgba(input, dataOffset, width * height, into);
    assert(into[into.length - 1] === 0xee && into[into.length - 2] === 255);
    return "picture";
  },
  mustMeet: [
    "picture",
    "it is not a binary PPM",
    "its head is cut short",
    "it says it is larger than any screen",
    "its head has something else than numbers",
    "its head does not end",
    "its size is absurd",
    "it has fewer pixels than it says",
  ],
});
