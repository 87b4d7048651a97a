/**
 * Copies what lies in several runs of memory that somebody else writes to.
 * @module
 */
import { assert } from "../base/assert.ts";

/**
 * Copies run by run, as long as it makes sense.
 *
 * @param bytes how many in all
 * @param into receives them, from its start
 * @param holds asked behind each run: false makes the rest of the copy pointless
 * @returns false when it was given up
 */
export function copyRuns(
  views: readonly Uint8Array[],
  bytes: number,
  into: Uint8Array,
  holds: () => boolean,
): boolean {
  assert(bytes <= into.length, "what is copied has room");
  let done = 0;
  for (let i = 0; done < bytes; i++) {
    const view = views[i] as Uint8Array;
    const rest = bytes - done;
    into.set(view.length > rest ? view.subarray(0, rest) : view, done);
    done += view.length;
    if (!holds()) return false;
  }
  return true;
}
