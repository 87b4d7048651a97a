/**
 * arm64's page tables, entry by entry, and what a Linux kernel's note says of them. The walk as a whole is
 * compared with a model in tests/fuzz/walker_test.ts.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { AddressSpace, type Translation } from "../../../src/guest/address_space.ts";
import { arm64Page } from "../../../src/guest/linux/arm64_page.ts";
import { findLinux } from "../../../src/guest/linux/find_linux.ts";
import { kernelMapping } from "../../../src/guest/linux/kernel_mapping.ts";
import { Vmcoreinfo } from "../../../src/guest/linux/vmcoreinfo.ts";
import { scanPages } from "../../../src/guest/page_scan.ts";
import { ARM64_3, ARM64_4, arm64Paging, WALK } from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const PAGE = 4096;
const KERNEL = -(2 ** 48);
/** A page of a Linux process: valid, user, accessed, shared, not global; PXN and UXN. */
const USER_PAGE = { lo: 0xf43, hi: 3 << 21 };

/** RAM as virt has it, and tables in it: the kernel's root, a process's, and one table below each. */
function world(paging = ARM64_4) {
  const ram = new SyntheticRam([{ gpa: GIB, sizeBytes: 8 * MIB }]);
  const memory = new PhysicalMemory(ram);
  memory.refresh();
  const at = (n: number) => GIB + n * PAGE;
  const [kernel, user] = [at(1), at(2)];
  const put = (table: number, index: number, target: number, lo: number, hi = 0) =>
    ram.put64(table + 8 * index, hi, target + lo);
  for (const [root, first] of [[kernel, 3], [user, 6]] as const) {
    const down = paging.levels === 4 ? [root, at(first), at(first + 1), at(first + 2)] : [
      root,
      at(first + 1),
      at(first + 2),
    ];
    for (let i = 0; i + 1 < down.length; i++) put(down[i]!, 0, down[i + 1]!, 3);
  }
  const space = new AddressSpace(memory, paging, kernel, arm64Page);
  return { ram, memory, at, put, kernel, user, space, process: space.withRoot(user) };
}

Deno.test("arm64: each half has a root of its own, and the kernel's own space has no user half", () => {
  for (const paging of [ARM64_4, ARM64_3]) {
    const { at, put, space, process } = world(paging);
    const start = -(2 ** (paging.addressBits - 1));
    put(at(5), 7, at(20), 0x783);
    put(at(8), 7, at(21), USER_PAGE.lo, USER_PAGE.hi);
    const kernelPage: Translation = {
      ok: true,
      gpa: at(20) + 5,
      pageBytes: PAGE,
      writable: false,
      user: false,
      executable: true,
    };
    assertEquals(space.probe(start + 7 * PAGE + 5), kernelPage);
    assertEquals(process.probe(start + 7 * PAGE + 5), kernelPage);
    assertEquals(space.probe(7 * PAGE), { ok: false, reason: "not-present" });
    assertEquals(process.translate(7 * PAGE + 9), at(21) + 9);
    assertEquals(process.probe(-start), { ok: false, reason: "non-canonical" });
    assertEquals(process.probe(start - PAGE), { ok: false, reason: "non-canonical" });
    const seen: number[] = [];
    assertEquals(scanPages(space, start, 2 ** 47, ({ gva }) => void seen.push(gva)), "complete");
    assertEquals(scanPages(process, start, 2 ** 47, ({ gva }) => void seen.push(gva)), "complete");
    assertEquals(seen, [start + 7 * PAGE, start + 7 * PAGE, 7 * PAGE]);
  }
});

Deno.test("arm64: blocks of 1 GiB and 2 MiB, the contiguous hint, and what is neither page nor block", () => {
  const { at, put, process } = world();
  put(at(6), 1, GIB, 0x741);
  put(at(7), 3, GIB + 4 * MIB, 0x741 + 0x1_e000, 1 << 20);
  put(at(8), 9, at(30), 0x743, 1 << 20);
  put(at(8), 10, at(31), 0x741);
  put(at(2), 1, GIB, 0x741);
  assertEquals(process.translate(GIB + 5 * MIB + 3), GIB + 5 * MIB + 3);
  const probe = process.probe(GIB);
  assert(probe.ok && probe.pageBytes === GIB);
  const block = process.probe(3 * 2 * MIB + 0x12345);
  assert(block.ok && block.pageBytes === 2 * MIB && block.gpa === GIB + 4 * MIB + 0x12345);
  const hinted = process.probe(9 * PAGE);
  assert(hinted.ok && hinted.gpa === at(30) && hinted.pageBytes === PAGE);
  assertEquals(process.probe(10 * PAGE), { ok: false, reason: "reserved-bit" });
  assertEquals(process.probe(2 ** 39), { ok: false, reason: "reserved-bit" });
  assertEquals(process.probe(2 * 2 ** 39), { ok: false, reason: "not-present" });
});

Deno.test("arm64: permissions of pages and of the tables above them", () => {
  const { at, put, process } = world();
  const allows = (lo: number, hi: number, table = 0) => {
    put(at(7), 0, at(8), 3, table);
    put(at(8), 0, at(40), 0x403 + lo, hi);
    const probe = process.probe(0);
    assert(probe.ok);
    return `${probe.user ? "u" : "-"}${probe.writable ? "w" : "-"}${probe.executable ? "x" : "-"}`;
  };
  const [user, readOnly, uxn, pxn, dbm] = [0x40, 0x80, 1 << 22, 1 << 21, 1 << 19];
  assertEquals(allows(user, 0), "uwx");
  assertEquals(allows(user + readOnly, uxn), "u--");
  assertEquals(allows(user + readOnly, uxn + dbm), "uw-", "Linux's writable pages that are clean");
  assertEquals(allows(user, pxn), "uwx", "user mode's own right counts in its half");
  assertEquals(allows(0, 0), "-wx");
  assertEquals(allows(user, 0, 1 << 27), "uwx");
  assertEquals(allows(user, 0, 1 << 28), "uw-");
  assertEquals(allows(user, 0, 1 << 29), "-wx");
  assertEquals(allows(user, dbm, 1 << 30), "u-x");
});

Deno.test("arm64: pages that nobody may touch are there, and swapped ones are not, in both layouts", () => {
  const noAccess = { lo: 0x12_3f82 | 0, hi: 3 << 21 };
  const frame = 0x123;
  // PTE_PROT_NONE is bit 58 before 6.11, and bit 11 since.
  assertEquals(arm64Page(noAccess.hi | 1 << 26, noAccess.lo, 0, 0, 12), frame);
  assertEquals(arm64Page(noAccess.hi, noAccess.lo, 0, 0, 12), frame);
  // Two swap entries: type in bits 2 to 7 and an offset from bit 8 on; type from bit 6, an offset from 12 on.
  assertEquals(arm64Page(0x3, 0x1234_5f04, 0, 0, 12), WALK.pagedOut);
  assertEquals(arm64Page(0x3, 0x1234_5040, 0, 0, 12), WALK.pagedOut);
  assertEquals(arm64Page(0, 0, 0, 0, 12), WALK.notPresent);
  // A huge one: a block without its valid bit.
  assertEquals(arm64Page(noAccess.hi | 1 << 26, 0x4020_0f80, 0, 0x5000, 21), 0x40205);
  assertEquals(arm64Page(noAccess.hi | 0x800, noAccess.lo, 0, 0, 12), WALK.outOfRam);
  const { at, put, process } = world();
  put(at(8), 4, at(50), noAccess.lo & 0xfff, noAccess.hi);
  assertEquals(process.probe(4 * PAGE), {
    ok: true,
    gpa: at(50),
    pageBytes: PAGE,
    writable: false,
    user: false,
    executable: false,
  });
});

Deno.test("arm64: 16 and 64 KiB: tables of several frames, small roots, blocks, and addresses far away", () => {
  const GRANULE: Record<string, { granule: number; bits: number; block: number }> = {
    "16 KiB": { granule: 14, bits: 47, block: 25 },
    "64 KiB": { granule: 16, bits: 48, block: 29 },
  };
  for (const [name, { granule, bits, block }] of Object.entries(GRANULE)) {
    const paging = arm64Paging(granule, bits)!;
    const size = 2 ** granule;
    const ram = new SyntheticRam([{ gpa: GIB, sizeBytes: 8 * MIB }]);
    const memory = new PhysicalMemory(ram);
    memory.refresh();
    const at = (n: number) => GIB + n * size;
    // Of 64 KiB and 48 bits a root has 64 entries: two of them lie in one page, beside each other.
    const small = paging.table[0]!.indexBits < 9;
    const [user, other] = small ? [at(2) + 512, at(2) + 1024] : [at(2), at(3)];
    const last = size / 8 - 1;
    ram.put64(user, 0, at(5) + 3);
    ram.put64(other, 0, at(6) + 3);
    ram.put64(at(5) + 8 * last, 0, at(7) + 3);
    ram.put64(at(5) + 8, 0, GIB + 0x741);
    ram.put64(at(6) + 8 * last, 0, at(8) + 3);
    ram.put64(at(7) + 8 * last, USER_PAGE.hi, at(20) + USER_PAGE.lo);
    ram.put64(at(7) + 8 * (last - 1), USER_PAGE.hi, at(30) + (USER_PAGE.lo & ~1));
    ram.put64(at(7) + 8 * (last - 2), USER_PAGE.hi + 0x800, at(30) + USER_PAGE.lo);
    ram.put64(at(8) + 8 * last, USER_PAGE.hi, at(21) + USER_PAGE.lo);
    const process = new AddressSpace(memory, paging, user, arm64Page, at(1));
    const neighbour = process.withRoot(other);
    const end = 2 ** (block + granule - 3);
    const probe = process.probe(end - 5);
    assertEquals(probe.ok && [probe.gpa, probe.pageBytes, probe.user], [at(21) - 5, size, true], name);
    assertEquals(neighbour.translate(end - 5), at(22) - 5, name);
    const large = process.probe(2 ** block + 0x12_3456);
    assertEquals(large.ok && [large.gpa, large.pageBytes], [GIB + 0x12_3456, 2 ** block], name);
    // PROT_NONE: the page is there. A frame that no machine has; a hole.
    assertEquals(process.translate(end - size - 1), at(31) - 1, name);
    assertEquals(process.probe(end - 2 * size - 1), { ok: false, reason: "out-of-ram" }, name);
    assertEquals(process.probe(end - 3 * size - 1), { ok: false, reason: "not-present" }, name);
    assertEquals(process.probe(2 ** bits), { ok: false, reason: "non-canonical" }, name);
    const seen: [number, number][] = [];
    scanPages(process, 0, 2 ** bits, ({ gva, sizeBytes }) => void seen.push([gva, sizeBytes]));
    assertEquals(seen, [[2 ** block, 2 ** block], [end - size, size]], name);
  }
});

const NOTE = `OSRELEASE=6.1.0-test
PAGESIZE=4096
SYMBOL(swapper_pg_dir)=ffff800009c00000
SYMBOL(_stext)=ffff800008010000
NUMBER(VA_BITS)=48
NUMBER(kimage_voffset)=0xffff7fffc8000000
NUMBER(PHYS_OFFSET)=0x40000000
NUMBER(TCR_EL1_T1SZ)=0x10
`;

Deno.test("arm64: a note tells how its kernel is mapped; granules and sizes that are not read are named", () => {
  const mapping = (change: (text: string) => string) => kernelMapping(new Vmcoreinfo(0, change(NOTE)));
  const imageOffset = KERNEL + 2 ** 47 - 0x3800_0000;
  assertEquals(mapping((text) => text), { paging: ARM64_4, imageOffset });
  assertEquals(mapping((text) => text.replace("T1SZ)=0x10", "T1SZ)=0x19")), { paging: ARM64_3, imageOffset });
  const oldest = mapping((text) => text.replace(/NUMBER\(TCR.*\n/, "").replace("BITS)=48", "BITS)=39"));
  assertEquals(oldest, { paging: ARM64_3, imageOffset });
  const refused = (change: (text: string) => string) => {
    const result = mapping(change);
    return result !== undefined && "unsupported" in result ? result.unsupported : "";
  };
  const sized = (pageBytes: number, bits: number, t1sz: number) => {
    const result = mapping((text) =>
      text.replace("SIZE=4096", `SIZE=${pageBytes}`).replace("BITS)=48", `BITS)=${bits}`)
        .replace("T1SZ)=0x10", `T1SZ)=0x${t1sz.toString(16)}`)
    );
    return result !== undefined && "paging" in result ? result.paging.name : result?.unsupported;
  };
  assertEquals(sized(16_384, 47, 17), "arm64, 16 KiB granule, 47 bits");
  assertEquals(sized(16_384, 52, 12), "arm64, 16 KiB granule, 52 bits");
  // A CPU without LPA2 leaves such a kernel a level less, and 47 bits.
  assertEquals(sized(16_384, 52, 17), "arm64, 16 KiB granule, 47 bits");
  assertEquals(sized(4096, 52, 12), "arm64, 4 KiB granule, 52 bits");
  assertEquals(sized(4096, 52, 16), "arm64, 4 KiB granule, 48 bits");
  assertEquals(sized(65_536, 48, 16), "arm64, 64 KiB granule, 48 bits");
  assertEquals(sized(65_536, 42, 22), "arm64, 64 KiB granule, 42 bits");
  // Without LVA the tables are those of 52 bits all the same.
  assertEquals(sized(65_536, 52, 16), "arm64, 64 KiB granule, 52 bits");
  assertEquals(
    refused((text) => text.replace("SIZE=4096", "SIZE=65536").replace("T1SZ)=0x10", "T1SZ)=0x19")),
    "its page tables have a granule of 64 KiB and 39 bits of address",
  );
  assertEquals(
    refused((text) => text.replace("SIZE=4096", "SIZE=8192")),
    "its page tables have a granule of 8 KiB and 48 bits of address",
  );
  assertEquals(mapping(() => "OSRELEASE=6.1.0\n"), undefined);
});

Deno.test("arm64: a kernel of a granule that there is not is refused by name, one whose tables do not fit is not found", () => {
  const { ram, memory, at } = world();
  const put = (text: string) => {
    ram.put32(at(100), 11);
    ram.put32(at(100) + 4, text.length);
    ram.put32(at(100) + 8, 0);
    ram.putText(at(100) + 12, "VMCOREINFO");
    ram.putText(at(100) + 24, text);
    memory.refresh();
    return findLinux(memory);
  };
  assertEquals(put(NOTE.replace("SIZE=4096", "SIZE=8192")), {
    found: false,
    reason: "unsupported",
    system: "linux",
    detail: "Linux 6.1.0-test: its page tables have a granule of 8 KiB and 48 bits of address",
  });
  const none = put(NOTE);
  assert(!none.found && none.reason === "no-kernel", JSON.stringify(none));
});
