/**
 * What a monitor reports about a QEMU's memory besides the flat view: the backends of memory devices (DIMMs,
 * virtio-mem), and the address of each block of RAM in QEMU's own address space (HMP `gpa2hva`). Together
 * with /proc/PID/maps this gives the file behind each block, whatever its name, size and descriptor (measured
 * on QEMU 7.2, 10.0 and 11.1).
 *
 * The texts come from QEMU itself, and are trusted for its own VM only.
 * @module
 */
import { MAX_RAM_CANDIDATES } from "../base/limits.ts";
import type { FlatBlock } from "./flat_view.ts";

/** A block of RAM, and its address in QEMU. */
export interface BlockAddress {
  /** Its name in the flat view. */
  readonly name: string;
  /** Address of its first byte in QEMU's address space. */
  readonly hostAddress: number;
}

/** What was reported. */
export interface ToldMemory {
  /** The text of `info mtree -f`. */
  readonly flatView: string;
  /** Ids of the backends of memory devices. */
  readonly devices: readonly string[];
  /** The blocks whose address was reported; empty if none was requested. */
  readonly blocks: readonly BlockAddress[];
}

const PAGE_BYTES = 4096;
const ADDRESS = /^Host virtual address for 0x[0-9a-f]+ \((\S+)\) is 0x([0-9a-f]{1,13})\s*$/;

/** The HMP line that requests a block's address. */
export function addressQuestion({ gpa }: FlatBlock): string {
  return `gpa2hva 0x${gpa.toString(16)}`;
}

/**
 * Parses the answer to {@linkcode addressQuestion}.
 *
 * @returns undefined if it is not about this block: the map has changed meanwhile
 */
export function readBlockAddress({ name, offset }: FlatBlock, text: string): BlockAddress | undefined {
  const [, told, address = ""] = ADDRESS.exec(text) ?? [];
  const hostAddress = parseInt(address, 16) - offset;
  if (told !== name || !(hostAddress > 0) || hostAddress % PAGE_BYTES !== 0) return undefined;
  return { name, hostAddress };
}

/**
 * Ids of the backends in the answer to `query-memory-devices`; invalid entries are omitted.
 *
 * @param value the answer: a list of `{type, data: {memdev: "/objects/ID", …}}`
 */
export function readMemoryDevices(value: unknown): string[] {
  const ids: string[] = [];
  for (const device of Array.isArray(value) ? value.slice(0, MAX_RAM_CANDIDATES) : []) {
    const { type, data } = Object(device) as { type?: unknown; data?: { memdev?: unknown } | null };
    const memdev = data?.memdev;
    // The guest keeps files in these, not memory; and an enclave cannot be read.
    if (typeof memdev !== "string" || type === "nvdimm" || type === "virtio-pmem" || type === "sgx-epc") {
      continue;
    }
    const id = /^\/objects\/(.{1,256})$/s.exec(memdev)?.[1];
    if (id !== undefined && !ids.includes(id)) ids.push(id);
  }
  return ids;
}
