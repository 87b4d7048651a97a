/**
 * How a Linux kernel's note tells where its image and its tables are, by architecture: x86-64 maps the image
 * at one address and tells where that lies (`phys_base`), arm64 tells how far the image's addresses are from
 * its memory (`kimage_voffset`), how large its pages are, and how many bits of an address count.
 * @module
 */
import { ARM64_3, ARM64_4, type Paging, pagingOf } from "../paging.ts";
import type { Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where x86-64 maps the kernel's image: 0xffffffff80000000. */
const X64_IMAGE_MAP = -0x8000_0000;
const ARM64_GRANULE = 4096;
/** Of an arm64 address, when T1SZ is not told (before 5.4), or tells of a kernel that this CPU halves. */
const ARM64_MODES: readonly { readonly bits: number; readonly paging: Paging }[] = [
  { bits: 48, paging: ARM64_4 },
  { bits: 39, paging: ARM64_3 },
];

/** What a note says of its kernel's mapping. */
export interface KernelMapping {
  /** How its tables are read. */
  readonly paging: Paging;
  /** What is taken off an address in the image for the physical one. */
  readonly imageOffset: number;
}

/**
 * The mapping of a note's kernel; undefined when the note tells of none, a text when it is one that no walker
 * here reads.
 */
export function kernelMapping(
  note: Vmcoreinfo,
): KernelMapping | { readonly unsupported: string } | undefined {
  const physBase = note.number("phys_base");
  if (physBase !== undefined) {
    const levels = note.number("pgtable_l5_enabled") === 1 ? 5 : 4;
    return { paging: pagingOf(levels), imageOffset: X64_IMAGE_MAP - physBase };
  }
  const imageOffset = note.hexNumber("kimage_voffset");
  if (imageOffset === undefined) return undefined;
  const granule = Number(note.line("PAGESIZE"));
  if (granule !== ARM64_GRANULE) {
    return {
      unsupported: `its page tables have a granule of ${granule / 1024} KiB; those of 4 KiB are read`,
    };
  }
  const t1sz = note.hexNumber("TCR_EL1_T1SZ");
  const bits = t1sz === undefined ? note.number("VA_BITS") ?? 48 : 64 - t1sz;
  const mode = ARM64_MODES.find((each) => each.bits === bits);
  if (mode === undefined) {
    const what = bits === 52 ? "52 bits (LPA2)" : `${bits} bits`;
    return { unsupported: `its addresses have ${what}; those of 48 and 39 are read` };
  }
  return { paging: mode.paging, imageOffset };
}
