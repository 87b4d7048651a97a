/**
 * Looks for a guest's system in its RAM with the given finders, in order.
 *
 * Each finder gives a reason for declining, and the most informative one is kept.
 * @module
 */
import type { FindResult, NoGuest } from "./guest_os.ts";
import type { PhysicalMemory } from "./physical_memory.ts";

/** What the caller knows about the guest besides its RAM. */
export interface GuestEvidence {
  /** A vCPU's page-table root: a kernel that it does not map is not the running one. */
  readonly liveRoot?: number | undefined;
  /**
   * The address that an arm64 vCPU executes, whose root no monitor reports: a kernel that does not map it is
   * not the running one. Unknown in user mode.
   */
  readonly livePc?: number | undefined;
  /** Whether that vCPU ran in user mode, where its root need not map the kernel. */
  readonly inUserMode?: boolean | undefined;
  /** Where the system was found before ({@linkcode GuestOs.foundAt}): checked first, but trusted no more. */
  readonly foundAt?: number | undefined;
  /** Profiles of kernels found before; new ones are added. */
  readonly cache?: ProfileCache | undefined;
  /** False: data needed only for symbols is not kept, and read again on demand. */
  readonly keepTable?: boolean | undefined;
}

/** Profiles by build. A plain Map serves. */
export interface ProfileCache {
  /** The profile of a build; anything that does not check is ignored. */
  get(build: string): unknown;
  /** Keeps a profile. */
  set(build: string, profile: unknown): unknown;
}

/** Looks for one kind of system. */
export type GuestFinder = (memory: PhysicalMemory, evidence: GuestEvidence) => FindResult;

/** Rank of a reason: something that was recognised beats something that was not found. */
const TELLING: Readonly<Record<NoGuest["reason"], number>> = {
  "no-kernel": 0,
  "unknown-os": 1,
  unsupported: 2,
};

/**
 * Tries the finders in order.
 *
 * @param memory the guest's RAM; refreshed first
 * @param finders which systems to look for, the most likely first (finders.ts has those of all systems)
 * @param evidence what else is known of the guest
 * @throws {Fault} `refused` when the RAM's file has shrunk
 */
export function findGuest(
  memory: PhysicalMemory,
  finders: readonly GuestFinder[],
  evidence: GuestEvidence = {},
): FindResult {
  const { residentBytes } = memory.refresh();
  if (residentBytes === 0) {
    return { found: false, reason: "no-kernel", detail: "the guest has not touched its memory yet" };
  }
  let best: NoGuest | undefined;
  for (const finder of finders) {
    const result = finder(memory, evidence);
    if (result.found) return result;
    if (best === undefined || TELLING[result.reason] > TELLING[best.reason]) best = result;
  }
  return best ?? { found: false, reason: "unknown-os", detail: "no finder was given" };
}
