/**
 * Fixed-width text in an inline zone: UTF-8, NUL-padded, cut at a character's border.
 * @module
 */
/** Names of raw fields that are text, in any kind's inline zone. */
export const TEXT_FIELDS = ["name", "text", "ownerAs", "byAs"] as const;
/** One of them. */
export type TextField = (typeof TEXT_FIELDS)[number];
const TEXTS: ReadonlySet<string> = new Set(TEXT_FIELDS);

/** Whether a raw field is text. */
export function isTextField(name: string): boolean {
  return TEXTS.has(name);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const ELLIPSIS_BYTES = 3;

/** Writes `text` into `length` bytes at `offset`; what does not fit is cut between characters. */
export function writeText(bytes: Uint8Array, offset: number, length: number, text: string): void {
  bytes.fill(0, offset, offset + length);
  encoder.encodeInto(text, bytes.subarray(offset, offset + length));
}

/** Reads NUL-padded text; bytes that are not UTF-8 become U+FFFD. */
export function readText(bytes: Uint8Array, offset: number, length: number): string {
  let end = offset;
  while (end < offset + length && bytes[end] !== 0) end++;
  return decoder.decode(bytes.subarray(offset, end));
}

/**
 * Text in parts that each fit a zone, cut between characters.
 *
 * @param length bytes of a zone
 * @param most parts at most; of longer text the last one ends in "…"
 */
export function textParts(text: string, length: number, most: number): string[] {
  const room = new Uint8Array(length);
  const parts: string[] = [];
  let rest = text;
  while (rest !== "" && parts.length < most) {
    const { read } = encoder.encodeInto(rest, room);
    const isCut = parts.length === most - 1 && read < rest.length;
    const end = isCut ? encoder.encodeInto(rest, room.subarray(0, length - ELLIPSIS_BYTES)).read : read;
    parts.push(rest.slice(0, end) + (isCut ? "…" : ""));
    rest = rest.slice(read);
  }
  return parts;
}
