/**
 * A kernel table in mapped RAM, without a copy: in a new process, allocating the copy's pages costs more than
 * reading. The contents belong to the guest and may change while they are read, so the reader checks what it
 * reads where it uses it.
 * @module
 */
import type { AddressSpace } from "./address_space.ts";
import { PAGE_BYTES } from "./physical_memory.ts";

/**
 * Bytes of an address space that lie in one piece of mapped RAM held by the host.
 *
 * @param space the address space
 * @param gva first address
 * @param length how many
 * @returns undefined if they lie in several pieces, or are not all held
 */
export function mappedBytes(space: AddressSpace, gva: number, length: number): Uint8Array | undefined {
  const { memory } = space;
  const start = space.translate(gva);
  if (!(start >= 0) || length < 1) return undefined;
  for (let done = 0; done < length;) {
    const place = space.probe(gva + done);
    if (!place.ok || place.gpa !== start + done) return undefined;
    // To the end of its page, however large that is.
    done += place.pageBytes - ((gva + done) % place.pageBytes + place.pageBytes) % place.pageBytes;
  }
  const skip = start % PAGE_BYTES;
  const first = (start - skip) / PAGE_BYTES;
  const pages = Math.ceil((skip + length) / PAGE_BYTES);
  if (!memory.locate(first)) return undefined;
  const at = memory.wordBase * 4;
  const bytes = memory.locatedBytes(first);
  if (at + pages * PAGE_BYTES > bytes.length || !memory.areHeld(first, pages)) return undefined;
  return bytes.subarray(at + skip, at + skip + length);
}
