/**
 * The port through which a region is read: a guest's address space, or a mapping of this process (a
 * FRAME_RING, a test's memfd). It hands out words and runs of bytes, and it answers the one question that a
 * reader of somebody else's memory must ask after every copy: did I look at the right pages all the time?
 *
 * It checks no content, and it never writes.
 * @module
 */

/** The runs behind a piece of a slot. */
export interface SlotSpan {
  /**
   * The bytes, in order; together at least as many as were asked for. Views of live memory: copy, never keep.
   */
  readonly views: readonly Uint8Array[];
  /**
   * Whether the same pages are still behind these addresses. Asked after the copy: false means that the copy
   * is worth nothing.
   */
  intact(): boolean;
}

/** A region's bytes. Not reentrant: {@linkcode words} is good until the next call. */
export interface RegionMemory {
  /** Address of the region in its producer's address space; 0 when there is none. */
  readonly gva: number;
  /** Root of that address space (a CR3); 0 when there is none. */
  readonly root: number;
  /** Bytes that the region may have at most. */
  readonly roomBytes: number;
  /** After {@linkcode locate}: the words that hold the page. */
  readonly words: Int32Array;
  /** After {@linkcode locate}: index in {@linkcode words} of the page's first word. */
  readonly wordBase: number;
  /**
   * Finds a page of the header, as it is mapped now.
   *
   * @param pageOffset bytes from the region's start, a multiple of 4096
   * @returns false when it is not mapped (any more)
   */
  locate(pageOffset: number): boolean;
  /**
   * Finds the bytes of a slot; what was found may be kept from call to call.
   *
   * @param slot the slot's number: what is kept is kept by it
   * @param offset bytes from the region's start to the slot, a multiple of 4096
   * @param sizeBytes how many bytes
   * @returns undefined when some page of it is not mapped
   */
  span(slot: number, offset: number, sizeBytes: number): SlotSpan | undefined;
  /** Forgets what is kept about a slot, after {@linkcode SlotSpan.intact} said no. */
  forget(slot: number): void;
}
