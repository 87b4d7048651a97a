/**
 * A guest that rewrites its page tables, its note, its types and its lists while they are read: every look
 * ends, bounded, and says what it found; afterwards all is as it was.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Mapping } from "../../../ffi/mapping.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { MAX_LISTING } from "../../../src/base/limits.ts";
import { findLinux } from "../../../src/guest/linux/find_linux.ts";
import { searchMemory } from "../../../src/guest/memory_search.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { MappedRam } from "../../../src/ram/mapped_ram.ts";
import type { RewriteOrder } from "../../fixtures/page_rewriter.ts";
import { SyntheticLinux } from "../../fixtures/synthetic_linux.ts";
import "../ffi/loaded_shim.ts";

const PAGE = 4096;
const LOOKS = 150;

/** Offsets of pages that hold anything. */
function usedPages(bytes: Uint8Array<ArrayBuffer>): number[] {
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
  const pages: number[] = [];
  for (let at = 0; at < bytes.length; at += PAGE) {
    if (words.subarray(at / 8, (at + PAGE) / 8).some((word) => word !== 0n)) pages.push(at);
  }
  return pages;
}

function answer(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
}

Deno.test("a guest that rewrites what is read: every look ends, and the next finds it whole", async () => {
  const kernel = new SyntheticLinux();
  const { mm } = kernel.mm();
  kernel.vma(mm, 0x40_0000, 0x50_0000, 5);
  kernel.processes([{ pid: 1, name: "init", mm }, { pid: 2, name: "kthreadd" }, { pid: 3, name: "x" }]);
  const sizeBytes = kernel.ram.segments[0]?.sizeBytes ?? 0;
  const image = kernel.ram.bytes(0, sizeBytes);
  const pages = usedPages(image);
  const fd = createMemfd("vmsig-rewritten", sizeBytes);
  {
    using writable = Mapping.map(fd.fd, 0, sizeBytes, { write: true });
    const bytes = new Uint8Array(writable.buffer);
    for (const at of pages) bytes.set(image.subarray(at, at + PAGE), at);
  }
  const piece = { gpa: 0, fileOffset: 0, sizeBytes, backend: 0 };
  using memory = new PhysicalMemory(new MappedRam("a memfd", [{ fd, sizeBytes, huge: false }], [piece]));
  memory.refresh();
  const first = findLinux(memory);
  assert(first.found);
  const before = first.os.processes();
  const worker = new Worker(new URL("../../fixtures/page_rewriter.ts", import.meta.url), { type: "module" });
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const begun = answer(worker);
  worker.postMessage({ path: `/proc/self/fd/${fd.fd}`, pages, stop } satisfies RewriteOrder);
  assertEquals(await begun, "begun");
  const over = answer(worker);
  try {
    for (let i = 0; i < LOOKS; i++) {
      memory.refresh();
      const found = findLinux(memory);
      if (!found.found) assert(found.detail !== "", "it says why");
      for (const os of found.found ? [found.os, first.os] : [first.os]) {
        const { items } = os.processes();
        assert(items.length <= MAX_LISTING);
        for (const process of items.slice(0, 16)) {
          assert(os.maps(process).items.length <= MAX_LISTING);
          os.commandLine(process);
        }
        assert(os.modules().items.length <= MAX_LISTING);
        os.nearestSymbol(kernel.stext + 16);
        os.stillThere();
        const { addresses } = searchMemory(
          os.kernel,
          new TextEncoder().encode("kthreadd"),
          kernel.stext,
          0,
          16,
        );
        assert(addresses.length <= 16);
      }
    }
  } finally {
    Atomics.store(stop, 0, 1);
    assertEquals(await over, "over");
    worker.terminate();
  }
  memory.refresh();
  const again = findLinux(memory);
  assert(again.found);
  assertEquals(again.os.processes(), before);
});
