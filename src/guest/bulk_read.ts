/**
 * Reads a large kernel table at once: pages that are adjacent in RAM as well as in the address space, as in a
 * kernel's image, are copied together. Copying a single page costs as much as its translation, and the first
 * look at a kernel reads about 1,800.
 * @module
 */
import type { AddressSpace } from "./address_space.ts";
import { PAGE_BYTES } from "./physical_memory.ts";

/**
 * Copies bytes as far as pages are mapped and have RAM, like `read` of the address space.
 *
 * @param space the address space
 * @param gva first address
 * @param into receives the bytes
 * @returns how many were copied
 */
export function readBulk(space: AddressSpace, gva: number, into: Uint8Array): number {
  const { memory } = space;
  const skip = ((gva % PAGE_BYTES) + PAGE_BYTES) % PAGE_BYTES;
  const head = Math.min(into.length, skip === 0 ? 0 : PAGE_BYTES - skip);
  let done = space.read(gva, into, 0, head);
  if (done < head) return done;
  while (done < into.length) {
    const frame = space.translate(gva + done) / PAGE_BYTES;
    if (frame < 0 || !memory.isHeld(frame) || !memory.locate(frame)) {
      // A hole, or the end.
      const n = Math.min(PAGE_BYTES, into.length - done);
      const have = space.read(gva + done, into, done, n);
      done += have;
      if (have < n) return done;
      continue;
    }
    const start = memory.wordBase * 4;
    const bytes = memory.locatedBytes(frame);
    let pages = 1;
    while (
      done + pages * PAGE_BYTES < into.length && start + (pages + 1) * PAGE_BYTES <= bytes.length &&
      space.translate(gva + done + pages * PAGE_BYTES) === (frame + pages) * PAGE_BYTES &&
      memory.isHeld(frame + pages)
    ) pages++;
    const n = Math.min(pages * PAGE_BYTES, into.length - done);
    into.set(bytes.subarray(start, start + n), done);
    done += n;
  }
  return done;
}
