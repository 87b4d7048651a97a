/**
 * What a Linux guest says of itself: its note and its types as bytes, and whole guests with random damage.
 */
import { assert } from "@std/assert";
import { MAX_LISTING, MAX_TYPE_MEMBERS, MAX_VALUES } from "../../src/base/limits.ts";
import { AddressSpace } from "../../src/guest/address_space.ts";
import type { Unsupported } from "../../src/guest/insight.ts";
import { Btf } from "../../src/guest/linux/btf.ts";
import { findTables } from "../../src/guest/linux/kallsyms_search.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { KernelTypes } from "../../src/guest/linux/kernel_types.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { declare, typeLines } from "../../src/guest/linux/type_text.ts";
import { readValue } from "../../src/guest/linux/value_reader.ts";
import { Vmcoreinfo } from "../../src/guest/linux/vmcoreinfo.ts";
import { pagingOf } from "../../src/guest/paging.ts";
import type { Listing } from "../../src/guest/process.ts";
import { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../src/guest/synthetic_ram.ts";
import type { TypedValue } from "../../src/guest/typed_value.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";
import { kallsymsTables } from "../fixtures/synthetic_kallsyms.ts";
import { fillInsight } from "../fixtures/synthetic_insight.ts";
import { buildBtf, SyntheticLinux } from "../fixtures/synthetic_linux.ts";
import { TableBuilder } from "../fixtures/table_builder.ts";
import { fuzz } from "./harness.ts";

/** Memory in which each word points into it: what a hostile type is read from. */
const WILD: AddressSpace = wildSpace();

function wildSpace(): AddressSpace {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 1 << 20 }]);
  const tables = new TableBuilder(ram, pagingOf(4), 1 << 19);
  const root = tables.page();
  tables.mapRange(root, 0, 0, 1 << 16);
  for (let at = 0; at < 1 << 16; at += 8) ram.putNumber(at, (at * 7 + 64) % (1 << 16));
  const memory = new PhysicalMemory(ram);
  memory.refresh();
  return new AddressSpace(memory, pagingOf(4), root);
}

function countOf(value: TypedValue): number {
  if (value.kind === "array") return value.elements.reduce((sum, one) => sum + countOf(one), 1);
  if (value.kind === "pointer") return typeof value.target === "object" ? 1 + countOf(value.target) : 1;
  if (value.kind !== "struct" && value.kind !== "union") return 1;
  return value.members.reduce((sum, member) => sum + countOf(member.value), 1);
}

const STRUCTS = ["task_struct", "mm_struct", "vm_area_struct", "module", "maple_tree"];
const FIELDS = ["tasks", "pid", "comm", "pgd", "brk", "vm_start", "name", "ma_root", "no_such_field"];

/** A task_struct that contains itself without a name, so many times. */
function knot(members: number): Uint8Array {
  const strings = "\0task_struct\0";
  const inside = Array.from({ length: members }, (_, i) => [0, 1, 64 * i]).flat();
  const words = [1, ((4 << 24) | members) >>> 0, 64, ...inside];
  const bytes = new Uint8Array(24 + 4 * words.length + strings.length);
  const view = new DataView(bytes.buffer);
  const header = [0x0001_eb9f, 24, 0, 4 * words.length, 4 * words.length, strings.length];
  [...header, ...words].forEach((word, i) => view.setUint32(4 * i, word, true));
  bytes.set(new TextEncoder().encode(strings), 24 + 4 * words.length);
  return bytes;
}

/** Types that lead to themselves: typedef and qualifier, pointer, array; and a structure of them. */
function circle(): Uint8Array {
  const strings = "\0task_struct\0tasks\0";
  const head = (kind: number, count: number) => ((kind << 24) | count) >>> 0;
  const words = [
    ...[0, head(8, 0), 2],
    ...[0, head(10, 0), 1],
    ...[0, head(2, 0), 3],
    ...[0, head(3, 0), 0, 4, 1, 2 ** 31],
    ...[1, head(4, 4), 64, 13, 1, 0, 13, 3, 64, 0, 4, 128, 0, 5, 0],
  ];
  const bytes = new Uint8Array(24 + 4 * words.length + strings.length);
  const view = new DataView(bytes.buffer);
  const header = [0x0001_eb9f, 24, 0, 4 * words.length, 4 * words.length, strings.length];
  [...header, ...words].forEach((word, i) => view.setUint32(4 * i, word, true));
  bytes.set(new TextEncoder().encode(strings), 24 + 4 * words.length);
  return bytes;
}

fuzz({
  name: "BTF",
  corpus: () => [buildBtf(), buildBtf("module"), knot(4), circle()],
  largest: 65_536,
  words: [[4, 0, 0, 4], [4, 0, 0, 0x84], [0xff, 0xff, 0, 4], [0, 0, 0, 0], [1, 0, 0, 0], [
    0xff,
    0xff,
    0xff,
    0xff,
  ], "task_struct\0"],
  decode: (input, random) => {
    if (input.length < 24) return "too short";
    const bytes = new Uint8Array(Math.ceil(input.length / 4) * 4);
    bytes.set(input);
    const btf = Btf.parse(bytes, STRUCTS);
    const types = KernelTypes.parse(bytes);
    assert("unsupported" in types === "unsupported" in btf, "both readers judge a table alike");
    if ("unsupported" in btf || "unsupported" in types) return "unsupported";
    if (random.oneIn(8)) {
      const id = 1 + random.below(Math.min(types.count, 1000) + 1);
      assert(typeLines(types, id).length <= 2 * MAX_TYPE_MEMBERS);
      assert(declare(types, id, "x").length < 65_536 && types.size(id) >= 0);
      types.enumerators(id);
      if (id <= types.count && random.oneIn(4)) {
        const source = { space: WILD, types, nearestSymbol: () => undefined };
        const value = readValue(source, id, random.below(1 << 16), { follow: FIELDS });
        assert(countOf(value) <= 2 * MAX_VALUES, "a value ends");
        return "value";
      }
      types.place(`${STRUCTS[random.below(STRUCTS.length)]}.${FIELDS[random.below(FIELDS.length)]}`);
    }
    let known = 0;
    for (let i = 0; i < 4; i++) {
      const struct = STRUCTS[random.below(STRUCTS.length)] as string;
      const offset = btf.offsetOf(struct, FIELDS[random.below(FIELDS.length)] as string);
      if (offset !== undefined && offset >= 0) known++;
    }
    return known > 0 ? "fields" : "no field";
  },
  mustMeet: ["too short", "unsupported", "fields", "no field", "value"],
});

const NOTE = `OSRELEASE=6.1.0-39-amd64
BUILD-ID=0123456789abcdef
PAGESIZE=4096
SYMBOL(init_uts_ns)=ffffffff96c1a5c0
OFFSET(uts_namespace.name)=0
SYMBOL(swapper_pg_dir)=ffffffff96a10000
SYMBOL(_stext)=ffffffff95000000
NUMBER(phys_base)=-1048576
NUMBER(pgtable_l5_enabled)=0
KERNELOFFSET=14000000
SYMBOL(kallsyms_names)=ffffffff96012345
`;
const decoder = new TextDecoder("latin1");

fuzz({
  name: "VMCOREINFO",
  corpus: () => [NOTE, NOTE.replaceAll("\n", "\r\n"), "OSRELEASE="],
  largest: 4096,
  words: [
    "\n",
    "=",
    "SYMBOL(_stext)=",
    "NUMBER(phys_base)=",
    "KERNELOFFSET=",
    "0x",
    "ffffffffffffffffff",
    "-",
  ],
  decode: (input) => {
    const note = new Vmcoreinfo(0x1000, decoder.decode(input));
    const numbers = [note.number("phys_base"), note.symbol("_stext"), note.symbol("swapper_pg_dir")]
      .concat([note.offset("uts_namespace.name"), note.kernelOffset]);
    for (const number of numbers) {
      assert(number === undefined || Number.isFinite(number), `${number} is not a number`);
    }
    return note.symbol("_stext") === undefined ? "unknown" : "known";
  },
  mustMeet: ["known", "unknown"],
});

const ROUNDS = 150;
const LOOKS = 20;

/** The tables of a kernel before 6.0 among other read-only data. */
function image(markerBytes: 4 | 8, symbols: number): Uint8Array<ArrayBuffer> {
  const names = Array.from(
    { length: symbols },
    (_, i) => [`sym_${i}`.padEnd(i % 40, "x"), -0x4000_0000 + i] as const,
  );
  const { bytes } = kallsymsTables(new Map(names), -0x4000_0000, markerBytes);
  const out = new Uint8Array(256 + bytes.length + 64);
  out.set(bytes, 256);
  return out;
}

fuzz({
  name: "kallsyms in an image",
  corpus: () => [image(4, 700), image(8, 600), image(4, 3)],
  largest: 65_536,
  words: [[0xff, 0xff, 0xff, 0xff], [0, 0, 1, 0], [0x80], [3, 0, 0, 0, 0, 0, 0, 0]],
  decode: (input) => {
    const bytes = new Uint8Array(input.length - input.length % 8);
    bytes.set(input.subarray(0, bytes.length));
    const places = findTables({ start: -0x4000_0000, bytes }, -0x4000_0000);
    if (places === undefined) return "none";
    const { offsets, relativeBase = NaN, count, names, tokenTable, tokenIndex } = places;
    const order = [-0x4000_0000, offsets, relativeBase, count, names, tokenTable, tokenIndex];
    assert(order.every((at, i) => i === 0 || at > (order[i - 1] as number) || (i === 1 && at === order[0])));
    assert(tokenIndex + 512 <= -0x4000_0000 + bytes.length);
    return "found";
  },
  mustMeet: ["found", "none"],
});

function askAll(os: LinuxGuest): void {
  assert(os.version.length < 4096);
  os.stillThere();
  os.nearestSymbol(os.kernelBase + 4096);
  const processes = os.processes();
  assert(processes.items.length <= MAX_LISTING);
  for (const process of processes.items.slice(0, 8)) {
    // A kernel thread's whole name may be as long as its buffer.
    assert(process.name.length <= 256 && Number.isFinite(process.root));
    const mappings = os.maps(process);
    os.commandLine(process);
    os.births();
    assert(mappings.items.length <= MAX_LISTING);
    for (const { start, end } of mappings.items) assert(Number.isFinite(start) && Number.isFinite(end));
  }
  askInsight(os);
  const modules = os.modules();
  assert(modules.items.length <= MAX_LISTING);
}

/** The same questions again, beyond the lists. */
function askInsight(os: LinuxGuest): void {
  const insight = os.insight();
  if ("unsupported" in insight) return;
  const lists: (Listing<unknown> | Unsupported)[] = [insight.log(), insight.mounts(), insight.sockets()];
  for (const process of os.processes().items.slice(0, 4)) {
    assert(insight.facts(process).state.length === 1);
    lists.push(insight.files(process));
    insight.environment(process);
  }
  for (const list of lists) assert("unsupported" in list || list.items.length <= MAX_LISTING);
  for (const name of STRUCTS) {
    const type = insight.type(name);
    assert(type === undefined || "unsupported" in type || type.lines.length <= 2 * MAX_TYPE_MEMBERS);
  }
}

/** Damages some words of what the kernel's tables take up, and gives what undoes it. */
function damage(random: SeededRandom, words: DataView, pages: readonly number[]): () => void {
  const undo: (readonly [at: number, value: bigint])[] = [];
  for (let i = 1 + random.below(random.oneIn(3) ? 200 : 8); i > 0; i--) {
    const at = (pages[random.below(pages.length)] as number) + 8 * random.below(512);
    const old = words.getBigUint64(at, true);
    undo.push([at, old]);
    const other = (pages[random.below(pages.length)] as number) + 8 * random.below(512);
    const choices = [0n, BigInt.asUintN(64, old + 8n), words.getBigUint64(other, true), BigInt(at) | 0x67n];
    words.setBigUint64(at, choices[random.below(8)] ?? old ^ (1n << BigInt(random.below(64))), true);
  }
  return () => {
    for (const [at, value] of undo.reverse()) words.setBigUint64(at, value, true);
  };
}

for (const levels of [4, 5] as const) {
  Deno.test(`a damaged Linux guest of ${levels} levels is found or declined, and answers every question`, () => {
    withSeed((random) => {
      const kernel = new SyntheticLinux({ levels });
      const { mm } = kernel.mm();
      kernel.vma(mm, 0x40_0000, 0x50_0000, 5);
      kernel.processes([{ pid: 1, name: "init", mm }, { pid: 2, name: "kthreadd", flags: 0x20_0000 }, {
        pid: 3,
        name: "x",
      }]);
      const memory = new PhysicalMemory(kernel.ram);
      memory.refresh();
      const whole = findLinux(memory);
      assert(whole.found);
      const mapped = kernel.ram.segments[0]?.mapped;
      assert(mapped !== undefined);
      const words = new DataView(mapped.buffer, mapped.byteOffset);
      const pages: number[] = [];
      for (let at = 0; at < words.byteLength; at += 4096) {
        let any = false;
        for (let i = 0; i < 4096 && !any; i += 8) any = words.getUint32(at + i, true) !== 0;
        if (any) pages.push(at);
      }
      let found = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const repair = damage(random, words, pages);
        memory.refresh();
        const result = findLinux(memory);
        if (result.found) {
          found++;
          askAll(result.os);
        } else assert(result.detail !== "");
        for (let i = 0; i < LOOKS; i++) {
          const more = damage(random, words, pages);
          askAll(whole.os);
          more();
        }
        repair();
      }
      assert(found > ROUNDS / 10 && found < ROUNDS, `${found} of ${ROUNDS} were found`);
    });
  });
}

/** What a word becomes: nothing, all ones, its neighbour, its own object, another one, wild ones. */
function wordChoices(old: bigint, own: bigint, other: bigint): bigint[] {
  const up = BigInt.asUintN(64, old + 8n);
  return [0n, 2n ** 64n - 1n, up, own, other, old ^ (1n << 47n), old | 0xffff_ffffn, 0xffff_8000_0000_0000n];
}

Deno.test("every field of files, sockets, mounts, log, threads and module symbols may lie", () => {
  withSeed((random) => {
    const kernel = new SyntheticLinux({ insight: true });
    const { mm } = kernel.mm();
    const [task = 0] = kernel.processes([{ pid: 1, name: "init", mm }]);
    const { objects } = fillInsight(kernel, task, mm, kernel.symbols.get("prb") ?? 0);
    const memory = new PhysicalMemory(kernel.ram);
    memory.refresh();
    const whole = findLinux(memory);
    assert(whole.found);
    const { os } = whole;
    const init = os.process(1);
    assert(init !== undefined);
    const base = kernel.direct + 0x10_0000;
    const met = new Set<string>();
    const ask = (): void => {
      askInsight(os);
      const threads = os.threadsOf(init);
      assert(threads.items.length >= 1 && threads.items.length <= 65_536);
      met.add(threads.end.complete ? "threads" : `threads: ${threads.end.reason}`);
      assert(os.auxvOf(init).length <= 1024);
      met.add(os.symbol("e1000:e1000_open") === undefined ? "no symbol" : "symbol");
      const nearest = os.nearestSymbol(base + 0x200);
      assert(nearest === undefined || (nearest.offsetBytes >= 0 && nearest.name.length <= 512));
      const modules = os.modules();
      met.add(modules.end.complete ? "modules" : `modules: ${modules.end.reason}`);
    };
    ask();
    const words = kernel.ram.bytes(0, 64 * 2 ** 20);
    const view = new DataView(words.buffer, words.byteOffset, words.length);
    let damaged = 0;
    for (const [va, sizeBytes] of objects) {
      const gpa = kernel.gpa(va);
      for (let at = gpa; at + 8 <= gpa + sizeBytes; at += 8) {
        const old = view.getBigUint64(at, true);
        // What is zero and no field's is damaged now and then.
        if (old === 0n && !random.oneIn(16)) continue;
        const [other = 0] = objects[random.below(objects.length)] ?? [];
        const own = BigInt.asUintN(64, BigInt(va));
        for (const value of wordChoices(old, own, BigInt.asUintN(64, BigInt(other)))) {
          view.setBigUint64(at, value, true);
          ask();
          damaged++;
        }
        view.setBigUint64(at, old, true);
      }
    }
    assert(damaged > 500, `${damaged} words were damaged`);
    for (const what of ["threads: wild-pointer", "no symbol", "symbol", "modules: wild-pointer"]) {
      assert(met.has(what), `${what} was met: ${[...met]}`);
    }
  });
});
