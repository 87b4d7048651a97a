/**
 * An event as fields with names: what `watch --json`, `record` and the client library show. Driven by the
 * layout tables; addresses and masks become "0x…" strings, counts stay numbers.
 * @module
 */
import { codeName } from "../base/codes.ts";
import { hexOfBytes } from "../base/hex.ts";
import { type Field, readScalar } from "../base/layout.ts";
import { INPUT_HELD_ENTRIES } from "./body_number.ts";
import { isTextField, readText } from "./inline_text.ts";
import { KIND, kindName } from "./kind.ts";
import { LAYOUT_OF_KIND } from "./kind_layout.ts";

/** A described value. */
export type Described = number | string | boolean | readonly unknown[] | {
  readonly [field: string]: Described;
};

const ADDRESSES: ReadonlySet<string> = new Set(["kcr3", "gva"]);

/**
 * The fields of an inline zone by their names in camelCase.
 *
 * @param kind the event's kind
 * @param inline its 48 bytes
 * @returns an empty object for kinds without inline fields
 */
export function describeInline(kind: number, inline: Uint8Array): Record<string, Described> {
  const table = LAYOUT_OF_KIND[kind];
  const out: Record<string, Described> = {};
  if (table === undefined) return out;
  const view = new DataView(inline.buffer, inline.byteOffset, inline.byteLength);
  for (const name in table.fields) {
    out[name] = describeField(name, table.fields[name] as Field, view, inline);
  }
  if (kind === KIND.INPUT_HELD) out["entries"] = heldEntries(view);
  if (kind === KIND.ACT_ACK) {
    out["ok"] = view.getUint32(0, true) === 1;
    out["codeName"] = codeName(view.getUint32(4, true));
    out["cmdName"] = kindName(view.getUint32(8, true));
  }
  if (kind === KIND.ERROR) out["codeName"] = codeName(view.getUint32(0, true));
  return out;
}

function describeField(name: string, field: Field, view: DataView, inline: Uint8Array): Described {
  const [offset, type, count = 1] = field;
  if (type === "bytes") {
    return isTextField(name) || name === "device"
      ? readText(inline, offset, count)
      : hexOfBytes(inline.subarray(offset, offset + count));
  }
  return type === "u64" && ADDRESSES.has(name) ? hexOfU64(view, offset) : readScalar(view, offset, type);
}

function hexOfU64(view: DataView, offset: number): string {
  return "0x" + view.getBigUint64(offset, true).toString(16);
}

function heldEntries(view: DataView): Described[] {
  const count = Math.min(view.getUint32(0, true), INPUT_HELD_ENTRIES);
  const entries: Described[] = [];
  for (let i = 0; i < count; i++) {
    entries.push({ kind: view.getUint16(8 + 4 * i, true), code: view.getUint16(10 + 4 * i, true) });
  }
  return entries;
}
