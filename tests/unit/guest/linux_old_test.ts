/**
 * Linux kernels before 6.0 on synthetic images: kallsyms is found in the image, mappings are a list; and what
 * a kernel lacks is looked for, or said by name.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { findKallsyms } from "../../../src/guest/linux/kallsyms_search.ts";
import { findLinux } from "../../../src/guest/linux/find_linux.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import type { OldKernel } from "../../fixtures/synthetic_linux.ts";
import { SyntheticLinux } from "../../fixtures/synthetic_linux.ts";

const MIB = 2 ** 20;

function find(kernel: SyntheticLinux) {
  const memory = new PhysicalMemory(kernel.ram);
  memory.refresh();
  return findLinux(memory);
}

function guestOf(kernel: SyntheticLinux) {
  const result = find(kernel);
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

/** A kernel with a process that has mappings, and two modules. */
function running(old: OldKernel) {
  const kernel = new SyntheticLinux({ old });
  const { mm, root } = kernel.mm();
  const vmas = [1, 2, 3].map((i) => kernel.vma(mm, i * 0x10000, i * 0x10000 + 0x8000, i));
  kernel.put(mm + kernel.at("mm_struct.mmap"), vmas[0]!);
  vmas.forEach((vma, i) => kernel.put(vma + kernel.at("vm_area_struct.vm_next"), vmas[i + 1] ?? 0));
  kernel.processes([{ pid: 1, name: "init", mm }, { pid: 2, name: "kthreadd", flags: 0x20_0000 }]);
  const modules = ["alpha", "beta"].map((name, i) => {
    const object = kernel.object(512);
    kernel.ram.putText(kernel.gpa(object) + kernel.at("module.name"), name);
    kernel.put(object + kernel.at("module.core_layout"), -0x4000_0000 + i * MIB);
    kernel.put32(object, 8192, kernel.at("module.core_layout") + 8);
    kernel.put32(object, 4096, kernel.at("module.init_layout") + 8);
    return object;
  });
  kernel.list(kernel.modulesHead, modules.map((module) => module + kernel.at("module.list")));
  return { kernel, mm, root, vmas };
}

for (const [release, markerBytes] of [["5.10.0", 4], ["5.4.0", 4], ["4.19.0", 8]] as const) {
  Deno.test(`${release}: kallsyms is found in the image, and all that it tells of`, () => {
    const { kernel, root } = running({ release, markerBytes, symbols: "all" });
    const os = guestOf(kernel);
    assertEquals([os.version, os.levels, os.kernelBase], [release, 4, kernel.stext]);
    const places = findKallsyms(os.kernel, kernel.stext);
    const { names, count, tokenTable, tokenIndex, offsets, relativeBase } = kernel.kallsyms;
    assertEquals<unknown>(places, {
      names,
      count,
      tokenTable,
      tokenIndex,
      offsets,
      relativeBase,
      stext: kernel.stext,
    });
    for (const [name, address] of kernel.symbols) assertEquals(os.symbol(name), address, name);
    assertEquals(os.nearestSymbol(kernel.stext + 0x1000 + 16 * 199 + 3)?.name.length, 199);
    assertEquals(os.processes().items.map((p) => [p.pid, p.name, p.root]), [
      [1, "init", root],
      [2, "kthreadd", 0],
    ]);
    assertEquals(os.modules(), {
      items: [
        { base: -0x4000_0000, sizeBytes: 12_288, name: "alpha" },
        { base: -0x4000_0000 + MIB, sizeBytes: 12_288, name: "beta" },
      ],
      end: { complete: true },
    });
  });

  Deno.test(`${release}: mappings are a list, which may be torn`, () => {
    const { kernel, vmas } = running({ release, markerBytes, symbols: "all" });
    const os = guestOf(kernel);
    const init = os.process(1)!;
    const whole = os.maps(init);
    assertEquals(whole.end, { complete: true });
    assertEquals(whole.items.map(({ start, perms }) => [start, perms]), [
      [0x10000, "r--p"],
      [0x20000, "-w-p"],
      [0x30000, "rw-p"],
    ]);
    const next = kernel.at("vm_area_struct.vm_next");
    for (const target of [vmas[0]!, vmas[1]!, 0x1234, -8]) {
      kernel.put(vmas[1]! + next, target);
      const { items, end } = os.maps(init);
      assertEquals([items.length, end.complete], [2, false]);
    }
  });
}

Deno.test("without CONFIG_KALLSYMS_ALL, and without kallsyms, BTF and the first task are found in the image", () => {
  for (const symbols of ["functions", "none"] as const) {
    const { kernel, root } = running({ release: "5.10.0", markerBytes: 4, symbols });
    // Texts that are called so and are no task.
    kernel.ram.putText(kernel.gpa(kernel.stext) + 0x8_0000, "swapper/0");
    kernel.ram.putText(kernel.gpa(kernel.modulesHead) + 0x100, "swapper");
    const os = guestOf(kernel);
    assertEquals(os.processes().items.map((p) => [p.pid, p.root]), [[1, root], [2, 0]]);
    assertEquals(os.processes().end, { complete: true });
    assertEquals(os.maps(os.process(1)!).items.length, 3);
    assertEquals(os.symbol("function_7_"), symbols === "none" ? undefined : kernel.stext + 0x1000 + 16 * 7);
    // There are modules, and nothing tells where: not "none".
    assertEquals(os.modules().end.complete, false);
    assertEquals(os.births(), undefined);
  }
});

Deno.test("a kernel without BTF is told so", () => {
  const { kernel } = running({ release: "4.19.0", markerBytes: 8, symbols: "all", btf: false });
  kernel.ram.bytes(kernel.gpa(kernel.symbols.get("__start_BTF")!), 8).fill(0);
  const without = find(
    new SyntheticLinux({
      old: { release: "4.19.0", markerBytes: 8, symbols: "functions", btf: false },
    }),
  );
  assert(!without.found && without.reason === "unsupported");
  assertEquals(
    without.detail,
    "Linux 4.19.0: it was built without BTF (CONFIG_DEBUG_INFO_BTF), and where its structures have their fields is not known without",
  );
  const neither = find(
    new SyntheticLinux({
      old: { release: "4.19.0", markerBytes: 8, symbols: "none", btf: false },
    }),
  );
  assert(
    !neither.found && neither.detail.includes("there is no kallsyms in its image; it was built without BTF"),
  );
});

Deno.test("tables that do not agree with each other are not taken", () => {
  const old = { release: "5.10.0", markerBytes: 4, symbols: "all" } as const;
  const broken = (change: (kernel: SyntheticLinux) => void) => {
    const kernel = new SyntheticLinux({ old });
    const { kernel: space } = guestOf(kernel);
    change(kernel);
    return findKallsyms(space, kernel.stext);
  };
  const byte = (kernel: SyntheticLinux, table: string, offset: number, value: number) => {
    kernel.ram.bytes(kernel.gpa(kernel.kallsyms[table]!) + offset, 1)[0] = value;
  };
  assert(broken(() => {}) !== undefined);
  for (
    const change of [
      (k: SyntheticLinux) => byte(k, "tokenIndex", 0, 1),
      (k: SyntheticLinux) => byte(k, "tokenIndex", 101, 0xff),
      (k: SyntheticLinux) => byte(k, "tokenTable", 0, 0x41),
      (k: SyntheticLinux) => byte(k, "count", 0, 0xff),
      (k: SyntheticLinux) => byte(k, "count", 4, 1),
      (k: SyntheticLinux) => byte(k, "names", 0, 0),
      (k: SyntheticLinux) => byte(k, "names", 0, 99),
      (k: SyntheticLinux) => byte(k, "relativeBase", 7, 0),
    ]
  ) assertEquals(broken(change), undefined);
});
