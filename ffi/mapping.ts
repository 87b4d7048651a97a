/**
 * Memory that is not the engine's: a file mapped, or zeros of our own that C may keep the address of.
 *
 * Disposal unmaps it and detaches its ArrayBuffer, so that a stale use is an exception (or an empty array)
 * and not a crash of the process. A file that somebody truncates while it is mapped does not crash it either:
 * what was in it reads as zeros from then on, and {@linkcode Mapping.lost} tells (see `shim/vmsig_guard.c`).
 * What nothing catches: writing to a read-only mapping (SIGSEGV). Keep its views away from writers.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { Fault } from "../src/base/fault.ts";
import { check, OsError } from "./os_error.ts";
import { shim } from "./shim.ts";

/** Bytes of a page of this machine (x86-64). */
export const PAGE_BYTES = 4096;

/** A part of a file, and where it lies in a range that {@linkcode Mapping.assemble} maps. */
export interface MappedPiece {
  /** Byte in the range, a multiple of 4096. */
  readonly at: number;
  /** The file, borrowed; it may be closed afterwards. */
  readonly fd: number;
  /** Byte in the file, a multiple of 4096. */
  readonly offset: number;
  /** How many bytes. */
  readonly length: number;
}

/** A piece of mapped memory. */
export class Mapping implements Disposable {
  #buffer: ArrayBuffer | undefined;
  readonly #address: number;
  /** Guards of its parts that are files, by number. */
  readonly #guards: number[] = [];
  /** Bytes mapped. */
  readonly length: number;
  /** Whether it may be written to. */
  readonly writable: boolean;

  private constructor(address: number, length: number, writable: boolean) {
    const pointer = Deno.UnsafePointer.create(BigInt(address));
    assert(pointer !== null, "a mapping has an address");
    this.#address = address;
    this.#buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, length);
    this.length = length;
    this.writable = writable;
  }

  /**
   * Maps a file, shared: what others write is seen here, and the other way round.
   *
   * @param fd the file, borrowed; it may be closed afterwards
   * @param offset where in the file, a multiple of 4096
   * @param length bytes; check the file's size before: what is not there reads as zeros, and counts as lost
   *   once it is touched
   * @param options `write`: also for writing (the fd must be open for both)
   * @throws {OsError} EACCES when the fd is not open for it, ENODEV when it is not a file that maps
   */
  static map(fd: number, offset: number, length: number, options: { write: boolean }): Mapping {
    checkRange(offset, length);
    assert(fd >= 0, "a mapped file is open");
    return Mapping.#of(fd, offset, length, options.write);
  }

  /** Zeroed memory of this process alone, at an address that does not move. */
  static anonymous(length: number): Mapping {
    checkRange(0, length);
    return Mapping.#of(-1, 0, length, true);
  }

  /**
   * Maps pieces of files at places of one range, read-only; between them are zeros, which take no memory.
   *
   * @param length bytes of the whole range
   * @param pieces where in the range (a multiple of 4096) which part of which file lies
   */
  static assemble(length: number, pieces: readonly MappedPiece[]): Mapping {
    checkRange(0, length);
    const mapping = Mapping.#of(-1, 0, length, false);
    try {
      for (const { at, fd, offset, length: bytes } of pieces) {
        checkRange(offset, bytes);
        assert(at % PAGE_BYTES === 0 && at >= 0 && at + bytes <= length, "a piece lies in its range");
        check(shim().vmsig_mmap_over(mapping.address + at, fd, offset, bytes), "mmap");
        mapping.#guard(at, bytes);
      }
    } catch (error) {
      mapping[Symbol.dispose]();
      throw error;
    }
    return mapping;
  }

  static #of(fd: number, offset: number, length: number, write: boolean): Mapping {
    const address = shim().vmsig_mmap(fd, offset, length, write ? 1 : 0);
    if (address < 0) throw new OsError("mmap", address);
    const mapping = new Mapping(address, length, write);
    if (fd < 0) return mapping;
    try {
      mapping.#guard(0, length);
      return mapping;
    } catch (error) {
      mapping[Symbol.dispose]();
      throw error;
    }
  }

  #guard(at: number, length: number): void {
    const guard = shim().vmsig_guard(this.#address + at, length, this.writable ? 1 : 0);
    this.#guards.push(check(guard, "guard of a mapping"));
  }

  /** The memory. Asserts that it is still mapped. */
  get buffer(): ArrayBuffer {
    assert(this.#buffer !== undefined, "a mapping is not used after it was disposed of");
    return this.#buffer;
  }

  /** Where it is in this process. Asserts that it is still mapped. */
  get address(): number {
    assert(this.#buffer !== undefined, "a mapping is not used after it was disposed of");
    return this.#address;
  }

  /**
   * Whether something in it was touched that its file no longer had: what was read since then may be zeros,
   * what was written is nowhere. To be asked before what was read is believed; two calls of the shim at most
   * for RAM in one file.
   */
  get lost(): boolean {
    return this.#guards.some((guard) => shim().vmsig_guard_lost(guard) === 1);
  }

  /**
   * Takes its pages out of this process: they count as its memory no more, stay in their file, and come back
   * one by one when they are touched. For what was looked through once, a guest's RAM for instance. Asserts
   * that it is read-only: memory of our own would be lost.
   */
  letGo(): void {
    assert(!this.writable, "only what others hold is let go");
    check(shim().vmsig_let_go(this.address, this.length), "madvise");
  }

  /** Whether it was disposed of. */
  get disposed(): boolean {
    return this.#buffer === undefined;
  }

  /** Unmaps it and detaches its buffer and all views; nothing the second time. */
  [Symbol.dispose](): void {
    if (this.#buffer === undefined) return;
    // Detach first: from here on no view reaches the memory.
    this.#buffer.transfer();
    this.#buffer = undefined;
    // The guards next: from munmap on the addresses may be somebody else's.
    for (const guard of this.#guards) shim().vmsig_unguard(guard);
    this.#guards.length = 0;
    const result = shim().vmsig_munmap(this.#address, this.length);
    assert(result === 0, "a mapping unmaps");
  }
}

function checkRange(offset: number, length: number): void {
  if (!(Number.isSafeInteger(length) && length > 0)) {
    throw new Fault("bad-argument", `Cannot map ${length} bytes: a mapping has at least one byte`);
  }
  if (!(Number.isSafeInteger(offset) && offset >= 0 && offset % PAGE_BYTES === 0)) {
    throw new Fault("bad-argument", `Cannot map at offset ${offset}: it must be a multiple of ${PAGE_BYTES}`);
  }
}
