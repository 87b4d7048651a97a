/** Values of types, taken apart: every shape of type, pointers followed, and what goes in circles. @module */
import { assert, assertEquals } from "@std/assert";
import { MAX_VALUES } from "../../../src/base/limits.ts";
import { AddressSpace } from "../../../src/guest/address_space.ts";
import { KernelTypes } from "../../../src/guest/linux/kernel_types.ts";
import { readValue, type ValueSource } from "../../../src/guest/linux/value_reader.ts";
import { pagingOf } from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";
import type { TypedValue, ValueOptions } from "../../../src/guest/typed_value.ts";
import { BtfWriter } from "../../fixtures/btf_writer.ts";
import { TableBuilder } from "../../fixtures/table_builder.ts";

const MIB = 2 ** 20;
/** Two pages at this address are mapped; what is behind them is not. */
const BASE = -0x7fff_0000;

function make(btf: BtfWriter): { ram: SyntheticRam; source: ValueSource } {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 4 * MIB }]);
  const tables = new TableBuilder(ram, pagingOf(4), 2 * MIB);
  const root = tables.page();
  tables.mapRange(root, BASE, 0x8000, 0x2000);
  const memory = new PhysicalMemory(ram);
  memory.refresh();
  const types = KernelTypes.parse(btf.bytes());
  assert(!("unsupported" in types), JSON.stringify(types));
  const space = new AddressSpace(memory, pagingOf(4), root);
  const nearestSymbol = (address: number) =>
    address >= BASE && address < BASE + 0x100
      ? { name: "start", address: BASE, offsetBytes: address - BASE }
      : undefined;
  return { ram, source: { space, types, nearestSymbol } };
}

function read(source: ValueSource, name: string, address: number, options?: ValueOptions): TypedValue {
  return readValue(source, source.types.find(name) as number, address, options);
}

function member(value: TypedValue | "seen" | "too-many" | undefined, ...path: string[]): TypedValue {
  assert(typeof value === "object", `${value}`);
  let at: TypedValue = value;
  for (const name of path) {
    assert(at.kind === "struct" || at.kind === "union", at.kind);
    const found = at.members.find((one) => one.name === name);
    assert(found !== undefined, `${name} is a member of ${at.type}`);
    at = found.value;
  }
  return at;
}

Deno.test("numbers, truth values, enumerations, texts, bit fields, unions and arrays are told as they are", () => {
  const btf = new BtfWriter();
  const [int, u64, bool, char] = [
    btf.int("int", 4, 1),
    btf.int("u64", 8),
    btf.int("bool", 1, 4),
    btf.int("char", 1, 1),
  ];
  const mode = btf.enumeration("mode", { SLEEPING: 1, RUNNING: 2 });
  const flag = btf.typedef("flag_t", int);
  const either = btf.record("union", "either", 8, [["word", u64, 0], ["half", int, 0]]);
  btf.record("struct", "thing", 96, [
    ["low", flag, 0, 3],
    ["signed", int, 3, 4],
    ["on", bool, 64, 0],
    ["mode", mode, 96, 0],
    ["odd", mode, 128, 0],
    ["big", u64, 192, 0],
    ["name", btf.array(char, 16), 256, 0],
    ["three", btf.array(int, 3), 384, 0],
    ["either", either, 512, 0],
    ["ratio", btf.array(int, 0), 576, 0],
  ]);
  const { ram, source } = make(btf);
  ram.put32(0x8000, 0b1001_101);
  ram.put32(0x8008, 1);
  ram.put32(0x800c, 2);
  ram.put32(0x8010, 7);
  ram.put64(0x8018, 0xffff_ffff, 0xffff_fffe);
  ram.putText(0x8020, 'a\x1b"');
  [1, -2, 3].forEach((value, i) => ram.put32(0x8030 + 4 * i, value));
  ram.put64(0x8040, 1, 0xffff_ffff);
  const thing = read(source, "struct thing", BASE);
  assertEquals(member(thing, "low"), { kind: "integer", type: "flag_t", value: -3n });
  assertEquals(member(thing, "signed"), { kind: "integer", type: "int", value: -7n });
  assertEquals(member(thing, "on"), { kind: "boolean", type: "bool", value: true });
  assertEquals(member(thing, "mode"), { kind: "enumeration", type: "enum mode", value: 2n, name: "RUNNING" });
  assertEquals(member(thing, "odd"), { kind: "enumeration", type: "enum mode", value: 7n, name: undefined });
  assertEquals(member(thing, "big"), { kind: "integer", type: "u64", value: 2n ** 64n - 2n });
  assertEquals(member(thing, "name"), { kind: "text", type: "char [16]", text: 'a\x1b"' });
  const three = member(thing, "three");
  assert(three.kind === "array" && three.count === 3);
  assertEquals(three.elements.map((one) => one.kind === "integer" && one.value), [1n, -2n, 3n]);
  assertEquals(member(thing, "either", "word"), { kind: "integer", type: "u64", value: 2n ** 33n - 1n });
  assertEquals(member(thing, "either", "half"), { kind: "integer", type: "int", value: -1n });
});

Deno.test("pointers are followed by name or by path, once each, and lists that go in a circle end", () => {
  const btf = new BtfWriter();
  const char = btf.int("char", 1, 1);
  const node = btf.next + 2;
  const [toNode, toChar] = [btf.pointer(node), btf.pointer(char)];
  btf.record("struct", "node", 32, [["next", toNode, 0], ["name", toChar, 64], ["back", toNode, 128]]);
  const { ram, source } = make(btf);
  const at = (i: number) => BASE + 0x1000 * 0 + 0x40 * i;
  for (let i = 0; i < 3; i++) {
    ram.putNumber(0x8000 + 0x40 * i, at((i + 1) % 3));
    ram.putNumber(0x8010 + 0x40 * i, at((i + 2) % 3));
  }
  ram.putNumber(0x8008, BASE + 0x200);
  ram.putText(0x8200, "first");
  const plain = read(source, "node", BASE);
  assertEquals(member(plain, "next"), {
    kind: "pointer",
    type: "struct node *",
    address: at(1),
    symbol: "start+0x40",
    text: undefined,
    target: undefined,
  });
  const name = member(plain, "name");
  assert(name.kind === "pointer" && name.text === "first" && name.symbol === undefined);
  const list = read(source, "node", BASE, { follow: ["next"] });
  const third = member(list, "next");
  assert(third.kind === "pointer");
  const second = member(third.target, "next");
  assert(second.kind === "pointer");
  const last = member(second.target, "next");
  assert(last.kind === "pointer" && last.target === "seen", "the circle is closed");
  const path = read(source, "node", BASE, { follow: ["next", "next.back"] });
  const back = member(path, "back");
  assert(back.kind === "pointer" && back.target === undefined, "only next.back was asked for");
  const inner = member(path, "next");
  assert(inner.kind === "pointer");
  const innerBack = member(inner.target, "back");
  assert(innerBack.kind === "pointer" && innerBack.target === "seen");
});

Deno.test("what is not mapped is told as such, also in the middle of a structure", () => {
  const btf = new BtfWriter();
  const u64 = btf.int("u64", 8);
  btf.record("struct", "pair", 16, [["one", u64, 0], ["two", u64, 64]]);
  const { ram, source } = make(btf);
  ram.put64(0x9ff8, 0, 5);
  const pair = read(source, "pair", BASE + 0x1ff8);
  assertEquals(member(pair, "one"), { kind: "integer", type: "u64", value: 5n });
  assertEquals(member(pair, "two"), { kind: "unreadable", type: "u64" });
  assertEquals(read(source, "u64", 0x1000), { kind: "unreadable", type: "u64" });
});

Deno.test("a structure that contains itself ends", () => {
  const btf = new BtfWriter();
  const self = btf.next;
  btf.record("struct", "knot", 64, Array.from({ length: 40 }, (_, i) => [`m${i}`, self, 8 * i] as const));
  const deep = btf.array(btf.array(btf.array(btf.array(self, 100), 100), 100), 100);
  btf.record("struct", "deep", 64, [["all", deep, 0]]);
  const { source } = make(btf);
  const count = (value: TypedValue): number =>
    1 +
    (value.kind === "struct"
      ? value.members.reduce((sum, one) => sum + count(one.value), 0)
      : value.kind === "array"
      ? value.elements.reduce((sum, one) => sum + count(one), 0)
      : 0);
  for (const name of ["knot", "deep"]) {
    const values = count(read(source, name, BASE));
    assert(values > 100 && values <= MAX_VALUES + 100, `${values} values`);
  }
});
