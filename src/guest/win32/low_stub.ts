/**
 * The low stub: the page below 1 MiB from which Windows starts its other processors. It contains the kernel's
 * entry point and its page-table root, and stays after the boot: the fastest and most certain way to find a
 * Windows kernel.
 *
 * The pattern is that of the published tools (MemProcFS, memflow). A stub of an earlier boot may be left in
 * RAM: find_windows.ts tries all.
 * @module
 */
import { MAX_ROOT_CANDIDATES } from "../../base/limits.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../physical_memory.ts";

const FIRST_FRAME = 1;
const END_FRAME = 2 ** 20 / PAGE_BYTES;
const CR4_LA57 = 0x1000;

/** The contents of a low stub. */
export interface LowStub {
  /** Guest-physical address of its page. */
  readonly gpa: number;
  /** The kernel's entry point, an address within ntoskrnl. */
  readonly entry: number;
  /** Guest-physical address of the root table. */
  readonly root: number;
  /** Levels of the page tables, by its CR4. */
  readonly levels: 4 | 5;
}

/** Finds the low stubs in 4 KiB..1 MiB, by address. */
export function findLowStubs(memory: PhysicalMemory): LowStub[] {
  const found: LowStub[] = [];
  for (let frame = FIRST_FRAME; frame < END_FRAME && found.length < MAX_ROOT_CANDIDATES; frame++) {
    if (!memory.locate(frame) || !memory.isHeld(frame)) continue;
    // isHeld may ask the source, but the result of locate stays valid.
    const stub = stubAt(memory.words, memory.wordBase, frame * PAGE_BYTES);
    if (stub !== undefined) found.push(stub);
  }
  return found;
}

function stubAt(words: Int32Array, base: number, gpa: number): LowStub | undefined {
  const low = (offset: number): number => words[base + offset / 4] as number;
  const high = (offset: number): number => words[base + offset / 4 + 1] as number;
  // A jump, one byte of which varies, and a completion flag: 0x00000001_0006xxE9.
  if ((low(0) & 0xffff_00ff) !== 0x0006_00e9 || high(0) !== 1) return undefined;
  // The entry point: in the kernel half where Windows loads it, 4-aligned.
  if ((low(0x70) & 3) !== 0 || (high(0x70) & 0xffff_f800 | 0) !== (0xffff_f800 | 0)) return undefined;
  // CR3: page-aligned, below 1 TiB, not 0.
  if ((low(0xa0) & 0xfff) !== 0 || (high(0xa0) & 0xffff_ff00) !== 0) return undefined;
  const root = high(0xa0) * 2 ** 32 + (low(0xa0) >>> 0);
  if (root === 0) return undefined;
  const levels = (low(0xa8) & CR4_LA57) === 0 ? 4 : 5;
  return { gpa, entry: high(0x70) * 2 ** 32 + (low(0x70) >>> 0), root, levels };
}
