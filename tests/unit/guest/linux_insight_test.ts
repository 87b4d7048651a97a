/**
 * What is known of a Linux guest beyond its lists, on a synthetic kernel whose fields lie where no real one
 * has them; and a guest that writes its own tables while they are looked at.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import "../ffi/loaded_shim.ts";
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import { findLinux } from "../../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../../src/guest/linux/linux_guest.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { MappedRam } from "../../../src/ram/mapped_ram.ts";
import { fillInsight } from "../../fixtures/synthetic_insight.ts";
import { SyntheticLinux } from "../../fixtures/synthetic_linux.ts";

function built(): { kernel: SyntheticLinux; os: LinuxGuest; base: number } {
  const kernel = new SyntheticLinux({ insight: true });
  const { mm } = kernel.mm();
  const [task = 0] = kernel.processes([{ pid: 1, name: "init", mm }]);
  fillInsight(kernel, task, mm, kernel.symbols.get("prb")!);
  const memory = new PhysicalMemory(kernel.ram);
  memory.refresh();
  const result = findLinux(memory);
  assert(result.found, result.found ? "" : result.detail);
  return { kernel, os: result.os, base: kernel.direct + 0x10_0000 };
}

Deno.test("log, facts, files, sockets, mounts and threads lie where the kernel's own types say", () => {
  const { os } = built();
  const insight = os.insight();
  assert(!("unsupported" in insight));
  const init = os.process(1);
  assert(init !== undefined);
  assertEquals(insight.facts(init), { uid: 1000, state: "S", threads: 2, startNs: 123_456_789 });
  const items = (list: object) => (list as { items: readonly object[] }).items;
  assertEquals(items(insight.log()).map((record) => (record as { text: string }).text), ["Linux says hello"]);
  assertEquals(items(insight.files(init)).map((file) => (file as { path: string }).path), [
    "/passwd",
    "socket:[4714]",
  ]);
  assertEquals(insight.sockets(init), {
    items: [{
      pid: 1,
      fd: 3,
      inode: 4714,
      kind: "tcp",
      state: "LISTEN",
      local: "127.0.0.1:80",
      remote: "0.0.0.0:0",
    }],
    end: { complete: true },
  });
  assertEquals(insight.mounts(), {
    items: [{ source: "/dev/vda1", target: "/", type: "ext4", readOnly: false }],
    end: { complete: true },
  });
  const threads = os.threadsOf(init);
  assertEquals(threads.items.map(({ tid, registers }) => [tid, registers?.length]), [[1, 168], [77, 168]]);
});

Deno.test("symbols of modules: by name, by module and name, by address; none outside its parts", () => {
  const { kernel, os, base } = built();
  assertEquals(os.symbol("e1000_probe"), base + 0x100);
  assertEquals(os.symbol("e1000:e1000_open"), base + 0x180);
  assertEquals([os.symbol("e100:e1000_open"), os.symbol("e1000"), os.symbol("")], [
    undefined,
    undefined,
    undefined,
  ]);
  const near = (address: number) => {
    const { name, module, offsetBytes } = os.nearestSymbol(address) ?? {};
    return [module, name, offsetBytes];
  };
  assertEquals(near(base + 0x17f), ["e1000", "e1000_probe", 0x7f]);
  assertEquals(near(base + 0x1fff), ["e1000", "e1000_open", 0x1e7f]);
  assertEquals(near(base + 0x2000), [undefined, undefined, undefined]);
  assertEquals(near(base + 0xff), [undefined, undefined, undefined]);
  // A kernel's own symbol goes first, and a symbol that is not defined here has no address.
  assertEquals(os.symbol("_stext"), kernel.stext);
});

Deno.test("a table of module symbols that claims 4,000,000,000 is read as far as there is memory", () => {
  const { kernel, os, base } = built();
  const module = os.modules().items[0];
  assertEquals(module?.name, "e1000");
  const object = kernel.ram.bytes(0, 64 * 2 ** 20);
  const words = new DataView(object.buffer, object.byteOffset);
  // Its count stands behind the table's address: found by that, whatever lies around.
  for (let at = 0; at < words.byteLength; at += 8) {
    if (words.getUint32(at, true) !== 3 || words.getUint32(at + 4, true) !== 0) continue;
    words.setUint32(at, 4_000_000_000, true);
  }
  assertEquals(os.symbol("e1000:e1000_probe"), base + 0x100);
  assertEquals(os.symbol("e1000:no_such_symbol"), undefined);
});

/** Writes garbage and the truth over two places of a file in turn, until it is told to end. */
const WRITER = `onmessage = ({ data: { path, places, shared } }) => {
  const flags = new Int32Array(shared);
  const file = Deno.openSync(path, { write: true });
  const put = (at, bytes) => { file.seekSync(at, Deno.SeekMode.Start); file.writeSync(bytes); };
  while (Atomics.load(flags, 0) === 0) {
    for (const { at, bytes, garbage } of places) {
      put(at, garbage);
      put(at, bytes);
      Atomics.add(flags, 1, 1);
    }
  }
  file.close();
  postMessage("ended");
};`;

Deno.test("a guest that rewrites its tables and its note while it is looked at: an answer each time, then the truth", async () => {
  const { kernel, os } = built();
  const whole = os.processes().items.length;
  const sizeBytes = 64 * 2 ** 20;
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-test-" });
  const path = `${folder}/ram`;
  const shared = new SharedArrayBuffer(8);
  const flags = new Int32Array(shared);
  const url = URL.createObjectURL(new Blob([WRITER], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  try {
    Deno.writeFileSync(path, kernel.ram.bytes(0, sizeBytes));
    const fd = reopen(path, OPEN.READ_ONLY);
    const pieces = [{ gpa: 0, fileOffset: 0, sizeBytes, backend: 0 }];
    using memory = new PhysicalMemory(new MappedRam("a test", [{ fd, sizeBytes, huge: false }], pieces));
    const place = (at: number, byte: number) => ({
      at,
      bytes: kernel.ram.bytes(at, 512).slice(),
      garbage: new Uint8Array(512).fill(byte),
    });
    // The note's text, the root's upper half, where the kernel is, and a process in the list.
    const places = [place(kernel.noteGpa + 24, 0x41), place(kernel.root + 4096 - 512, 0x67)];
    const ended = new Promise((resolve) => worker.onmessage = resolve);
    worker.postMessage({ path, places, shared });
    const codes = new Set<string>();
    for (let look = 0; look < 20 || Atomics.load(flags, 1) < 200; look++) {
      memory.refresh();
      const result = findLinux(memory);
      codes.add(result.found ? "found" : result.reason);
      if (!result.found) continue;
      result.os.stillThere();
      const { items, end } = result.os.processes();
      assert(items.length <= whole);
      codes.add(end.complete ? "complete" : end.reason);
    }
    Atomics.store(flags, 0, 1);
    await ended;
    const known = ["found", "no-kernel", "unsupported", "complete", "wild-pointer"];
    assertEquals([...codes].filter((code) => !known.includes(code)), []);
    memory.refresh();
    const result = findLinux(memory);
    assert(result.found && result.os.stillThere());
    assertEquals(result.os.processes().items.length, whole);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
    Deno.removeSync(folder, { recursive: true });
  }
});
