/**
 * Whether a MEMWRITE lands where the config lets it: the check against an endpoint's extents. Addresses are
 * compared as two 32-bit halves, because a double cannot tell the last three bits of a 57-bit kernel address.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { WriteExtent } from "../../access/write_extent.ts";

interface Range {
  readonly kernel: boolean;
  readonly fromHi: number;
  readonly fromLo: number;
  readonly toHi: number;
  readonly toLo: number;
}

const HIGH = 2 ** 32;

/** The ranges of one endpoint. */
export class WriteExtents {
  readonly #ranges: readonly Range[];

  /**
   * Takes over those that are an endpoint's.
   *
   * @param extents of all endpoints
   * @param endpoint whose to take: by its name, and those of "*"
   */
  constructor(extents: readonly WriteExtent[], endpoint: string) {
    this.#ranges = extents.filter((e) => e.endpoint === endpoint || e.endpoint === "*").map(rangeOf);
  }

  /**
   * Whether one range holds all of these bytes.
   *
   * @param kernel whether they are written as the kernel's: in its half, or under no root of a process
   * @param hi high half of the first address
   * @param lo low half
   * @param sizeBytes how many bytes; what runs past 2^64 is nowhere
   */
  allow(kernel: boolean, hi: number, lo: number, sizeBytes: number): boolean {
    assert(sizeBytes > 0, "a write has bytes");
    const high = hi >>> 0;
    const low = lo >>> 0;
    const last = low + sizeBytes - 1;
    const lastHigh = last >= HIGH ? (high + 1) >>> 0 : high;
    if (lastHigh < high) return false;
    for (const range of this.#ranges) {
      if (
        range.kernel === kernel && !isBelow(high, low, range.fromHi, range.fromLo) &&
        isBelow(lastHigh, last >>> 0, range.toHi, range.toLo)
      ) return true;
    }
    return false;
  }
}

function isBelow(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  return aHi === bHi ? aLo < bLo : aHi < bHi;
}

function rangeOf({ space, from, to }: WriteExtent): Range {
  const [fromHi, fromLo] = halvesOf(from);
  const [toHi, toLo] = halvesOf(to);
  return { kernel: space === "kernel", fromHi, fromLo, toHi, toLo };
}

function halvesOf(address: number): [hi: number, lo: number] {
  const high = Math.floor(address / HIGH);
  return [high >>> 0, (address - high * HIGH) >>> 0];
}
