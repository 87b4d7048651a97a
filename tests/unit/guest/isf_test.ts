/** A kernel's types and symbols as volatility3 reads them. @module */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isfOf } from "../../../src/guest/linux/isf.ts";
import { KernelTypes } from "../../../src/guest/linux/kernel_types.ts";
import { BtfWriter } from "../../fixtures/btf_writer.ts";

const BANNER = new TextEncoder().encode("Linux version 6.1.0 (a@b)\n\0");

function tableOf(btf: BtfWriter, symbols: Readonly<Record<string, number>>): { text: string; json: Table } {
  const types = KernelTypes.parse(btf.bytes());
  assert(!("unsupported" in types));
  const parts = { types, symbols: new Map(Object.entries(symbols)), kernelOffset: 0x20_0000, banner: BANNER };
  const text = isfOf(parts);
  return { text, json: JSON.parse(text) };
}

interface Table {
  readonly base_types: Record<string, object>;
  readonly user_types: Record<string, { readonly fields: Record<string, object> }>;
  readonly enums: Record<string, object>;
  readonly symbols: Record<string, Record<string, unknown>>;
}

Deno.test("isf: fields, bit fields, pointers, arrays, nameless members, enumerations and functions", () => {
  const btf = new BtfWriter();
  const int = btf.int("int", 4, 1);
  const char = btf.int("char", 1, 1);
  const mode = btf.enumeration("mode", { IDLE: 0, BUSY: 7 });
  const inner = btf.record("union", "", 8, [["word", int, 0], ["link", btf.pointer(btf.next + 3), 0]]);
  const alias = btf.typedef("number_t", int);
  btf.record("struct", "thing", 64, [
    ["low", alias, 0, 3],
    ["next", int, 35, 4],
    ["", inner, 64],
    ["mode", mode, 128],
    ["text", btf.array(char, 16), 160],
    ["nothing", btf.pointer(0), 320],
  ]);
  btf.record("struct", "thing", 8, [["other", int, 0]]);
  const { json } = tableOf(btf, {});
  const base = (name: string) => ({ kind: "base", name });
  assertEquals(json.base_types["int"], { size: 4, kind: "int", signed: true, endian: "little" });
  assertEquals(json.base_types["char"], { size: 1, kind: "char", signed: true, endian: "little" });
  assertEquals(json.enums["mode"], { size: 4, base: "unsigned int", constants: { IDLE: 0, BUSY: 7 } });
  const bits = (bit_position: number, bit_length: number) => ({
    kind: "bitfield",
    bit_position,
    bit_length,
    type: base("int"),
  });
  assertEquals(json.user_types["thing"]?.fields, {
    low: { type: bits(0, 3), offset: 0 },
    next: { type: bits(3, 4), offset: 4 },
    unnamed_field_0: { type: { kind: "union", name: `unnamed_${inner}` }, offset: 8, anonymous: true },
    mode: { type: { kind: "enum", name: "mode" }, offset: 16 },
    text: { type: { kind: "array", count: 16, subtype: base("char") }, offset: 20 },
    nothing: { type: { kind: "pointer", subtype: base("void") }, offset: 40 },
  });
});

Deno.test("isf: addresses are of 64 bits and without KASLR, and a few have the types that are asked for", () => {
  const btf = new BtfWriter();
  const int = btf.int("int", 4, 1);
  btf.record("struct", "task_struct", 8, [["pid", int, 0]]);
  btf.record("struct", "taint_flag", 4, [["c", int, 0]]);
  const { text, json } = tableOf(btf, {
    init_task: -0x1000_0000,
    taint_flags: -0x0f00_0000,
    after: -0x0f00_0000 + 80,
    linux_banner: -0x0e00_0000,
    per_cpu: 0x1234,
    prb: -0x0d00_0000,
  });
  const task = { kind: "struct", name: "task_struct" };
  const flags = { kind: "array", count: 20, subtype: { kind: "struct", name: "taint_flag" } };
  assertStringIncludes(text, `"init_task":{"address":${0xffff_ffff_efe0_0000n},`);
  assertEquals(json.symbols["init_task"]?.["type"], task);
  assertEquals(json.symbols["taint_flags"]?.["type"], flags);
  assertEquals(json.symbols["per_cpu"], { address: 0x1234 });
  assertEquals(Object.keys(json.symbols["prb"] ?? {}), ["address"], "this kernel has no type of that name");
  assertEquals(atob(`${json.symbols["linux_banner"]?.["constant_data"]}`), "Linux version 6.1.0 (a@b)\n\0");
});

Deno.test("isf: types that lead to themselves, and names that are JavaScript's own, come to an end", () => {
  const btf = new BtfWriter();
  const circle = btf.pointer(btf.next);
  const knot = btf.typedef("knot", btf.next);
  btf.record("struct", "__proto__", 8, [["constructor", circle, 0], ["x", knot, 64], ["y", 9999, 128]]);
  const { json } = tableOf(btf, { __proto__x: -16, 'a"b': -8 });
  const fields = Object.getOwnPropertyDescriptor(json.user_types, "__proto__")?.value.fields;
  assertEquals(Object.keys(fields), ["constructor", "x", "y"]);
  assertEquals(fields.y.type, { kind: "base", name: "void" });
  assertEquals(Object.keys(json.symbols), ["__proto__x", 'a"b']);
});
