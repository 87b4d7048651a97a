/**
 * Fixed-width text in an inline zone: UTF-8, NUL-padded, cut at a character's border.
 * @module
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Writes `text` into `length` bytes at `offset`; what does not fit is cut between characters. */
export function writeText(bytes: Uint8Array, offset: number, length: number, text: string): void {
  bytes.fill(0, offset, offset + length);
  encoder.encodeInto(text, bytes.subarray(offset, offset + length));
}

/** Reads NUL-padded text; bytes that are no UTF-8 become U+FFFD. */
export function readText(bytes: Uint8Array, offset: number, length: number): string {
  let end = offset;
  while (end < offset + length && bytes[end] !== 0) end++;
  return decoder.decode(bytes.subarray(offset, end));
}
