/**
 * The port behind guest-physical memory: what a source of RAM (a running QEMU's memfd, a raw image, an ELF
 * core, a test's synthetic image) provides to {@linkcode PhysicalMemory}. Segments say where RAM is and, if
 * it is mapped here, in which buffer; a source that cannot be mapped is read page by page.
 *
 * It knows nothing of paging, and it never writes.
 * @module
 */

/** A run of guest-physical RAM, in whole 4 KiB pages. */
export interface RamSegment {
  /** Guest-physical address of its first byte, 4 KiB aligned. */
  readonly gpa: number;
  /** Its size, a multiple of 4096. */
  readonly sizeBytes: number;
  /**
   * The buffer that maps it, when it is mapped: `byteOffset` (a multiple of 4) is where the segment starts.
   */
  readonly mapped?: { readonly buffer: ArrayBuffer; readonly byteOffset: number } | undefined;
}

/** A source of guest RAM. Disposing of it unmaps everything: later use throws instead of crashing. */
export interface RamPort extends Disposable {
  /** All RAM, sorted by address, without overlap. */
  readonly segments: readonly RamSegment[];
  /** Its description for a person: "memfd of pid 4711", "file ram.bin". */
  readonly description: string;
  /** The text of the kernel's VMCOREINFO note, if the source has it separately from RAM (a dump's header). */
  readonly vmcoreinfo?: string | undefined;
  /** First address >= `gpa` and < `end` whose page the host holds; `end` when there is none. */
  nextData(gpa: number, end: number): number;
  /**
   * First address >= `gpa` and < `end` whose page the host does not hold (reading it would allocate); else
   * `end`.
   */
  nextHole(gpa: number, end: number): number;
  /**
   * Reads one 4 KiB page of a segment that is not mapped.
   *
   * @returns false when the source has no such page (a core cut short, a process that has gone)
   */
  fetch(gpa: number, into: Uint8Array<ArrayBuffer>): boolean;
  /**
   * Finds a pattern in bytes that are mapped contiguously, as fast as this machine can; omitted if nothing is
   * mapped from a file. Touches all of them up to the first match, so the caller checks first which are held.
   *
   * @param buffer the buffer of a mapped segment
   * @param at first byte in it
   * @param length how many bytes
   * @param pattern what to look for, at least one byte
   * @returns how many bytes after `at` the first match begins; -1 for none; undefined for a buffer of others
   */
  find?(buffer: ArrayBufferLike, at: number, length: number, pattern: Uint8Array): number | undefined;
  /**
   * Stops counting mapped pages as the caller's memory until they are touched again. Omitted if nothing is
   * mapped from a file.
   */
  letGo?(): void;
  /**
   * Checks whether the source is still complete, since the lost part of a mapped file reads as zeros. To be
   * called before reading, and after a read whose result matters.
   *
   * @throws {Fault} `refused` when it is not
   */
  verify(): void;
}
