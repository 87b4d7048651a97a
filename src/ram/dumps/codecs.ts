/**
 * How a dump's pages may be packed: a row for each, by the bit that kdump's page descriptors have for it.
 * @module
 */
import * as zlib from "node:zlib";
import { unpackLzo } from "./lzo.ts";
import { unpackSnappy } from "./snappy.ts";

/** A way of packing. */
export interface Codec {
  /** Its name. */
  readonly name: string;
  /** Its bit in a page descriptor's flags, and in the header's status. */
  readonly flag: number;
  /**
   * Unpacks.
   *
   * @returns whether `input` is a whole and correct block that fills `into`; undefined as a property where
   *   this Deno cannot
   */
  readonly unpack: ((input: Uint8Array<ArrayBuffer>, into: Uint8Array<ArrayBuffer>) => boolean) | undefined;
}

type Unpacker = (input: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/** zstd is in node:zlib since Deno 2.9 (2.4 has none). */
const unzstd = (zlib as { zstdDecompressSync?: Unpacker }).zstdDecompressSync;

/** All ways. */
export const CODECS: readonly Codec[] = [
  { name: "zlib", flag: 1, unpack: by(zlib.inflateSync) },
  { name: "lzo", flag: 2, unpack: unpackLzo },
  { name: "snappy", flag: 4, unpack: unpackSnappy },
  { name: "zstd", flag: 0x20, unpack: unzstd === undefined ? undefined : by(unzstd) },
];

/**
 * The bound of what comes out is the engine's where it has one (Deno 2.4 takes no notice of it): the inputs
 * are a page at most, and zlib cannot make more than 1,032 bytes out of one.
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
