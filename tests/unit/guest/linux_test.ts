/**
 * Linux on synthetic images: every format and every way in which a list can be broken.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Btf } from "../../../src/guest/linux/btf.ts";
import { findLinux } from "../../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../../src/guest/linux/linux_guest.ts";
import { checkProfile } from "../../../src/guest/linux/profile.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { buildBtf, halves, SyntheticLinux } from "../../fixtures/synthetic_linux.ts";

function memoryOf(kernel: SyntheticLinux): PhysicalMemory {
  const memory = new PhysicalMemory(kernel.ram);
  memory.refresh();
  return memory;
}

function guestOf(kernel: SyntheticLinux): LinuxGuest {
  const result = findLinux(memoryOf(kernel));
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

const BOTH = [4, 5] as const;

for (const levels of BOTH) {
  for (const format of ["signed-base", "base", "self-relative"] as const) {
    Deno.test(`found with ${levels} levels and kallsyms as ${format}`, () => {
      const kernel = new SyntheticLinux({ levels, format });
      const os = guestOf(kernel);
      assertEquals([os.version, os.levels, os.kernelBase], ["6.99.0-synthetic", levels, kernel.stext]);
      for (const [name, address] of kernel.symbols) assertEquals(os.symbol(name), address, name);
      assertEquals(os.symbol("init_tas"), undefined);
      assertEquals(os.nearestSymbol(kernel.initTask + 8), {
        name: "init_task",
        address: kernel.initTask,
        offsetBytes: 8,
      });
      assertEquals(os.nearestSymbol(kernel.symbols.get(kernel.longName)!)?.name, kernel.longName);
      assertEquals(os.nearestSymbol(kernel.stext - 1), undefined);
      assertEquals(os.nearestSymbol(0x1000), undefined);
      assert(os.stillThere());
    });
  }

  Deno.test(`processes, roots, kernel threads and names with ${levels} levels`, () => {
    const kernel = new SyntheticLinux({ levels });
    const { mm, root } = kernel.mm();
    const [first] = kernel.processes([
      { pid: 1, name: "init", mm },
      { pid: 2, name: "kthreadd", flags: 0x20_0000 },
      { pid: 3, name: "a-name-of-15-by" },
      { pid: 4_000_000, name: "żółw" },
    ]);
    const os = guestOf(kernel);
    const { items, end } = os.processes();
    assertEquals(end, { complete: true });
    assertEquals(items.map((p) => [p.pid, p.ppid, p.name, p.root, p.kernelThread]), [
      [1, 0, "init", root, false],
      [2, 0, "kthreadd", 0, true],
      // Neither an mm nor a kernel thread: a zombie.
      [3, 0, "a-name-of-15-by", 0, false],
      [4_000_000, 0, "żółw", 0, false],
    ]);
    assertEquals(items[0]?.object, first);
    assertEquals(os.process(2)?.name, "kthreadd");
    assertEquals(os.process(5), undefined);
    assertEquals(os.spaceOf(items[1]!).root, os.kernel.root);
  });

  Deno.test(`command lines are read through the process's own tables, with ${levels} levels`, () => {
    const kernel = new SyntheticLinux({ levels });
    const { mm, root } = kernel.mm();
    const page = kernel.tables.page(2);
    kernel.tables.mapRange(root, 0x7ffc_0000_0000, page, 8192, { user: true });
    kernel.ram.putText(page + 4090, "program\0--two words\0\0last");
    kernel.put(mm + kernel.at("mm_struct.arg_start"), 0x7ffc_0000_0ffa);
    kernel.put(mm + kernel.at("mm_struct.arg_end"), 0x7ffc_0000_0ffa + 25);
    kernel.processes([{ pid: 1, name: "p", mm }, { pid: 2, name: "k" }]);
    const os = guestOf(kernel);
    assertEquals(os.commandLine(os.process(1)!), ["program", "--two words", "", "last"]);
    assertEquals(os.commandLine(os.process(2)!), []);
  });

  Deno.test(`mappings come out of the maple tree in order, with ${levels} levels`, () => {
    const kernel = new SyntheticLinux({ levels });
    const { mm } = kernel.mm();
    const vmas = Array.from(
      { length: 30 },
      (_, i) => kernel.vma(mm, i * 0x10000, i * 0x10000 + 0x8000, i % 8 | (i % 2) << 7),
    );
    const leaf = (part: number[]) =>
      kernel.mapleNode(
        1,
        part.flatMap((vma, k) => [
          { slot: halves(vma), pivot: k * 2 + 1 },
          // A gap is an empty slot.
          { slot: [0, 0] as [number, number], pivot: k * 2 + 2 },
        ]),
      );
    const leaves = [
      vmas.slice(0, 7),
      vmas.slice(7, 12),
      vmas.slice(12, 19),
      vmas.slice(19, 26),
      vmas.slice(26),
    ].map(leaf);
    const inner = kernel.mapleNode(2, leaves.slice(0, 3).map((slot, i) => ({ slot, pivot: i + 1 })));
    const other = kernel.mapleNode(
      3,
      leaves.slice(3).map((slot, i) => ({ slot, pivot: i === 1 ? -1 : i + 1 })),
    );
    kernel.mapleRoot(mm, kernel.mapleNode(3, [{ slot: inner, pivot: 5 }, { slot: other, pivot: -1 }]));
    kernel.processes([{ pid: 1, name: "p", mm }]);
    const os = guestOf(kernel);
    const { items, end } = os.maps(os.process(1)!);
    assertEquals(end, { complete: true });
    assertEquals(items.map((m) => m.start), vmas.map((_, i) => i * 0x10000));
    assertEquals(items[7], { start: 0x70000, end: 0x78000, perms: "rwxs", fileOffset: 0, name: "" });
    assertEquals(items[8]?.perms, "---p");
  });

  Deno.test(`modules with ${levels} levels`, () => {
    const kernel = new SyntheticLinux({ levels });
    const modules = ["alpha", "beta"].map((name, i) => {
      const object = kernel.object(512);
      kernel.ram.putText(kernel.gpa(object) + kernel.at("module.name"), name);
      for (let region = 0; region < 7; region++) {
        kernel.put(object + kernel.at("module.mem") + 16 * region, -0x4000_0000 + i * MIB + region * 4096);
        kernel.put32(object + kernel.at("module.mem") + 16 * region + 8, 4096 * (region + 1));
      }
      return object;
    });
    kernel.list(kernel.modulesHead, modules.map((m) => m + kernel.at("module.list")));
    assertEquals(guestOf(kernel).modules(), {
      items: [
        { base: -0x4000_0000, sizeBytes: 28 * 4096, name: "alpha" },
        { base: -0x4000_0000 + MIB, sizeBytes: 28 * 4096, name: "beta" },
      ],
      end: { complete: true },
    });
  });
}

const MIB = 2 ** 20;

function withProcesses(count: number): { kernel: SyntheticLinux; tasks: number[]; links: number } {
  const kernel = new SyntheticLinux();
  const tasks = kernel.processes(Array.from({ length: count }, (_, i) => ({ pid: i + 1, name: `p${i}` })));
  return { kernel, tasks, links: kernel.at("task_struct.tasks") };
}

Deno.test("a process list that was torn is told with what was found before", () => {
  const { kernel, tasks, links } = withProcesses(5);
  kernel.put(tasks[2]! + links, 0x1234);
  const { items, end } = guestOf(kernel).processes();
  assertEquals(items.map((p) => p.pid), [1, 2, 3]);
  assertEquals(end, { complete: false, reason: "wild-pointer", at: tasks[2]! });
});

Deno.test("a link to memory that is no task, and one that is not mapped, are wild pointers", () => {
  for (const target of [-0x7780 * 2 ** 32 + 0x100, -0x1000_0000_0000, -8]) {
    const { kernel, tasks, links } = withProcesses(3);
    kernel.put(tasks[0]! + links, target);
    const { items, end } = guestOf(kernel).processes();
    assertEquals(items.length, 1);
    assert(!end.complete && end.reason === "wild-pointer");
  }
});

Deno.test("a list that runs in a circle ends, and says so", () => {
  const { kernel, tasks, links } = withProcesses(6);
  // A circle whose back links agree, so that only counting visits can tell.
  const nodes = tasks.map((t) => t + links);
  kernel.put(nodes[5]!, nodes[2]!);
  kernel.put(nodes[2]! + 8, nodes[5]!);
  kernel.put(nodes[1]!, nodes[2]!);
  const { items, end } = guestOf(kernel).processes();
  assert(!end.complete);
  assertEquals([items.length, end.reason], [2, "wild-pointer"]);
  kernel.put(nodes[1]! + 8, kernel.initTask + links);
  // The circle proper: entered where the back link agrees.
  kernel.put(kernel.initTask + links, nodes[2]!);
  kernel.put(nodes[2]! + 8, kernel.initTask + links);
  const again = guestOf(kernel).processes();
  assert(!again.end.complete);
  assertEquals(again.items.length, 4);
});

Deno.test("a module list in a circle ends as a cycle", () => {
  const kernel = new SyntheticLinux();
  const [a, b] = [kernel.object(512), kernel.object(512)];
  for (const object of [a, b]) kernel.ram.putText(kernel.gpa(object) + kernel.at("module.name"), "m");
  const list = kernel.at("module.list");
  kernel.list(a + list, [b + list]);
  kernel.put(kernel.modulesHead, a + list);
  kernel.put(a + list + 8, kernel.modulesHead);
  const { items, end } = guestOf(kernel).modules();
  assertEquals(items.length, 2);
  assert(!end.complete && end.reason === "wild-pointer");
});

Deno.test("a maple tree that names itself, a wild node and mappings out of order are told", () => {
  const build = (make: (kernel: SyntheticLinux, mm: number) => [number, number]) => {
    const kernel = new SyntheticLinux();
    const { mm } = kernel.mm();
    kernel.mapleRoot(mm, make(kernel, mm));
    kernel.processes([{ pid: 1, name: "p", mm }]);
    const os = guestOf(kernel);
    return os.maps(os.process(1)!);
  };
  const loop = build((kernel) => {
    const root = kernel.mapleNode(2, [{ slot: [0, 0], pivot: -1 }]);
    const node = root[0] * 2 ** 32 + ((root[1] & ~0xff) >>> 0);
    kernel.ram.put64(kernel.gpa(node) + 0x80, root[0] >>> 0, root[1] >>> 0);
    return root;
  });
  assert(!loop.end.complete && loop.end.reason === "cycle");
  const wild = build((kernel) => kernel.mapleNode(2, [{ slot: [-1, 0x0000_001e], pivot: -1 }]));
  assert(!wild.end.complete && wild.end.reason === "wild-pointer");
  const disorder = build((kernel, mm) =>
    kernel.mapleNode(
      1,
      [0x5000, 0x1000].map((start, i) => ({
        slot: halves(kernel.vma(mm, start, start + 0x1000, 3)),
        pivot: i + 1,
      })),
    )
  );
  assertEquals(disorder.items.length, 1);
  assert(!disorder.end.complete && disorder.end.reason === "wild-pointer");
  const foreign = build((kernel) =>
    kernel.mapleNode(1, [{ slot: halves(kernel.vma(kernel.initTask, 0x1000, 0x2000, 3)), pivot: -1 }])
  );
  assert(!foreign.end.complete && foreign.items.length === 0);
});

Deno.test("a note that the page tables do not bear out is stale", () => {
  const kernel = new SyntheticLinux();
  const text = guestOf(kernel).note.text;
  // The same note of a boot with another KASLR offset, in front of the true one.
  const moved = text.replace(/phys_base\)=(-?\d+)/, (_, n) => `phys_base)=${Number(n) + 0x20_0000}`);
  kernel.note(0x10_0000, moved);
  assertEquals(guestOf(kernel).note.gpa, kernel.noteGpa);
  kernel.note(kernel.noteGpa, moved);
  const result = findLinux(memoryOf(kernel));
  assert(!result.found && result.reason === "no-kernel");
  assert(result.detail.includes("2 VMCOREINFO"));
});

Deno.test("decoys hide no kernel, as many as there are, and be they borne out", () => {
  const kernel = new SyntheticLinux();
  const { text } = guestOf(kernel).note;
  const moved = text.replace(/phys_base\)=(-?\d+)/, (_, n) => `phys_base)=${Number(n) + 0x20_0000}`);
  // Below the true one: 64 and more of kernels that are not there, then copies of the true one with a table
  // that leads nowhere.
  for (let i = 0; i < 200; i++) kernel.note(0x4_0000 + i * 4096, moved);
  assertEquals(guestOf(kernel).note.gpa, kernel.noteGpa);
  const copy = text.replace(/SYMBOL\(kallsyms_names\)=.*/, "SYMBOL(kallsyms_names)=ffffffff00000000");
  for (let i = 0; i < 40; i++) kernel.note(0x14_0000 + i * 4096, copy);
  // Found by a copy or by the true note (kallsyms is found in the image, too): it is the kernel that runs.
  assertEquals(guestOf(kernel).kernel.root, kernel.root);
});

Deno.test("a note is looked at first where it was before, and is believed no more for that", () => {
  const kernel = new SyntheticLinux();
  const { text } = guestOf(kernel).note;
  kernel.note(0x10_0000, text);
  const known = findLinux(memoryOf(kernel), { foundAt: kernel.noteGpa });
  assert(known.found && known.os.foundAt === kernel.noteGpa);
  kernel.ram.put32(kernel.noteGpa, 0);
  const other = findLinux(memoryOf(kernel), { foundAt: kernel.noteGpa });
  assert(other.found && other.os.foundAt === 0x10_0000);
});

Deno.test("a live root that does not map the kernel rejects it; a PCID and KPTI's half do not matter", () => {
  const kernel = new SyntheticLinux();
  const memory = memoryOf(kernel);
  assert(findLinux(memory, { liveRoot: kernel.root + 5 }).found);
  assert(!findLinux(memory, { liveRoot: kernel.tables.page() }).found);
  // The user half of a KPTI pair maps no _stext, the kernel half below it does.
  const pair = Math.ceil(kernel.tables.page(3) / 8192) * 8192;
  kernel.ram.putBytes(pair, kernel.ram.bytes(kernel.root, 4096).slice());
  assert(findLinux(memory, { liveRoot: pair + 4096 + 0x80 }).found);
});

Deno.test("no note, no kernel; a reset guest is no longer there", () => {
  const kernel = new SyntheticLinux();
  const os = guestOf(kernel);
  kernel.ram.put64(kernel.root + 8 * 511, 0, 0);
  assert(!os.stillThere());
  kernel.ram.put32(kernel.noteGpa, 0);
  const result = findLinux(memoryOf(kernel));
  assert(!result.found && result.reason === "no-kernel");
});

Deno.test("the count of forks is the kernel's own", () => {
  const kernel = new SyntheticLinux();
  const os = guestOf(kernel);
  const place = kernel.gpa(kernel.symbols.get("total_forks")!);
  assertEquals(os.births(), 0);
  kernel.ram.put32(place, 0xffff_fff0);
  assertEquals(os.births(), 0xffff_fff0);
});

Deno.test("without its symbol table a guest is the same guest; the table is read again when it is needed", () => {
  const kernel = new SyntheticLinux();
  kernel.processes([{ pid: 1, name: "init" }]);
  const result = findLinux(memoryOf(kernel), { keepTable: false });
  assert(result.found);
  assertEquals(result.os.process(1)?.name, "init");
  assertEquals(result.os.symbol(kernel.longName), kernel.symbols.get(kernel.longName));
  assertEquals(result.os.nearestSymbol(kernel.initTask + 8)?.name, "init_task");
});

Deno.test("what a kernel lacks is said by name", () => {
  const noMm = findLinux(memoryOf(new SyntheticLinux({ withoutStruct: "mm_struct" })));
  assert(!noMm.found && noMm.reason === "unsupported" && noMm.detail.includes("mm_struct.pgd"));
  const kernel = new SyntheticLinux({ withoutStruct: "module" });
  assertEquals(guestOf(kernel).modules(), { items: [], end: { complete: true } });
});

Deno.test("a cached profile is used, is good for another KASLR offset, and a false one is not believed", () => {
  const kernel = new SyntheticLinux();
  kernel.processes([{ pid: 1, name: "init" }]);
  const cache = new Map<string, unknown>();
  const first = findLinux(memoryOf(kernel), { cache });
  assert(first.found);
  assertEquals(cache.size, 1);
  const [buildId, profile] = [...cache][0]!;
  const kept = JSON.parse(JSON.stringify(profile));
  // Without its BTF the kernel can only be read by the cached profile.
  kernel.ram.putNumber(kernel.gpa(kernel.symbols.get("__start_BTF")!), 0);
  const second = findLinux(memoryOf(kernel), { cache: new Map([[buildId, kept]]) });
  assert(second.found && second.os.process(1)?.name === "init");
  assert(!findLinux(memoryOf(kernel)).found);
  for (
    const bad of [null, 7, {}, { ...kept, buildId: "other" }, {
      ...kept,
      offsets: { ...kept.offsets, "task_struct.tasks": 1e9 },
    }]
  ) {
    const result = findLinux(memoryOf(kernel), { cache: new Map([[buildId, bad]]) });
    assert(!result.found, JSON.stringify(bad));
  }
  const lying = { ...kept, offsets: { ...kept.offsets, "task_struct.tasks": 72 } };
  assert(!findLinux(memoryOf(kernel), { cache: new Map([[buildId, lying]]) }).found);
  assertEquals(typeof checkProfile({ ...kept, symbols: {} }), "string");
});

Deno.test("BTF: anonymous members and bitfield flags are followed; a table that lies is refused", () => {
  const bytes = buildBtf();
  const btf = Btf.parse(bytes, ["mm_struct", "task_struct"]);
  assert(btf instanceof Btf);
  assertEquals(btf.offsetOf("mm_struct", "pgd"), 24);
  assertEquals(btf.offsetOf("mm_struct", "brk"), 120);
  assertEquals(btf.offsetOf("task_struct", "comm"), 204);
  assertEquals(btf.offsetOf("task_struct", "com"), undefined);
  assertEquals(btf.offsetOf("vm_area_struct", "vm_start"), undefined, "it was not asked for");
  assertEquals(btf.sizeOf("task_struct"), 1024);
  const view = (change: (view: DataView) => void) => {
    const copy = bytes.slice();
    change(new DataView(copy.buffer));
    return Btf.parse(copy, ["mm_struct"]);
  };
  for (
    const [name, change] of [
      ["magic", (v: DataView) => v.setUint16(0, 0x1234, true)],
      ["types past the end", (v: DataView) => v.setUint32(12, 0x7fff_ffff, true)],
      ["strings past the end", (v: DataView) => v.setUint32(20, 0x7fff_ffff, true)],
      ["a kind that is not known", (v: DataView) => v.setUint32(28, 31 << 24, true)],
      ["more members than bytes", (v: DataView) => v.setUint32(28, 4 << 24 | 0xffff, true)],
      ["offset into a header that is odd", (v: DataView) => v.setUint32(4, 25, true)],
    ] as const
  ) {
    assert("unsupported" in view(change), name);
  }
});

Deno.test("BTF: a structure that contains itself without a name, eight times, and thousands of one name, come to an end", () => {
  const strings = "\0knot\0";
  const members = Array.from({ length: 8 }, (_, i) => [0, 1, 64 * i]).flat();
  const knots = Array.from({ length: 5000 }, () => [1, (4 << 24 | 8) >>> 0, 64, ...members]).flat();
  const bytes = new Uint8Array(24 + 4 * knots.length + 8);
  const view = new DataView(bytes.buffer);
  [0x0001eb9f, 24, 0, 4 * knots.length, 4 * knots.length, strings.length].forEach((word, i) =>
    view.setUint32(4 * i, word, true)
  );
  knots.forEach((word, i) => view.setUint32(24 + 4 * i, word, true));
  bytes.set(new TextEncoder().encode(strings), 24 + 4 * knots.length);
  const btf = Btf.parse(bytes, ["knot"]);
  assert(btf instanceof Btf);
  assertEquals(btf.sizeOf("knot"), 64);
  assertEquals(btf.offsetOf("knot", "no_such_field"), undefined);
});

Deno.test("3000 processes are listed", () => {
  const kernel = new SyntheticLinux();
  const links = kernel.at("task_struct.tasks");
  const base = kernel.object(256 * 3000);
  const tasks = Array.from({ length: 3000 }, (_, i) => base + 256 * i);
  tasks.forEach((task, i) => kernel.task(task, { pid: i + 1, name: "many" }));
  kernel.list(kernel.initTask + links, tasks.map((t) => t + links));
  const { items, end } = guestOf(kernel).processes();
  assertEquals([items.length, end], [3000, { complete: true }]);
});
