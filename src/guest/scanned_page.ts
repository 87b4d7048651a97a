/**
 * The results of a scan of page tables, for all architectures.
 * @module
 */

/** A mapped page, as passed by `scanPages`: one object, reused; copy what is to be kept. */
export interface ScannedPage {
  /** First address. */
  gva: number;
  /** Frame number of its first 4 KiB. */
  frame: number;
  /** Its size: 4 KiB, 2 MiB or 1 GiB. */
  sizeBytes: number;
  /** May be written. */
  writable: boolean;
  /** Reachable from user mode. */
  user: boolean;
  /** May be executed. */
  executable: boolean;
}

/** How a scan ended. */
export type ScanEnd = "complete" | "stopped" | "too-many";
