/**
 * RAM made whole again: the windows of the flat view closed, the split kept, and what cannot be refused.
 * @module
 */
import { assertEquals, assertThrows } from "@std/assert";
import { lowBytesOf, wholeRam } from "../../../../src/adapters/memctx/whole_ram.ts";
import { Fault } from "../../../../src/base/fault.ts";
import { parseFlatView } from "../../../../src/ram/flat_view.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

// As QEMU 7.2.22 printed it (q35, 512 MiB); the views of I/O and of the devices are cut.
const FLAT_VIEW = `FlatView #1
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-000000001fffffff (prio 0, ram): ram0

FlatView #2
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): ram0
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000dffff (prio 1, rom): ram0 @00000000000c0000 KVM
  00000000000e0000-000000001fffffff (prio 0, ram): ram0 @00000000000e0000
  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
`;

Deno.test("the video hole and the BIOS shadow do not cut a machine's RAM", () => {
  const backends = [{ id: "ram0", sizeBytes: 512 * MIB }];
  const pieces = wholeRam(parseFlatView(FLAT_VIEW, backends), backends);
  assertEquals(pieces, [{ gpa: 0, fileOffset: 0, sizeBytes: 512 * MIB, backend: 0 }]);
  assertEquals(lowBytesOf(pieces), 512 * MIB);
});

Deno.test("the hole below 4 GiB does, and a corner that SMM hides at its edge counts", () => {
  const backends = [{ id: "ram0", sizeBytes: 3 * GIB }];
  const pieces = wholeRam([
    { gpa: 0, fileOffset: 0, sizeBytes: 0xa0000, backend: 0 },
    { gpa: 0xc0000, fileOffset: 0xc0000, sizeBytes: 2 * GIB - 16 * MIB - 0xc0000, backend: 0 },
    { gpa: 4 * GIB, fileOffset: 2 * GIB, sizeBytes: GIB, backend: 0 },
  ], backends);
  assertEquals(pieces, [
    { gpa: 0, fileOffset: 0, sizeBytes: 2 * GIB, backend: 0 },
    { gpa: 4 * GIB, fileOffset: 2 * GIB, sizeBytes: GIB, backend: 0 },
  ]);
  assertEquals(lowBytesOf(pieces), 2 * GIB);
});

Deno.test("two backends stay two, each whole, in the order of their addresses", () => {
  const backends = [{ id: "b", sizeBytes: 256 * MIB }, { id: "a", sizeBytes: 128 * MIB }];
  const pieces = wholeRam([
    { gpa: 0, fileOffset: 0, sizeBytes: 0xa0000, backend: 1 },
    { gpa: 0x10_0000, fileOffset: 0x10_0000, sizeBytes: 127 * MIB, backend: 1 },
    { gpa: 128 * MIB, fileOffset: 0, sizeBytes: 256 * MIB, backend: 0 },
  ], backends);
  assertEquals(pieces, [
    { gpa: 0, fileOffset: 0, sizeBytes: 128 * MIB, backend: 1 },
    { gpa: 128 * MIB, fileOffset: 0, sizeBytes: 256 * MIB, backend: 0 },
  ]);
});

Deno.test("a map in which completed RAM would overlap is refused", () => {
  const backends = [{ id: "a", sizeBytes: 64 * MIB }, { id: "b", sizeBytes: 64 * MIB }];
  assertThrows(
    () =>
      wholeRam([
        { gpa: 0, fileOffset: 0, sizeBytes: 32 * MIB, backend: 0 },
        { gpa: 32 * MIB, fileOffset: 0, sizeBytes: 64 * MIB, backend: 1 },
      ], backends),
    Fault,
    "would lie over other RAM",
  );
});
