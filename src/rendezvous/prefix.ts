/**
 * A channel's name, the prefix of header 004, and the socket that it stands for in the runtime directory.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** Longest prefix, in characters: all of them are one byte. */
const MAX_PREFIX_CHARACTERS = 64;

/**
 * Checks a prefix: letters, digits, `-`, `_` and dots, not beginning with a dot. A slash or `..` would lead
 * out of the runtime directory.
 *
 * @throws {Fault} `bad-argument`
 */
export function checkPrefix(prefix: string): string {
  if (prefix.length > MAX_PREFIX_CHARACTERS || !/^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/.test(prefix)) {
    throw new Fault(
      "bad-argument",
      `Cannot use ${
        JSON.stringify(prefix)
      } as a channel's prefix: use 1 to ${MAX_PREFIX_CHARACTERS} letters, digits, ` +
        "'-', '_' and dots, without a dot in front and without slashes.",
    );
  }
  return prefix;
}

/** The folder of all channels' sockets. */
export function socketFolder(runtimeDir: string): string {
  return `${runtimeDir}/v2v`;
}

/** The socket of a prefix: `v2v/P.sock` in the runtime directory (src/v2v/RING.md). */
export function socketPathOf(runtimeDir: string, prefix: string): string {
  return `${socketFolder(runtimeDir)}/${checkPrefix(prefix)}.sock`;
}
