/**
 * `vmsig mem … print`: a value of one of the kernel's types, as text in a debugger's style or as JSON. All
 * names and texts come from the guest and are shown in the reversible form of table.ts.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { hexOfBytes } from "../../base/hex.ts";
import { hexOfGva } from "../../base/ids.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import type { PointerValue, RecordValue, TypedValue } from "../../guest/typed_value.ts";
import { addressOf, insightOf, known } from "./mem_insight.ts";
import type { Output } from "./output.ts";
import { visible } from "./table.ts";

const INDENT = "  ";
const MISSING = {
  unreadable: "(cannot be read)",
  "too-deep": "(nested too deep)",
  "too-many": "(left out: too many values)",
} as const;

/** `print`: a value of a type at an address. */
export function printValue(
  out: Output,
  json: boolean,
  os: GuestOs,
  { type, at, follow }: {
    readonly type: string;
    readonly at: number | string;
    readonly follow: readonly string[];
  },
): void {
  const value = insightOf(os).value(type, addressOf(os, at), { follow });
  if (value === undefined) {
    throw new Fault("bad-argument", `Cannot find type ${visible(type)} in the guest's kernel`);
  }
  const read = known(value, "read the kernel's types");
  const address = hexOfGva(addressOf(os, at));
  if (isUnreadable(read)) {
    const place = os.kernel.probe(addressOf(os, at));
    const why = place.ok ? "not in RAM" : place.reason;
    throw new Fault("not-mapped", `Cannot read ${visible(read.type)} at ${address}: it is ${why}`);
  }
  if (json) out.json({ address, ...asJson(read) as object });
  else for (const line of linesOf(read, `${visible(type)} @ ${address}`, 0)) out.line(line);
}

function isUnreadable(value: TypedValue): boolean {
  if (value.kind === "unreadable") return true;
  return (value.kind === "struct" || value.kind === "union") && value.members.length > 0 &&
    value.members.every((member) => isUnreadable(member.value));
}

/** A value's lines; the first has the given text in front. */
function* linesOf(value: TypedValue, head: string, depth: number): Generator<string, void, void> {
  const pad = INDENT.repeat(depth);
  const start = head === "" ? pad : `${pad}${head} = `;
  switch (value.kind) {
    case "struct":
    case "union":
      yield* recordLines(value, start, depth);
      return;
    case "array":
      if (value.elements.every(isPlain)) {
        const rest = value.count > value.elements.length
          ? [`… ${value.count - value.elements.length} more`]
          : [];
        yield `${start}[${[...value.elements.map(shortText), ...rest].join(", ")}]`;
        return;
      }
      yield `${start}[`;
      for (const [i, element] of value.elements.entries()) yield* linesOf(element, `[${i}]`, depth + 1);
      if (value.count > value.elements.length) {
        yield `${pad}${INDENT}… ${value.count - value.elements.length} more`;
      }
      yield `${pad}]`;
      return;
    case "pointer":
      if (typeof value.target !== "object") break;
      yield* linesOf(value.target, `${head} = ${pointerText(value)} ->`.replace(/^ = /, ""), depth);
      return;
  }
  yield start + shortText(value);
}

function* recordLines(value: RecordValue, start: string, depth: number): Generator<string, void, void> {
  const line = `${start.replace(/-> = $/, "-> ")}${visible(value.type)}`;
  yield `${line} {`;
  for (const { name, width, value: inner } of value.members) {
    const bits = width === 0 ? "" : ` : ${width}`;
    yield* linesOf(inner, `${visible(name)}${bits}`, depth + 1);
  }
  yield `${INDENT.repeat(depth)}}`;
}

function isPlain(value: TypedValue): boolean {
  if (value.kind === "pointer") return typeof value.target !== "object";
  return value.kind !== "struct" && value.kind !== "union" && value.kind !== "array";
}

/** A value that fits on one line. */
function shortText(value: TypedValue): string {
  switch (value.kind) {
    case "integer":
      return `${value.value}`;
    case "boolean":
      return `${value.value}`;
    case "enumeration":
      return value.name === undefined ? `${value.value}` : `${visible(value.name)} (${value.value})`;
    case "text":
      return quoted(value.text);
    case "pointer":
      return pointerText(value);
    case "bytes":
      return hexOfBytes(value.bytes);
    case "struct":
    case "union":
    case "array":
      return visible(value.type);
    default:
      return MISSING[value.kind];
  }
}

function pointerText({ address, symbol, text, target }: PointerValue): string {
  const parts = [hexOfGva(address)];
  if (symbol !== undefined) parts.push(`<${visible(symbol)}>`);
  if (text !== undefined) parts.push(quoted(text));
  if (target === "seen") parts.push("(shown elsewhere)");
  if (target === "too-many") parts.push("(not followed: enough were)");
  return parts.join(" ");
}

function quoted(text: string): string {
  return `"${visible(text).replaceAll('"', '\\"')}"`;
}

/** The same as JSON: numbers that a double does not hold are "0x…" (or "-0x…"). */
function asJson(value: TypedValue): unknown {
  const type = visible(value.type);
  switch (value.kind) {
    case "integer":
      return { type, value: numberOf(value.value) };
    case "boolean":
      return { type, value: value.value };
    case "enumeration":
      return {
        type,
        value: numberOf(value.value),
        name: value.name === undefined ? null : visible(value.name),
      };
    case "text":
      return { type, text: visible(value.text) };
    case "bytes":
      return { type, hex: hexOfBytes(value.bytes) };
    case "array":
      return { type, count: value.count, elements: value.elements.map(asJson) };
    case "pointer":
      return {
        type,
        pointer: hexOfGva(value.address),
        ...value.symbol === undefined ? {} : { symbol: visible(value.symbol) },
        ...value.text === undefined ? {} : { text: visible(value.text) },
        ...value.target === undefined
          ? {}
          : { target: typeof value.target === "string" ? value.target : asJson(value.target) },
      };
    case "struct":
    case "union":
      return {
        type,
        address: hexOfGva(value.address),
        members: value.members.map((member) => ({
          name: visible(member.name),
          offset: Math.floor(member.bits / 8),
          ...member.width === 0 ? {} : { bit: member.bits % 8, width: member.width },
          ...asJson(member.value) as object,
        })),
      };
    default:
      return { type, missing: value.kind };
  }
}

function numberOf(value: bigint): number | string {
  if (BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))) return Number(value);
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}
