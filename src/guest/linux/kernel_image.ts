/**
 * The kernel's image in memory, for what no symbol names: it is read from `_stext` on as far as it is mapped,
 * run by run (pages between its parts are freed at boot), and bounded.
 * @module
 */
import { MAX_KERNEL_IMAGE_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../address_space.ts";
import { searchMemory } from "../memory_search.ts";
import { isKernelPointer } from "./kernel_pointer.ts";

const PAGE_BYTES = 4096;
const BTF_MAGIC = 0x0001_eb9f;
const BTF_HEADER_BYTES = 24;
/** The text that the first task has as its name; behind it "/0" when the kernel knows several processors. */
const FIRST_TASK = new TextEncoder().encode("swapper");
const MAX_FIRST_TASKS = 64;

/** A run of the image's bytes. */
export interface ImageRun {
  /** Address of its first byte, a multiple of 4096. */
  readonly start: number;
  /** What is there, from the first byte of its buffer on. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * The kernel's image, run by run.
 *
 * @param space the kernel's address space
 * @param stext the image's first address
 */
export function* imageRuns(space: AddressSpace, stext: number): Generator<ImageRun> {
  const end = Math.min(stext + MAX_KERNEL_IMAGE_BYTES, 0);
  for (let at = Math.floor(stext / PAGE_BYTES) * PAGE_BYTES; at < end;) {
    let last = at;
    while (last < end && space.translate(last) >= 0) last += PAGE_BYTES;
    if (last === at) {
      at += PAGE_BYTES;
      continue;
    }
    const bytes = new Uint8Array(last - at);
    const have = space.read(at, bytes);
    if (have > 0) yield { start: at, bytes: bytes.subarray(0, have - have % 8) };
    at = last;
  }
}

/**
 * The kernel's BTF, if no symbol names it: the largest piece of the image that has its format.
 *
 * @param space the kernel's address space
 * @param stext the image's first address
 * @returns its first address and the one behind its last byte
 */
export function findBtf(
  space: AddressSpace,
  stext: number,
): { readonly start: number; readonly stop: number } | undefined {
  let best: { start: number; stop: number } | undefined;
  for (const { start, bytes } of imageRuns(space, stext)) {
    const words = new Int32Array(bytes.buffer, 0, bytes.length >>> 2);
    for (let i = words.indexOf(BTF_MAGIC); i >= 0; i = words.indexOf(BTF_MAGIC, i + 1)) {
      const size = btfBytes(words, i, bytes);
      if (size > (best === undefined ? 0 : best.stop - best.start)) {
        best = { start: start + 4 * i, stop: start + 4 * i + size };
      }
    }
  }
  return best;
}

/** How long the BTF at a word is; 0 when there is none. */
function btfBytes(words: Int32Array, at: number, bytes: Uint8Array): number {
  const [header = 0, typesAt = -1, typesBytes = 0, stringsAt = -1, stringsBytes = 0] = words.subarray(
    at + 1,
    at + 6,
  );
  const strings = 4 * at + header + stringsAt;
  const end = strings + stringsBytes;
  const fits = header === BTF_HEADER_BYTES && typesAt === 0 && typesBytes > 0 && stringsAt === typesBytes &&
    stringsBytes > 1 && end <= bytes.length;
  return fits && bytes[strings] === 0 && bytes[end - 1] === 0 ? end - 4 * at : 0;
}

/** Offsets of the fields by which a task is known. */
export interface TaskFields {
  /** task_struct.comm */
  readonly comm: number;
  /** task_struct.pid */
  readonly pid: number;
  /** task_struct.tasks */
  readonly tasks: number;
}

/**
 * `init_task`, if no symbol names it: the task in the image that is called swapper, has pid 0, and heads a
 * list whose next entry points back.
 *
 * @param space the kernel's address space
 * @param stext the image's first address
 * @param at where a task's fields are
 */
export function findInitTask(space: AddressSpace, stext: number, at: TaskFields): number | undefined {
  const end = Math.min(stext + MAX_KERNEL_IMAGE_BYTES, -PAGE_BYTES);
  const names = searchMemory(space, FIRST_TASK, stext, end, MAX_FIRST_TASKS).addresses;
  return names.map((name) => name - at.comm).find((task) => {
    const next = space.readS64(task, at.tasks);
    return task % 8 === 0 && space.readS32(task, at.pid) === 0 && isKernelPointer(next) &&
      space.readS64(next, 8) === task + at.tasks;
  });
}
