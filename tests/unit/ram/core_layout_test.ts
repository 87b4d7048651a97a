/** The head of a core, byte for byte where the format says it stands. */
import { assertEquals, assertThrows } from "@std/assert";
import { coreLayout, MAX_CORE_LOADS, PF } from "../../../src/ram/core_layout.ts";
import { processNotes } from "../../../src/ram/process_notes.ts";

const LOAD = { vaddr: -(2 ** 47), paddr: 0x10_0000, sizeBytes: 0x3000, flags: PF.R | PF.W };

Deno.test("core layout: headers, notes padded to four bytes, pieces on pages one behind the other", () => {
  const desc = new TextEncoder().encode("OSRELEASE=6.1\n");
  const note = { name: "VMCOREINFO", type: 0, desc };
  const { head, offsets, sizeBytes } = coreLayout([LOAD, { ...LOAD, vaddr: 0x5000, paddr: 0 }], [note]);
  const view = new DataView(head.buffer);
  assertEquals([...head.subarray(0, 7)], [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  assertEquals([view.getUint16(16, true), view.getUint16(18, true), view.getUint16(56, true)], [4, 62, 3]);
  const notesAt = 64 + 3 * 56;
  assertEquals([view.getUint32(64, true), view.getUint32(72, true)], [4, notesAt]);
  assertEquals(view.getUint32(64 + 32, true), 12 + 12 + 16);
  assertEquals(view.getBigUint64(120 + 16, true), 0xffff_8000_0000_0000n);
  assertEquals(view.getBigUint64(120 + 24, true), 0x10_0000n);
  assertEquals([view.getUint32(120, true), view.getUint32(124, true)], [1, 6]);
  assertEquals([view.getUint32(notesAt, true), view.getUint32(notesAt + 4, true)], [11, 14]);
  assertEquals(new TextDecoder().decode(head.subarray(notesAt + 24, notesAt + 24 + 14)), "OSRELEASE=6.1\n");
  assertEquals(offsets, [0x1000, 0x4000]);
  assertEquals(sizeBytes, 0x7000);
});

Deno.test("core layout: more pieces than a header counts, and half pages, are not written", () => {
  assertThrows(() => coreLayout(Array(MAX_CORE_LOADS + 1).fill(LOAD), []));
  assertThrows(() => coreLayout([{ ...LOAD, sizeBytes: 100 }], []));
});

Deno.test("process notes: the first thread leads, names end within their fields, files have their pages", () => {
  const process = { pid: 7, ppid: 1, name: "x".repeat(40), root: 0, kernelThread: false, object: 0 };
  const registers = new Uint8Array(168).fill(5);
  const thread = { tid: 7, registers, fsBase: 0x7f00_0000_1000n, gsBase: 0n };
  const map = { start: 0x1000, end: 0x3000, perms: "r--p", fileOffset: 0x2000, name: "/bin/x" };
  const notes = processNotes({
    process,
    threads: [thread, { ...thread, tid: 8, registers: undefined }],
    auxv: new Uint8Array(16),
    maps: [map, { ...map, name: "[heap]" }],
    commandLine: ["y".repeat(100)],
  });
  assertEquals(notes.map((note) => note.type), [1, 3, 6, 0x4649_4c45, 1]);
  const [first, info, , files, second] = notes.map((note) => new DataView(note.desc.slice().buffer));
  assertEquals([first!.byteLength, info!.byteLength], [336, 136]);
  assertEquals([first!.getInt32(32, true), second!.getInt32(32, true)], [7, 8]);
  assertEquals([first!.getUint8(112), first!.getUint8(279), second!.getUint8(112)], [5, 5, 0]);
  assertEquals(first!.getBigUint64(112 + 168, true), 0x7f00_0000_1000n);
  assertEquals([info!.getUint8(40 + 14), info!.getUint8(40 + 15), info!.getUint8(135)], [120, 0, 0]);
  const words = [0, 8, 16, 24, 32].map((at) => Number(files!.getBigUint64(at, true)));
  assertEquals(words, [1, 4096, 0x1000, 0x3000, 2]);
});
