/**
 * How a Linux kernel's note tells where its image and its tables are, by architecture: x86-64 maps the image
 * at one address and tells where that lies (`phys_base`), arm64 tells how far the image's addresses are from
 * its memory (`kimage_voffset`), how large its pages are, and how many bits of an address count.
 * @module
 */
import { arm64Paging, type Paging, pagingOf } from "../paging.ts";
import type { Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where x86-64 maps the kernel's image: 0xffffffff80000000. */
const X64_IMAGE_MAP = -0x8000_0000;
const KIB64 = 65_536;
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
  const kernelBits = note.number("VA_BITS") ?? 48;
  const t1sz = note.hexNumber("TCR_EL1_T1SZ");
  // T1SZ (since 5.4) is what the CPU does. With 64 KiB the tables of a kernel of 52 bits stay as they are on
  // a CPU of 48, only that nothing is in their middle.
  const bits = t1sz === undefined || granule === KIB64 && kernelBits === 52 ? kernelBits : 64 - t1sz;
  const paging = arm64Paging(Math.log2(granule), bits);
  if (paging === undefined) {
    return {
      unsupported: `its page tables have a granule of ${granule / 1024} KiB and ${bits} bits of address`,
    };
  }
  return { paging, imageOffset };
}
