/**
 * Fields of the opening's CBOR maps, each checked before it is used. A peer's map is hostile: its values are
 * looked at, never converted.
 * @module
 */
import { printable } from "../base/printable.ts";

/** Characters of what a peer said that are quoted to it or in the log. */
const MOST_QUOTED = 64;

/** A CBOR map whose keys are texts. */
export type CborMap = Readonly<Record<string, unknown>>;

/** Whether a decoded item is a map. */
export function isMap(value: unknown): value is CborMap {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
}

/** Whether a value is an unsigned integer of 32 bits. */
export function isU32(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

/** Whether a value is an unsigned integer that a double holds exactly. */
export function isUint(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/**
 * What a peer said in place of a number, as it may be quoted: never its own conversion to text, which may
 * throw or have no end.
 */
export function quoted(value: unknown): string {
  switch (typeof value) {
    case "number":
    case "bigint":
    case "boolean":
    case "undefined":
      return String(value);
    case "string":
      return JSON.stringify(printable(value, MOST_QUOTED));
    default:
      return value === null ? "null" : Array.isArray(value) ? "a list" : isMap(value) ? "a map" : "bytes";
  }
}

/** The beginning of a text, of so many bytes of UTF-8 at most. */
export function cut(text: string, bytes: number): string {
  const into = new Uint8Array(bytes);
  return text.slice(0, new TextEncoder().encodeInto(text, into).read);
}
