/**
 * What a control is told of a guest whose system is not known, in the 40 bytes of an ERROR: which system it
 * is, when that was found. The whole reason is in the log.
 * @module
 */
import { printable } from "../../base/printable.ts";

/** Behind "not supported: " there is room for so much. */
const MOST_NAME = 25;

/**
 * The text.
 *
 * @param detail as the finders say it: "Linux 5.10.0: what is not known in it"; the release is the guest's
 *   own word
 */
export function unknownGuestText(detail: string): string {
  const missing = /RAM at (0x[0-9a-f]{1,12}) is missing/.exec(detail)?.[1];
  if (missing !== undefined) return `RAM at ${missing} is missing: see the log`;
  const system = /^((?:Linux|Windows)[^:]*): /.exec(detail)?.[1];
  return system === undefined
    ? "no known guest system in RAM"
    : `not supported: ${printable(system).slice(0, MOST_NAME)}`;
}
