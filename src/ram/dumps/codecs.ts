/**
 * The compression methods of a dump's pages, one row each, by their bit in kdump's page descriptors.
 * @module
 */
import * as zlib from "node:zlib";
import { unpackLzo } from "./lzo.ts";
import { unpackSnappy } from "./snappy.ts";

/** A compression method. */
export interface Codec {
  /** Its name. */
  readonly name: string;
  /** Its bit in a page descriptor's flags, and in the header's status. */
  readonly flag: number;
  /**
   * Decompresses.
   *
   * @returns whether `input` is a complete and valid block that fills `into`; undefined as a property if this
   *   Deno cannot decompress it
   */
  readonly unpack: ((input: Uint8Array<ArrayBuffer>, into: Uint8Array<ArrayBuffer>) => boolean) | undefined;
}

type Unpacker = (input: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** zstd is in node:zlib since Deno 2.9 (not in 2.4). */
const unzstd = (zlib as { zstdDecompressSync?: Unpacker }).zstdDecompressSync;

/** All methods. */
export const CODECS: readonly Codec[] = [
  { name: "zlib", flag: 1, unpack: by(zlib.inflateSync) },
  { name: "lzo", flag: 2, unpack: unpackLzo },
  { name: "snappy", flag: 4, unpack: unpackSnappy },
  { name: "zstd", flag: 0x20, unpack: unzstd === undefined ? undefined : by(unzstd) },
];

/**
 * The output is limited by the engine if it supports that (Deno 2.4 ignores the limit): inputs are at most a
 * page, and zlib expands by at most 1,032.
 */
function by(unpack: Unpacker): NonNullable<Codec["unpack"]> {
  return (input, into) => {
    let out: Uint8Array;
    try {
      out = unpack(input, { maxOutputLength: into.length });
    } catch {
      return false;
    }
    if (out.length !== into.length) return false;
    into.set(out);
    return true;
  };
}
