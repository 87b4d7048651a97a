/**
 * Where a MEMWRITE may land: ranges of guest virtual addresses that the config names. None means nowhere.
 * @module
 */

/** One range. */
export interface WriteExtent {
  /** The endpoint's name; "*" for every one. */
  readonly endpoint: string;
  /** Whose addresses: the kernel's half, or a process's under the address-space root that the write names. */
  readonly space: "kernel" | "process";
  /** First address that may be written, signed as `base/ids.ts` holds them. */
  readonly from: number;
  /** First address behind the range that may not. */
  readonly to: number;
}
