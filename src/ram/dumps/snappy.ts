/**
 * Decompresses Snappy's block format (google/snappy, format_description.txt): a length, then literals and
 * copies of earlier output.
 * @module
 */

/**
 * The decompressed length of a block.
 *
 * @param input the block
 * @returns the length in bytes and the offset of the contents; undefined if the length is not terminated
 */
export function snappyLength(
  input: Uint8Array,
): { readonly sizeBytes: number; readonly first: number } | undefined {
  let sizeBytes = 0;
  for (let i = 0; i < 5 && i < input.length; i++) {
    const byte = input[i] as number;
    sizeBytes += (byte & 0x7f) * 2 ** (7 * i);
    if ((byte & 0x80) === 0) return { sizeBytes, first: i + 1 };
  }
  return undefined;
}

/**
 * Decompresses a block.
 *
 * @param input the block
 * @param into receives the output, which must have exactly this length
 * @returns whether it is a complete and valid block of that length
 */
export function unpackSnappy(input: Uint8Array, into: Uint8Array): boolean {
  const length = snappyLength(input);
  if (length === undefined || length.sizeBytes !== into.length) return false;
  let at = length.first;
  let out = 0;
  while (at < input.length) {
    const tag = input[at++] as number;
    const kind = tag & 3;
    let size = (tag >>> 2) + 1;
    if (kind === 0) {
      if (size > 60) {
        // One to four bytes of length follow.
        const bytes = size - 60;
        if (at + bytes > input.length) return false;
        size = 1;
        for (let i = 0; i < bytes; i++) size += (input[at++] as number) * 2 ** (8 * i);
      }
      if (at + size > input.length || out + size > into.length) return false;
      into.set(input.subarray(at, at + size), out);
      at += size;
      out += size;
      continue;
    }
    const bytes = kind === 1 ? 1 : kind === 2 ? 2 : 4;
    if (at + bytes > input.length) return false;
    let distance = 0;
    for (let i = 0; i < bytes; i++) distance += (input[at++] as number) * 2 ** (8 * i);
    if (kind === 1) {
      size = (tag >>> 2 & 7) + 4;
      distance += (tag >>> 5) * 256;
    }
    if (distance === 0 || distance > out || out + size > into.length) return false;
    // Byte by byte, because a copy may overlap its own output.
    for (const end = out + size; out < end; out++) into[out] = into[out - distance] as number;
  }
  return out === into.length;
}
