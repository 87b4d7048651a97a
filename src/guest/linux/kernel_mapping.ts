/**
 * Where a Linux kernel's image and tables are, from its note, by architecture: x86-64 maps the image at a
 * fixed address and gives its physical place (`phys_base`); arm64 gives the offset of the image's addresses
 * from physical ones (`kimage_voffset`), the page size, and the number of address bits.
 * @module
 */
import { arm64Paging, type Paging, pagingOf } from "../paging.ts";
import type { Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where x86-64 maps the kernel's image: 0xffffffff80000000. */
const X64_IMAGE_MAP = -0x8000_0000;
const KIB64 = 65_536;
/** A kernel's mapping, from its note. */
export interface KernelMapping {
  /** How its tables are read. */
  readonly paging: Paging;
  /** What to subtract from an address in the image to get the physical one. */
  readonly imageOffset: number;
}

/** The mapping of a note's kernel; undefined if the note has none, a text if no walker here supports it. */
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
