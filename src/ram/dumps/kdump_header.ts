/**
 * The headers of a kdump-compressed dump ("diskdump"), as written by QEMU and makedumpfile: the offsets of
 * the bitmaps and the table of pages, and the dump's own properties (from QEMU's and makedumpfile's
 * declarations).
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { readU64 } from "../../base/layout.ts";
import { MAX_GUEST_GPA, MAX_VMCOREINFO_BYTES } from "../../base/limits.ts";
import { printable } from "../../base/printable.ts";
import { CODECS } from "./codecs.ts";
import { cutShort, type DumpBytes, readWhole } from "./dump_bytes.ts";

const PAGE_BYTES = 4096;
const HEADER_BYTES = 464;
const SUB_HEADER_BYTES = 104;
const NEWEST_VERSION = 6;
/** Status: the disk was full before the dump was complete. */
const INCOMPLETE = 8;
/** Dump level: pages of zeros were left out. */
const LEFT_OUT_ZEROS = 1;
/** Offsets in the header. */
const AT = {
  version: 8,
  machine: 272,
  status: 424,
  blockBytes: 428,
  subHeaderBlocks: 432,
  bitmapBlocks: 436,
  frames: 440,
} as const;
/** Offsets in the second header. */
const SUB = {
  dumpLevel: 8,
  split: 12,
  vmcoreinfo: 32,
  vmcoreinfoBytes: 40,
  frames: 96,
} as const;
const LATIN1 = new TextDecoder("latin1");

/** The contents of the headers. */
export interface KdumpHeader {
  /** Number of page frames in the bitmaps. */
  readonly frames: number;
  /** Offset of the bitmap of RAM. */
  readonly ramBitmapAt: number;
  /** Offset of the bitmap of dumped pages. */
  readonly dumpedBitmapAt: number;
  /** Offset of the table of pages. */
  readonly pagesAt: number;
  /** Whether every page of RAM that was not dumped held zeros. */
  readonly othersAreZeros: boolean;
  /** The kernel's VMCOREINFO note, if the dump has it. */
  readonly vmcoreinfo: string | undefined;
}

/**
 * Reads the headers.
 *
 * @param bytes the dump
 * @param name its name in messages
 * @throws {Fault} `refused` when it is truncated, incomplete or inconsistent, `not-supported` for unsupported
 *   variants
 */
export function readKdumpHeader(bytes: DumpBytes, name: string): KdumpHeader {
  const head = readWhole(bytes, name, 0, HEADER_BYTES, "its header");
  const view = new DataView(head.buffer);
  const version = view.getUint32(AT.version, true);
  const blockBytes = view.getUint32(AT.blockBytes, true);
  checkKind(name, version, blockBytes, view.getUint32(AT.status, true), textAt(head, AT.machine, 65));
  const subBlocks = view.getUint32(AT.subHeaderBlocks, true);
  const bitmapBlocks = view.getUint32(AT.bitmapBlocks, true);
  const hasSub = version >= 1 && subBlocks > 0;
  const sub = hasSub
    ? new DataView(readWhole(bytes, name, PAGE_BYTES, SUB_HEADER_BYTES, "its second header").buffer)
    : undefined;
  if (sub !== undefined && version >= 2 && sub.getUint32(SUB.split, true) !== 0) {
    throw new Fault(
      "refused",
      `Cannot open ${name}: it is one of several files of a split dump; join them with makedumpfile --reassemble`,
    );
  }
  const frames = sub !== undefined && version >= 6
    ? readU64(sub, SUB.frames)
    : view.getUint32(AT.frames, true);
  const bitmapBytes = bitmapBlocks / 2 * PAGE_BYTES;
  if (!(frames > 0 && frames <= bitmapBytes * 8)) {
    throw new Fault(
      "refused",
      `Cannot open ${name}: it says it has ${frames} pages, and bitmaps of ${bitmapBytes} bytes`,
    );
  }
  if (frames > MAX_GUEST_GPA / PAGE_BYTES) {
    throw new Fault(
      "refused",
      `Cannot open ${name}: it has memory past 0x${MAX_GUEST_GPA.toString(16)}, where addresses end`,
    );
  }
  const ramBitmapAt = (1 + subBlocks) * PAGE_BYTES;
  const level = sub === undefined ? 0 : sub.getUint32(SUB.dumpLevel, true);
  return {
    frames,
    ramBitmapAt,
    dumpedBitmapAt: ramBitmapAt + bitmapBytes,
    pagesAt: ramBitmapAt + 2 * bitmapBytes,
    othersAreZeros: level === LEFT_OUT_ZEROS,
    vmcoreinfo: sub !== undefined && version >= 3 ? readVmcoreinfo(bytes, name, sub) : undefined,
  };
}

/** As in uname -m; "" if the dump does not say, "Unknown" if QEMU found no VMCOREINFO note. */
const MACHINES: readonly string[] = ["", "Unknown", "x86_64", "aarch64"];

function checkKind(name: string, version: number, blockBytes: number, status: number, machine: string): void {
  const lacking = CODECS.find(({ flag, unpack }) => (status & flag) !== 0 && unpack === undefined);
  if (lacking !== undefined) {
    throw new Fault(
      "not-supported",
      `Cannot open ${name}: its pages are packed by ${lacking.name}, which this Deno does not have; run Deno 2.9 or newer, or repack it with makedumpfile -c INPUT OUTPUT`,
    );
  }
  if (version > NEWEST_VERSION) {
    throw new Fault(
      "not-supported",
      `Cannot open ${name}: it is a kdump of version ${version}, and versions to ${NEWEST_VERSION} are known; dump to ELF`,
    );
  }
  if (blockBytes !== PAGE_BYTES || !MACHINES.includes(machine)) {
    throw new Fault(
      "not-supported",
      `Cannot open ${name}: it is a dump of a ${
        printable(machine)
      } machine with pages of ${blockBytes} bytes; x86-64 and arm64, with pages of 4096 bytes, are known: make an ELF dump instead (dump-guest-memory without a format)`,
    );
  }
  if ((status & INCOMPLETE) !== 0) {
    throw new Fault(
      "refused",
      `Cannot open ${name}: it says itself that it is incomplete (the disk was full); make the dump anew`,
    );
  }
}

function readVmcoreinfo(bytes: DumpBytes, name: string, sub: DataView): string | undefined {
  const at = readU64(sub, SUB.vmcoreinfo);
  const size = readU64(sub, SUB.vmcoreinfoBytes);
  if (at === 0 || size === 0) return undefined;
  if (size > MAX_VMCOREINFO_BYTES) throw cutShort(name, "its VMCOREINFO note");
  return textAt(readWhole(bytes, name, at, size, "its VMCOREINFO note"), 0, size);
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  const text = LATIN1.decode(bytes.subarray(at, at + length));
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}
