/**
 * The bytes of a dump, as its format counts them: those of a file, or those that a flattened stream rebuilds
 * (flattened.ts). What reads a format goes by this port alone.
 * @module
 */
import { statFd } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { preadInto } from "../../../ffi/stream.ts";
import { Fault } from "../../base/fault.ts";

/** Bytes that can be read at any place. */
export interface DumpBytes extends Disposable {
  /** How many there are. */
  readonly sizeBytes: number;
  /**
   * Copies bytes out.
   *
   * @param at the first one; past the end nothing is read
   * @param into receives them
   * @param offset where in `into`
   * @param length how many
   * @returns how many were read: fewer than asked for at the end
   */
  read(at: number, into: Uint8Array<ArrayBuffer>, offset: number, length: number): number;
  /**
   * Looks whether the file is still whole.
   *
   * @throws {Fault} `refused` when it shrank
   */
  verify(): void;
}

/** A file's bytes as they are. */
export class FileBytes implements DumpBytes {
  readonly sizeBytes: number;
  readonly #fd: OwnedFd;
  readonly #name: string;

  /**
   * Takes the file as large as it is now.
   *
   * @param fd open for reading; owned from now on
   * @param name what to call it in messages
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
 * Reads bytes that must be there.
 *
 * @param bytes the dump
 * @param name what to call it in messages
 * @param at the first byte
 * @param length how many
 * @param what what they are, for the message: "its header"
 * @throws {Fault} `refused` when they are not
 */
export function readWhole(
  bytes: DumpBytes,
  name: string,
  at: number,
  length: number,
  what: string,
): Uint8Array<ArrayBuffer> {
  // Before it is allocated: a hostile header may ask for more than there is memory.
  if (!(at >= 0 && length >= 0 && at + length <= bytes.sizeBytes)) throw cutShort(name, what);
  const into = new Uint8Array(length);
  if (bytes.read(at, into, 0, length) < length) throw cutShort(name, what);
  return into;
}

/** What is said of a dump that ends too early. */
export function cutShort(name: string, what: string): Fault {
  return new Fault("refused", `Cannot open ${name}: it is cut short within ${what}; make the dump anew`);
}
