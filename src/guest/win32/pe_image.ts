/**
 * A PE32+ image in memory: its headers and its export directory. Nothing in it is trusted: each address is
 * checked against the image's size, counts are bounded, and if a page cannot be read (paged out, or not
 * mapped under VBS), only its contents are missing.
 *
 * It reads no relocations, imports or debug data, and no images in the layout of a file.
 * @module
 */
import { MAX_PE_EXPORTS, MAX_PE_IMAGE_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import type { NearestSymbol } from "../guest_os.ts";

const MZ = 0x5a4d;
const PE_SIGNATURE = 0x4550;
const OPTIONAL_PE32_PLUS = 0x20b;
const MACHINE_AMD64 = 0x8664;
const MAX_LFANEW = 0x800;
const EXPORT_DIRECTORY_BYTES = 40;
const NAME_BYTES = 512;
const CHUNK_BYTES = 4096;

/** A mapped image's headers. */
export interface PeImage {
  /** Where it is loaded. */
  readonly base: number;
  /** SizeOfImage, as it claims. */
  readonly sizeBytes: number;
  /** The linker's time stamp (or hash): tells builds apart. */
  readonly timeDateStamp: number;
  /** Export directory: offset from the base; 0 for none. */
  readonly exportsAt: number;
  /** Export directory: its size, as the header claims. */
  readonly exportsBytes: number;
}

/** Reads the headers of an x86-64 image; undefined when there is none at this address. */
export function readPeImage(space: AddressSpace, base: number): PeImage | undefined {
  if (space.readU16(base) !== MZ) return undefined;
  const lfanew = space.readU32(base, 0x3c);
  // NaN fails every comparison, and so ends here too.
  if (!(lfanew >= 0x40 && lfanew <= MAX_LFANEW)) return undefined;
  if (space.readU32(base, lfanew) !== PE_SIGNATURE) return undefined;
  if (space.readU16(base, lfanew + 4) !== MACHINE_AMD64) return undefined;
  if (space.readU16(base, lfanew + 24) !== OPTIONAL_PE32_PLUS) return undefined;
  const timeDateStamp = space.readU32(base, lfanew + 8);
  const sizeBytes = space.readU32(base, lfanew + 24 + 56);
  const directories = space.readU32(base, lfanew + 24 + 108);
  if (!(sizeBytes >= 0x1000 && sizeBytes <= MAX_PE_IMAGE_BYTES)) return undefined;
  let exportsAt = 0;
  let exportsBytes = 0;
  if (directories >= 1) {
    exportsAt = space.readU32(base, lfanew + 24 + 112);
    exportsBytes = space.readU32(base, lfanew + 24 + 116);
  }
  if (!isWithin(exportsAt, EXPORT_DIRECTORY_BYTES, sizeBytes)) exportsAt = exportsBytes = 0;
  return { base, sizeBytes, timeDateStamp, exportsAt, exportsBytes };
}

/** The name that an image's export directory gives it; undefined when it has none or it does not read. */
export function exportName(space: AddressSpace, image: PeImage): string | undefined {
  if (image.exportsAt === 0) return undefined;
  const at = space.readU32(image.base, image.exportsAt + 12);
  return isWithin(at, 1, image.sizeBytes) ? nameAt(space, image, at) : undefined;
}

/** An image's exports: read once, in bulk. */
export class PeExports {
  /** Number of the directory's names that could not be read, or point outside of the image. */
  readonly lost: number;
  readonly #addresses: Map<string, number> = new Map();
  #sorted: readonly (readonly [number, string])[] | undefined;
  readonly #image: PeImage;

  /**
   * Reads the directory; one that does not read is empty.
   *
   * @param space where the image is mapped
   * @param image its headers
   */
  constructor(space: AddressSpace, image: PeImage) {
    this.#image = image;
    let lost = 0;
    const { base, exportsAt, exportsBytes, sizeBytes } = image;
    const functions = exportsAt === 0 ? 0 : countOf(space.readU32(base, exportsAt + 20));
    const names = exportsAt === 0 ? 0 : countOf(space.readU32(base, exportsAt + 24));
    const functionsAt = space.readU32(base, exportsAt + 28);
    const addressOf = table(space, image, functionsAt, functions, 4);
    const nameOf = table(space, image, space.readU32(base, exportsAt + 32), names, 4);
    const ordinalOf = table(space, image, space.readU32(base, exportsAt + 36), names, 2);
    for (let i = 0; i < names; i++) {
      const address = addressOf(ordinalOf(i));
      const at = nameOf(i);
      // An address within the directory is a forwarder's text, not an address in this image.
      const forwarded = address >= exportsAt && address < exportsAt + exportsBytes;
      const name = isWithin(at, 1, sizeBytes) ? nameAt(space, image, at) : undefined;
      if (name === undefined || name === "" || !isWithin(address, 1, sizeBytes)) lost++;
      else if (!forwarded) this.#addresses.set(name, base + address);
    }
    this.lost = lost;
  }

  /** How many exports have an address in the image. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Address of an export. */
  lookup(name: string): number | undefined {
    return this.#addresses.get(name);
  }

  /** The last export at or below an address of the image. */
  nearest(address: number): NearestSymbol | undefined {
    const { base, sizeBytes } = this.#image;
    if (!(address >= base && address < base + sizeBytes)) return undefined;
    this.#sorted ??= [...this.#addresses].map(([name, at]) => [at, name] as const).sort((a, b) =>
      a[0] - b[0]
    );
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as readonly [number, string])[0] <= address) low = middle + 1;
      else high = middle;
    }
    const found = this.#sorted[low - 1];
    return found && { name: found[1], address: found[0], offsetBytes: address - found[0] };
  }
}

/** Whether `bytes` at `at` lie within an image of `sizeBytes`, past its first bytes. */
function isWithin(at: number, bytes: number, sizeBytes: number): boolean {
  return at > 0 && at + bytes <= sizeBytes;
}

function countOf(claimed: number): number {
  return claimed > 0 ? Math.min(claimed, MAX_PE_EXPORTS) : 0;
}

/** Copies a table of u32 or u16 out of the image; what does not read is NaN. */
function table(
  space: AddressSpace,
  image: PeImage,
  at: number,
  count: number,
  width: 2 | 4,
): (index: number) => number {
  const room = at > 0 && at < image.sizeBytes ? Math.floor((image.sizeBytes - at) / width) : 0;
  const length = Math.min(count, room) * width;
  const bytes = new Uint8Array(length);
  const readable = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const place = image.base + at + done;
    const n = Math.min(length - done, CHUNK_BYTES - (((place % CHUNK_BYTES) + CHUNK_BYTES) % CHUNK_BYTES));
    readable.fill(1, done, done + space.read(place, bytes, done, n));
    done += n;
  }
  const view = new DataView(bytes.buffer);
  return (index) => {
    const first = index * width;
    // The last entry of a page may lie half on the next one. NaN, which an unreadable ordinal is, fails here.
    if (!(readable[first] === 1 && readable[first + width - 1] === 1)) return Number.NaN;
    return width === 4 ? view.getUint32(first, true) : view.getUint16(first, true);
  };
}

function nameAt(space: AddressSpace, image: PeImage, at: number): string | undefined {
  return space.cstring(image.base + at, Math.min(NAME_BYTES, image.sizeBytes - at));
}
