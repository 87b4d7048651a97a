/**
 * RAM from VMware's files: NAME.vmem contains the memory; NAME.vmss (a suspended VM) or NAME.vmsn (a
 * snapshot) beside it contains, in its group "memory", which pages of the file are where. Without regions the
 * memory is a plain image (as in volatility3's VMware layer).
 * @module
 */
import { isOsError } from "../../../ffi/os_error.ts";
import { Fault } from "../../base/fault.ts";
import { readU64 } from "../../base/layout.ts";
import { MAX_CORE_SEGMENTS } from "../../base/limits.ts";
import { type ImageFile, openImageFile } from "../image_file.ts";
import { type FileSegment, SegmentFile } from "../segment_file.ts";
import { type DumpBytes, FileBytes, readWhole } from "./dump_bytes.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 12;
const GROUP_BYTES = 80;
const GROUP_NAME_BYTES = 64;
const MAX_GROUPS = 1024;
/** Number of tags of the group that are read: three per region, and some more. */
const MAX_TAGS = 4096;
/** A tag's length that means: the length follows. */
const LONG = 62;
const MAGICS = [0xbed2_bed0, 0xbad1_bad1, 0xbed2_bed2, 0xbed3_bed3];
const LATIN1 = new TextDecoder("latin1");

/** Whether a file's first bytes are those of a VMware state file. */
export function isVmwareState(head: Uint8Array<ArrayBuffer>): boolean {
  return MAGICS.includes(new DataView(head.buffer, head.byteOffset).getUint32(0, true));
}

/**
 * Opens NAME.vmem according to the file beside it.
 *
 * @param file the memory; owned by the image, closed also if this throws
 * @returns undefined, with the file left open, if no file beside it has regions: a plain image
 * @throws {Fault} `refused` when the state file cannot be read or describes memory that does not exist
 */
export function openVmem(file: ImageFile): SegmentFile | undefined {
  const stem = file.path.slice(0, -".vmem".length);
  const state = siblingOf(stem, ".vmss") ?? siblingOf(stem, ".vmsn");
  if (state === undefined) return undefined;
  try {
    using bytes = new FileBytes(state.fd, state.path);
    const regions = readRegions(bytes, state.path);
    if (regions.length === 0) return undefined;
    return new SegmentFile(file.fd, "VMware memory", file.path, () => regions);
  } catch (error) {
    file.fd.close();
    throw error;
  }
}

/**
 * Opens the memory of NAME.vmss or NAME.vmsn.
 *
 * @param file the state; closed here
 * @throws {Fault} `refused` when the memory is not beside it, or is a plain image
 */
export function openVmwareState(file: ImageFile): SegmentFile {
  file.fd.close();
  const memory = siblingOf(file.path.replace(/\.[^./]*$/, ""), ".vmem");
  if (memory === undefined) {
    throw new Fault(
      "refused",
      `Cannot open ${file.path}: it is a VMware state file, and its memory (the same name with .vmem) is not beside it; put both into one folder and name either`,
    );
  }
  const image = openVmem(memory);
  if (image !== undefined) return image;
  memory.fd.close();
  throw new Fault(
    "refused",
    `Cannot open ${file.path}: it tells of no regions; name ${memory.path}, which is a plain image then`,
  );
}

function siblingOf(stem: string, ending: string): ImageFile | undefined {
  try {
    return openImageFile(stem + ending);
  } catch (error) {
    if (error instanceof Fault && isOsError(error.cause, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * The regions of the group "memory".
 *
 * @param bytes the state file
 * @param name its name in messages
 */
export function readRegions(bytes: DumpBytes, name: string): FileSegment[] {
  const head = new DataView(readWhole(bytes, name, 0, HEADER_BYTES, "its header").buffer);
  const magic = head.getUint32(0, true);
  if (!MAGICS.includes(magic)) throw refused(name, "it is not a VMware state file");
  const groups = head.getUint32(8, true);
  if (groups > MAX_GROUPS) throw refused(name, `it says it has ${groups} groups`);
  for (let i = 0; i < groups; i++) {
    const at = HEADER_BYTES + i * GROUP_BYTES;
    const group = readWhole(bytes, name, at, GROUP_BYTES, "its groups");
    if (textOf(group.subarray(0, GROUP_NAME_BYTES)) !== "memory") continue;
    const tags = new TagReader(bytes, name, (magic & 0xf) === 0 ? 4 : 8);
    return regionsOf(tags.read(readU64(new DataView(group.buffer), GROUP_NAME_BYTES)), name);
  }
  throw refused(name, "it has no group of memory");
}

function regionsOf(tags: ReadonlyMap<string, number>, name: string): FileSegment[] {
  const count = tags.get("regionsCount") ?? 0;
  if (count > MAX_CORE_SEGMENTS) throw refused(name, `it says it has ${count} regions`);
  const regions: FileSegment[] = [];
  for (let i = 0; i < count; i++) {
    const of = (tag: string): number => {
      const value = tags.get(`${tag}[${i}]`);
      if (value === undefined) throw refused(name, `it does not tell ${tag} of region ${i}`);
      return value * PAGE_BYTES;
    };
    const region = { gpa: of("regionPPN"), fileOffset: of("regionPageNum"), sizeBytes: of("regionSize") };
    if (region.sizeBytes > 0) regions.push(region);
  }
  return regions;
}

/** Reads the tags of a group: small numbers by name and index; longer ones are skipped. */
class TagReader {
  readonly #bytes: DumpBytes;
  readonly #name: string;
  /** Size of a long tag's length, bytes, by the file's version. */
  readonly #lengthBytes: 4 | 8;

  constructor(bytes: DumpBytes, name: string, lengthBytes: 4 | 8) {
    this.#bytes = bytes;
    this.#name = name;
    this.#lengthBytes = lengthBytes;
  }

  read(start: number): Map<string, number> {
    const tags = new Map<string, number>();
    for (let at = start, i = 0;; i++) {
      const [flags = 0, nameBytes = 0] = this.#take(at, 2);
      if (flags === 0 && nameBytes === 0) return tags;
      if (i === MAX_TAGS) throw refused(this.#name, "its group of memory does not end");
      at += 2;
      const indices = flags >>> 6;
      const words = this.#take(at, nameBytes + 4 * indices);
      const view = new DataView(words.buffer);
      let tag = textOf(words.subarray(0, nameBytes));
      for (let k = 0; k < indices; k++) tag += `[${view.getUint32(nameBytes + 4 * k, true)}]`;
      at += words.length;
      const size = flags & 0x3f;
      if (size >= LONG) {
        at += this.#skip(at);
        continue;
      }
      const value = this.#take(at, size);
      if (size > 0 && size <= 8) tags.set(tag, value.reduceRight((sum, byte) => sum * 256 + byte, 0));
      at += size;
    }
  }

  /** The size of a long value: its length on disk and in memory, a gap, the value itself. */
  #skip(at: number): number {
    const bytes = this.#lengthBytes;
    const view = new DataView(this.#take(at, bytes).buffer);
    return 2 * bytes + 2 + (bytes === 4 ? view.getUint32(0, true) : readU64(view, 0));
  }

  #take(at: number, length: number): Uint8Array<ArrayBuffer> {
    return readWhole(this.#bytes, this.#name, at, length, "its group of memory");
  }
}

function textOf(bytes: Uint8Array): string {
  return LATIN1.decode(bytes).replace(/\0.*$/s, "");
}

function refused(name: string, why: string): Fault {
  return new Fault("refused", `Cannot open ${name}: ${why}`);
}
