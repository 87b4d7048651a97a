/**
 * Linux on synthetic images: what is kept outside of the usual places. Whole names of kernel threads, pages
 * that nobody may touch.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { findLinux } from "../../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../../src/guest/linux/linux_guest.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { SyntheticLinux } from "../../fixtures/synthetic_linux.ts";

const MIB = 2 ** 20;

function guestOf(kernel: SyntheticLinux): LinuxGuest {
  const memory = new PhysicalMemory(kernel.ram);
  memory.refresh();
  const result = findLinux(memory);
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

for (const levels of [4, 5] as const) {
  Deno.test(`kernel threads' whole names, with ${levels} levels`, () => {
    const kernel = new SyntheticLinux({ levels });
    const [KTHREAD, WORKER] = [0x20_0000, 0x20_0020];
    const named: readonly (readonly [comm: string, whole: string, flags: number, shown: string])[] = [
      ["kworker/R-kvfre", "kworker/R-kvfree_rcu_reclaim", WORKER, "kworker/R-kvfree_rcu_reclaim"],
      ["kworker/u256:10", "kworker/u256:10-somewhere", WORKER, "kworker/u256:10"],
      ["irq/24-aerdrv-a", "irq/24-aerdrv-and-more", KTHREAD, "irq/24-aerdrv-and-more"],
      ["kworker/R-mm_pe", "", WORKER, "kworker/R-mm_pe"],
      ["kworker/R-liar", "kworker/R-no-thread", 0, "kworker/R-liar"],
    ];
    const tasks = kernel.processes(named.map(([name, , flags], i) => ({ pid: i + 1, name, flags })));
    tasks.forEach((task, i) => {
      const kthread = kernel.object(64);
      const text = kernel.object(256);
      kernel.ram.putText(kernel.gpa(text), named[i]![1]);
      kernel.put(kthread + kernel.at("kthread.full_name"), named[i]![1] === "" ? 0 : text);
      kernel.put(task + kernel.at("task_struct.worker_private"), kthread);
    });
    const names = guestOf(kernel).processes().items.map((p) => p.name);
    assertEquals(names, named.map(([, , , shown]) => shown));
  });

  Deno.test(`pages that nobody may touch, and pages that went away, with ${levels} levels`, () => {
    const kernel = new SyntheticLinux({ levels });
    const { mm, root } = kernel.mm();
    const page = kernel.tables.page();
    kernel.ram.putText(page, "not to be touched");
    const at = 0x7f00_0000_0000;
    for (let i = 0; i < 6; i++) kernel.tables.map(root, at + i * 4096, page, { user: true });
    const os = (() => {
      kernel.processes([{ pid: 1, name: "p", mm }]);
      return guestOf(kernel);
    })();
    const space = os.spaceOf(os.process(1)!);
    space.walker.explain(space.rootFrame, Math.floor(at / 2 ** 32), 0);
    const table = space.walker.tableFrame * 4096;
    const entry = (i: number, hi: number, lo: number) => kernel.ram.put64(table + 8 * i, hi >>> 0, lo >>> 0);
    // PROT_NONE: bit 8 without bit 0, the frame inverted; accessed, dirty and no-execute as they were.
    entry(1, 0x8000_0000 | 0xf_ffff, (~page & 0xffff_f000) | 0x160);
    // A swap entry: type in the top, the offset inverted, soft-dirty.
    entry(2, 0x07ff_ffff, 0xffff_fc02);
    entry(3, 0, 0);
    // PROT_NONE of a frame that no machine has.
    entry(4, 0x8000_0000, 0x160);
    assertEquals(space.cstring(at + 4096), "not to be touched");
    assertEquals(space.probe(at + 4096), {
      ok: true,
      gpa: page,
      pageBytes: 4096,
      writable: false,
      user: false,
      executable: false,
    });
    const reasons = [2, 3, 4].map((i) => space.probe(at + i * 4096));
    assertEquals(reasons, [
      { ok: false, reason: "paged-out" },
      { ok: false, reason: "not-present" },
      { ok: false, reason: "out-of-ram" },
    ]);
    const runs = space.runs(at, 3 * 4096);
    assertEquals([runs.ok, runs.sizeBytes, runs.reason, runs.runs.length], [false, 8192, "paged-out", 2]);
    // A large page that nobody may touch keeps its size bit; without it, it is an entry of something else.
    const large = 0x7e00_0000_0000;
    kernel.tables.map(root, large, 16 * MIB, { shift: 21, user: true });
    space.walker.explain(space.rootFrame, Math.floor(large / 2 ** 32), 0);
    const directory = space.walker.tableFrame * 4096;
    kernel.ram.put64(directory, 0xf_ffff, (~(16 * MIB) & 0xffe0_0000) >>> 0 | 0x1e0);
    assertEquals(space.probe(large + 0x5000), {
      ok: true,
      gpa: 16 * MIB + 0x5000,
      pageBytes: 2 * MIB,
      writable: false,
      user: false,
      executable: false,
    });
    kernel.ram.put64(directory, 0xf_ffff, (~(16 * MIB) & 0xffe0_0000) >>> 0 | 0x160);
    assertEquals(space.probe(large), { ok: false, reason: "paged-out" });
  });
}
