/**
 * The results of an address space's translations: physical addresses, permissions, and the runs of RAM behind
 * a range.
 * @module
 */
import type { WalkFailure } from "./paging.ts";

/** What a mapping allows, all levels together. */
export interface Access {
  /** May be written. */
  readonly writable: boolean;
  /** Reachable from user mode. */
  readonly user: boolean;
  /** May be executed. */
  readonly executable: boolean;
}

/** The outcome of a translation, for people and policies. */
export type Translation =
  | ({ readonly ok: true; readonly gpa: number; readonly pageBytes: number } & Access)
  | { readonly ok: false; readonly reason: WalkFailure };

/** A run of guest-physical bytes behind a run of virtual ones. */
export interface PhysicalRun extends Access {
  /** First virtual address. */
  readonly gva: number;
  /** First physical address. */
  readonly gpa: number;
  /** How many bytes. */
  readonly sizeBytes: number;
}

/** The runs of a range; `ok` is false when some page of it is not mapped. */
export interface RunList {
  /** Whether the whole range is mapped. */
  readonly ok: boolean;
  /** What is mapped, from the start as far as the first page that is not. */
  readonly runs: readonly PhysicalRun[];
  /** Bytes that those runs cover. */
  readonly sizeBytes: number;
  /** Why it ended early; `too-many` after MAX_RUNS (src/base/limits.ts) runs. */
  readonly reason?: WalkFailure | "too-many";
}

/** Whether two mappings allow the same. */
export function sameAccess(a: Access, b: Access): boolean {
  return a.writable === b.writable && a.user === b.user && a.executable === b.executable;
}
