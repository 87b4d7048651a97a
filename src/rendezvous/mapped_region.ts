/**
 * A v2v region mapped from a file: implements the rings' memory port, with copies that do not allocate.
 * @module
 */
import { copyIn, copyOut } from "../../ffi/memory_copy.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { SharedRegion } from "../v2v/shared_region.ts";

/** A region over a mapping, which it owns. */
export class MappedRegion implements SharedRegion, Disposable {
  /** Bytes mapped. */
  readonly sizeBytes: number;
  readonly #mapping: Mapping;

  /**
   * Maps a file for reading and writing. Its size, and that it cannot shrink, must have been checked.
   *
   * @param fd the file, borrowed
   * @param sizeBytes how much of it, a multiple of 4096
   */
  constructor(fd: number, sizeBytes: number) {
    this.#mapping = Mapping.map(fd, 0, sizeBytes, { write: true });
    this.sizeBytes = sizeBytes;
  }

  /** The memory, while it is mapped. */
  get buffer(): ArrayBuffer {
    return this.#mapping.buffer;
  }

  /** See `SharedRegion`. */
  copyIn(at: number, source: Uint8Array, from: number, length: number): void {
    copyIn(this.#mapping, at, source, from, length);
  }

  /** See `SharedRegion`. */
  copyOut(at: number, target: Uint8Array, to: number, length: number): void {
    copyOut(this.#mapping, at, target, to, length);
  }

  /** Unmaps it; every view of it becomes empty. */
  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
  }
}
