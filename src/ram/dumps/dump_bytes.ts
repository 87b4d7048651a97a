/**
 * The bytes of a dump as its format counts them: those of a file, or those that a flattened stream contains
 * (flattened.ts). The formats' readers use this port only.
 * @module
 */
import { statFd } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto } from "../../../ffi/stream.ts";
import { Fault } from "../../base/fault.ts";

/** Bytes that can be read at any offset. */
export interface DumpBytes extends Disposable {
  /** Their number. */
  readonly sizeBytes: number;
  /**
   * Copies bytes out.
   *
   * @param at the first byte; past the end nothing is read
   * @param into receives them
   * @param offset where in `into`
   * @param length number of bytes
   * @returns number of bytes read: fewer at the end
   */
  read(at: number, into: Uint8Array<ArrayBuffer>, offset: number, length: number): number;
  /**
   * Checks whether the file is still complete.
   *
   * @throws {Fault} `refused` when it shrank
   */
  verify(): void;
}

/** The unchanged bytes of a file. */
export class FileBytes implements DumpBytes {
  readonly sizeBytes: number;
  readonly #fd: OwnedFd;
  readonly #name: string;

  /**
   * Uses the file's current size.
   *
   * @param fd open for reading; owned from now on
   * @param name its name in messages
   */
  constructor(fd: OwnedFd, name: string) {
    this.#fd = fd;
    this.#name = name;
    this.sizeBytes = statFd(fd.fd).sizeBytes;
  }

  read(at: number, into: Uint8Array<ArrayBuffer>, offset: number, length: number): number {
    if (!(at >= 0 && at < this.sizeBytes)) return 0;
    return preadInto(this.#fd.fd, into, offset, length, at);
  }

  verify(): void {
    const now = statFd(this.#fd.fd).sizeBytes;
    if (now >= this.sizeBytes) return;
    throw new Fault("refused", `Cannot read ${this.#name}: it shrank from ${this.sizeBytes} to ${now} bytes`);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/**
 * Reads bytes that must exist.
 *
 * @param bytes the dump
 * @param name its name in messages
 * @param at the first byte
 * @param length number of bytes
 * @param what their name in the message: "its header"
 * @throws {Fault} `refused` when they do not exist
 */
export function readWhole(
  bytes: DumpBytes,
  name: string,
  at: number,
  length: number,
  what: string,
): Uint8Array<ArrayBuffer> {
  // Before the allocation, because a hostile header may ask for more than there is memory.
  if (!(at >= 0 && length >= 0 && at + length <= bytes.sizeBytes)) throw cutShort(name, what);
  const into = new Uint8Array(length);
  if (bytes.read(at, into, 0, length) < length) throw cutShort(name, what);
  return into;
}

/** The message for a truncated dump. */
export function cutShort(name: string, what: string): Fault {
  return new Fault("refused", `Cannot open ${name}: it is cut short within ${what}; make the dump anew`);
}
