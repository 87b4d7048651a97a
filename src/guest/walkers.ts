/**
 * Which walker reads a paging mode.
 * @module
 */
import { Arm64Walker } from "./arm64_walker.ts";
import type { PageWalker } from "./page_walker.ts";
import type { Paging } from "./paging.ts";
import type { PhysicalMemory } from "./physical_memory.ts";
import { Walker } from "./walker.ts";

/**
 * The walker of a paging mode.
 *
 * @param memory the guest's RAM
 * @param paging the paging mode
 * @param kernelRootFrame root of the kernel half, where the architecture has one apart
 */
export function walkerOf(memory: PhysicalMemory, paging: Paging, kernelRootFrame: number): PageWalker {
  return paging.architecture === "aarch64"
    ? new Arm64Walker(memory, paging, kernelRootFrame)
    : new Walker(memory, paging);
}
