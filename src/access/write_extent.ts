/**
 * Where a MEMWRITE may write: ranges of guest virtual addresses from the config. Without any, nowhere.
 * @module
 */

/** One range. */
export interface WriteExtent {
  /** The endpoint's name; "*" for every one. */
  readonly endpoint: string;
  /**
   * The address space: the kernel's half, or that of a process, with the address-space root that the write
   * names.
   */
  readonly space: "kernel" | "process";
  /** First address that may be written, signed as in `base/ids.ts`. */
  readonly from: number;
  /** First address after the range. */
  readonly to: number;
}
