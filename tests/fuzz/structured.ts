/**
 * Wrong inputs by structure: a valid value (a map of CBOR, an object of JSON) in which some members are
 * replaced by what programs do not expect, left out, or joined by others; written by writers of our own,
 * because the libraries do not write what is wrong.
 * @module
 */
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, bytesOf } from "./mutate.ts";

/** A value in the middle of which stands something that is written as it is. */
class Raw {
  readonly cbor: readonly number[];
  readonly json: string;

  constructor(cbor: readonly number[], json: string) {
    this.cbor = cbor;
    this.json = json;
  }
}

/** Names that mean something to JavaScript. */
const NAMES = [
  "__proto__",
  "constructor",
  "toString",
  "valueOf",
  "toJSON",
  "then",
  "length",
  "",
  "0",
  "a\0b",
  "\u202e",
];
const NUMBERS = [
  0,
  1,
  -1,
  3,
  4,
  64,
  255,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1.5,
  1e300,
];
const ODD: readonly Raw[] = [
  new Raw([0xf7], "null"), // undefined
  new Raw([0xf9, 0x7e, 0], "1e999"), // NaN, infinity
  new Raw([0xfb, 0x80, 0, 0, 0, 0, 0, 0, 0], "-0"),
  new Raw([0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615"),
  new Raw([0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "-18446744073709551616"),
  new Raw([0x62, 0xc3, 0x28], '"\\ud800"'), // text that is not UTF-8; half a pair
  new Raw([0xc1, 0], '"\\u0000\\u001b[2J"'),
  new Raw([0xd9, 0xd9, 0xf7, 0], "01"),
  new Raw([0x5a, 0xff, 0xff, 0xff, 0xff], '"'),
  new Raw([0x9f, 0xff], "[,]"),
  new Raw([0xa1, 0x80, 0x80], '{"a":1,"a":2}'),
  new Raw([0xa2, 0x61, 0x61, 0, 0x61, 0x61, 1], "{}"),
];
const MOST_LEVELS = 30_000;

/** A value that is not what was expected. */
function odd(random: SeededRandom, depth: number): unknown {
  switch (random.below(12)) {
    case 0:
    case 1:
      return NUMBERS[random.below(NUMBERS.length)];
    case 2:
    case 3:
      return ODD[random.below(ODD.length)];
    case 4:
      return [true, false, null][random.below(3)];
    case 5:
      return "x".repeat(random.oneIn(200) ? 65_000 : random.below(300));
    case 6:
      return NAMES[random.below(NAMES.length)];
    case 7:
      return new Uint8Array(random.oneIn(200) ? 60_000 : random.below(64));
    case 8:
      return random.oneIn(30) ? deep(random) : [];
    case 9:
      return depth > 4 ? [] : Array.from({ length: random.below(4) }, () => odd(random, depth + 1));
    default: {
      if (depth > 4) return {};
      const entries = Array.from(
        { length: 1 + random.below(2) },
        () => [nameOf(random), odd(random, depth + 1)] as const,
      );
      return new Map(entries);
    }
  }
}

/** Lists within lists, or maps within maps. */
function deep(random: SeededRandom): Raw {
  const levels = random.below(random.oneIn(2) ? 100 : MOST_LEVELS);
  return random.oneIn(2)
    ? new Raw([...new Array(levels).fill(0x81), 0], "[".repeat(levels) + "0" + "]".repeat(levels))
    : new Raw(
      [...new Array(levels).fill([0xa1, 0x61, 0x61]).flat(), 0],
      '{"a":'.repeat(levels) + "0" + "}".repeat(levels),
    );
}

function nameOf(random: SeededRandom): string {
  return NAMES[random.below(NAMES.length)] as string;
}

/** A copy of a value (of maps, lists and scalars) with something wrong in it, one to three times. */
export function withDefects(random: SeededRandom, value: unknown): unknown {
  let out = value;
  for (let i = random.below(3); i >= 0; i--) out = withDefect(random, out, 0);
  return out;
}

function withDefect(random: SeededRandom, value: unknown, depth: number): unknown {
  const isList = Array.isArray(value);
  const isMap = typeof value === "object" && value !== null && !isList && !(value instanceof Uint8Array) &&
    !(value instanceof Raw);
  if ((!isList && !isMap) || random.oneIn(12 + 12 * depth)) return odd(random, 0);
  const entries: (readonly [string, unknown])[] = isList
    ? value.map((item) => ["", item] as const)
    : value instanceof Map
    ? [...value]
    : Object.entries(value);
  const at = random.below(entries.length + 1);
  const [name, item] = entries[at] ?? [nameOf(random), undefined];
  const choice = at === entries.length ? 0 : random.below(10);
  if (choice === 0) entries.splice(at, 0, [isList ? "" : nameOf(random), odd(random, 0)]);
  else if (choice === 1) entries.splice(at, 1);
  else if (choice === 2) entries[at] = [nameOf(random), item];
  else entries[at] = [name, withDefect(random, item, depth + 1)];
  return isList ? entries.map(([, each]) => each) : new Map(entries);
}

/** A value as CBOR. */
export function cborBytes(value: unknown): Bytes {
  const out: number[] = [];
  writeCbor(out, value);
  return new Uint8Array(out);
}

function writeCbor(out: number[], value: unknown): void {
  if (value instanceof Raw) return append(out, value.cbor);
  if (value instanceof Uint8Array) {
    head(out, 2, value.length);
    return append(out, value);
  }
  if (Array.isArray(value)) {
    head(out, 4, value.length);
    for (const item of value) writeCbor(out, item);
    return;
  }
  switch (typeof value) {
    case "string": {
      const bytes = bytesOf(value);
      head(out, 3, bytes.length);
      return append(out, bytes);
    }
    case "boolean":
      return void out.push(value ? 0xf5 : 0xf4);
    case "bigint":
      return head(out, value < 0n ? 1 : 0, Number(value < 0n ? -1n - value : value));
    case "number":
      if (Number.isSafeInteger(value)) return head(out, value < 0 ? 1 : 0, value < 0 ? -1 - value : value);
      out.push(0xfb);
      return append(out, new Uint8Array(new BigUint64Array([bits(value)]).buffer).reverse());
    default: {
      if (value === null || value === undefined) return void out.push(0xf6);
      const entries = value instanceof Map ? [...value] : Object.entries(value as object);
      head(out, 5, entries.length);
      for (const [name, item] of entries) {
        writeCbor(out, name);
        writeCbor(out, item);
      }
    }
  }
}

/** Not `push(...bytes)`: 60,000 arguments are too many. */
function append(out: number[], bytes: Iterable<number>): void {
  for (const byte of bytes) out.push(byte);
}

function bits(value: number): bigint {
  return new BigUint64Array(new Float64Array([value]).buffer)[0] as bigint;
}

function head(out: number[], major: number, count: number): void {
  const top = major << 5;
  if (count < 24) out.push(top | count);
  else if (count < 0x100) out.push(top | 24, count);
  else if (count < 0x1_0000) out.push(top | 25, count >>> 8, count & 0xff);
  else if (count < 2 ** 32) {
    out.push(top | 26);
    for (let shift = 24; shift >= 0; shift -= 8) out.push((count >>> shift) & 0xff);
  } else {
    out.push(top | 27);
    for (let shift = 56n; shift >= 0n; shift -= 8n) out.push(Number((BigInt(count) >> shift) & 0xffn));
  }
}

/** A value as JSON. */
export function jsonText(value: unknown): string {
  if (value instanceof Raw) return value.json;
  if (value instanceof Uint8Array) return JSON.stringify("\u00ff".repeat(value.length));
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${jsonText(item)}`).join(",")}}`;
}

/**
 * Heads of CBOR items, for mutations of bytes: endless strings, lengths past the end, tags, simple values.
 */
export const CBOR_WORDS: readonly (readonly number[])[] = [
  ...ODD.map((each) => each.cbor),
  [0x5b, 0, 0, 0, 1, 0, 0, 0, 0],
  [0x5f],
  [0x7a, 0x7f, 0xff, 0xff, 0xff],
  [0x7f],
  [0x9b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xba, 0xff, 0xff, 0xff, 0xff],
  [0xbf],
  [0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  [0xf8, 0xff],
  [0xff],
];

/** Levels of nesting in CBOR: lists, maps, tags, endless ones. */
export const CBOR_OPENERS: readonly (readonly number[])[] = [
  [0x81],
  [0x9f],
  [0xa1, 0x61, 0x61],
  [0xa1, 0x80],
  [0xbf, 0x61, 0x61],
  [0xc1],
];

/** Levels of nesting in JSON. */
export const JSON_OPENERS: readonly string[] = ["[", '{"a":', "[[", '[{"":'];
