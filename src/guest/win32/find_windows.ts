/**
 * Finds a Windows x64 kernel in RAM without a profile: its page-table root by the low stub or by the
 * self-map, its image near the entry point or by searching the mapped pages, its version and lists by its
 * exports, its process object's layout by its contents.
 *
 * The results: "no-kernel" without any sign of Windows; "unknown-os" for a Windows root without a kernel;
 * "unsupported", with what was missing, for a kernel whose structures are not recognised.
 * @module
 */
import { MAX_KERNEL_PLACES } from "../../base/limits.ts";
import { AddressSpace } from "../address_space.ts";
import type { FindResult, NoGuest } from "../guest_os.ts";
import { type Paging, pagingOf } from "../paging.ts";
import type { PhysicalMemory } from "../physical_memory.ts";
import { learnLayout, rootOf } from "./eprocess_layout.ts";
import { findKernelAnywhere, findKernelNear, type PlaceBudget } from "./kernel_image.ts";
import { isKernelPointer } from "./link_walk.ts";
import { findLowStubs } from "./low_stub.ts";
import { PeExports, type PeImage } from "./pe_image.ts";
import { findSelfMapped } from "./self_map.ts";
import { windowsPages } from "./software_page.ts";
import { WindowsGuest } from "./windows_guest.ts";

/** The low 16 bits count; the upper ones say free or checked build. */
const BUILD_MASK = 0xffff;
/** First builds of each version, the newest first. */
const VERSIONS: readonly (readonly [number, string])[] = [
  [10_240, "10.0"],
  [9_600, "6.3"],
  [9_200, "6.2"],
  [7_600, "6.1"],
];

/** What the caller knows. */
export interface FindWindowsOptions {
  /** A vCPU's CR3: a kernel that it does not belong to is not the running one. */
  readonly liveRoot?: number | undefined;
}

/** A kernel's image in an address space. */
interface Kernel {
  readonly space: AddressSpace;
  readonly image: PeImage;
}

/**
 * Looks for a Windows kernel.
 *
 * @param memory the guest's RAM, refreshed
 * @param options a live root
 */
export function findWindows(
  memory: PhysicalMemory,
  options: FindWindowsOptions = {},
): FindResult<WindowsGuest> {
  let declined: NoGuest = {
    found: false,
    reason: "no-kernel",
    detail: "neither a Windows low stub below 1 MiB nor a self-mapped page table below 16 MiB",
  };
  let stale: NoGuest | undefined;
  const tried = new Set<number>();
  for (const kernel of candidates(memory)) {
    if (typeof kernel === "string") {
      if (declined.reason === "no-kernel") declined = { found: false, reason: "unknown-os", detail: kernel };
      continue;
    }
    // Many roots map the same kernel, for which one attempt suffices.
    const gpa = kernel.space.translate(kernel.image.base);
    if (tried.has(gpa)) continue;
    tried.add(gpa);
    const result = openKernel(kernel);
    if (!result.found) {
      declined = result;
    } else if (options.liveRoot !== undefined && !isLive(result.os, options.liveRoot)) {
      const detail = `Windows ${result.os.version} is in RAM, but the live page-table root does not map it`;
      stale = { found: false, reason: "no-kernel", detail };
    } else {
      return result;
    }
  }
  return declined.reason === "unsupported" ? declined : stale ?? declined;
}

/** Kernels by their roots, the most certain first; a text for a root without one. */
function* candidates(memory: PhysicalMemory): Generator<Kernel | string> {
  for (const stub of findLowStubs(memory)) {
    const space = spaceOver(memory, pagingOf(stub.levels), stub.root);
    const image = findKernelNear(space, stub.entry);
    if (image !== undefined) yield { space, image };
    else {yield `a Windows low stub at 0x${
        stub.gpa.toString(16)
      }, but no ntoskrnl.exe within 32 MiB below its entry point`;}
  }
  const budget: PlaceBudget = { left: MAX_KERNEL_PLACES };
  for (const root of findSelfMapped(memory)) {
    for (const levels of [4, 5] as const) {
      const space = spaceOver(memory, pagingOf(levels), root);
      const image = findKernelAnywhere(space, budget);
      if (image !== undefined) yield { space, image };
      else if (levels === 5) {
        yield `a self-mapped table at 0x${root.toString(16)}, but no ntoskrnl.exe under it`;
      }
    }
  }
}

function spaceOver(memory: PhysicalMemory, paging: Paging, root: number): AddressSpace {
  return new AddressSpace(memory, paging, root, windowsPages(memory, paging, root));
}

function openKernel({ space, image }: Kernel): FindResult<WindowsGuest> {
  const exports = new PeExports(space, image);
  const unsupported = (why: string): NoGuest => ({
    found: false,
    reason: "unsupported",
    system: "windows",
    detail: `Windows: ${why}`,
  });
  const buildAt = exports.lookup("NtBuildNumber");
  const systemAt = exports.lookup("PsInitialSystemProcess");
  if (buildAt === undefined || systemAt === undefined) {
    return unsupported(
      `ntoskrnl.exe exports no ${
        buildAt === undefined ? "NtBuildNumber" : "PsInitialSystemProcess"
      } that reads` +
        ` (${exports.size} exports read, ${exports.lost} lost)`,
    );
  }
  const build = space.readU32(buildAt) & BUILD_MASK;
  const version = versionOf(build);
  if (version === undefined) return unsupported(`NtBuildNumber ${build} is not a known version`);
  const system = space.readS64(systemAt);
  if (!isKernelPointer(system)) {
    return unsupported(`${version}: PsInitialSystemProcess is not set; the kernel is still starting`);
  }
  // The tables of System are the kernel's own; the stub's root may be a copy that only the start used.
  const root = rootOf(space, system);
  const own = root === undefined ? undefined : spaceOver(space.memory, space.paging, root);
  const kernel = own !== undefined && own.translate(image.base) === space.translate(image.base) ? own : space;
  const learnt = learnLayout(kernel, image, system);
  if (!learnt.ok) return unsupported(`${version}: ${learnt.why}`);
  const parts = { kernel, image, exports, system, layout: learnt.layout, version };
  return { found: true, os: new WindowsGuest(parts) };
}

function versionOf(build: number): string | undefined {
  const line = VERSIONS.find(([first]) => build >= first);
  return line && `${line[1]}.${build}`;
}

/** Whether a vCPU's root maps the kernel, or is one that KVA shadow gives a process of this kernel. */
function isLive(os: WindowsGuest, liveRoot: number): boolean {
  // Bits 0-11 are flags or a PCID, bit 63 is not part of the address.
  const root = Math.floor((liveRoot % 2 ** 52 + 2 ** 52) % 2 ** 52 / 4096) * 4096;
  if (os.kernel.withRoot(root).translate(os.kernelBase) === os.kernel.translate(os.kernelBase)) return true;
  return os.processes().items.some((process) => process.userRoot === root);
}
