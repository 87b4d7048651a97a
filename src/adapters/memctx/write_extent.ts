/**
 * Where MEMWRITE may land: ranges of guest-virtual addresses that the config names, none by default. Addresses are kept as two 32-bit
 * halves, because a double cannot tell the last three bits of a 57-bit kernel address.
 * @module
 */
import { Fault } from "../../base/fault.ts";

/** A range as the config names it. */
export interface WriteExtent {
  /** `kernel`: addresses in the kernel's half, whatever root a write names. `process`: the user half, under a root that the write names. */
  readonly space: "kernel" | "process";
  /** First address: "0x…". */
  readonly from: string;
  /** First address past it: "0x…"; 0xffffffffffffffff includes the last byte. */
  readonly to: string;
}

interface Range {
  readonly kernel: boolean;
  readonly fromHi: number;
  readonly fromLo: number;
  readonly toHi: number;
  readonly toLo: number;
}

/** The ranges of one endpoint. */
export class WriteExtents {
  readonly #ranges: readonly Range[];

  /**
   * Takes them over.
   *
   * @throws {Fault} `bad-argument` for an address that is none, or a range that is empty
   */
  constructor(extents: readonly WriteExtent[]) {
    this.#ranges = extents.map(rangeOf);
  }

  /** Whether nothing may be written at all. */
  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /**
   * Whether one range holds all of these bytes.
   *
   * @param kernel whether the address lies in the kernel's half
   * @param hi high half of the first address
   * @param lo low half
   * @param sizeBytes how many bytes; they do not run past 2^64
   */
  allow(kernel: boolean, hi: number, lo: number, sizeBytes: number): boolean {
    const high = hi >>> 0;
    const low = lo >>> 0;
    const last = low + sizeBytes - 1;
    const lastLow = last >>> 0;
    const lastHigh = last > 0xffff_ffff ? (high + 1) >>> 0 : high;
    for (const range of this.#ranges) {
      if (
        range.kernel === kernel && !isBelow(high, low, range.fromHi, range.fromLo) &&
        isBelow(lastHigh, lastLow, range.toHi, range.toLo)
      ) return true;
    }
    return false;
  }
}

function isBelow(aHi: number, aLo: number, bHi: number, bLo: number): boolean {
  if (aHi !== bHi) return aHi < bHi;
  // The very top: the config has no number for "past the last byte".
  return aLo < bLo || (bHi === 0xffff_ffff && bLo === 0xffff_ffff && aLo === bLo);
}

function rangeOf({ space, from, to }: WriteExtent): Range {
  const first = halvesOf(from);
  const end = halvesOf(to);
  if (!isBelow(first.hi, first.lo, end.hi, end.lo)) {
    throw new Fault("bad-argument", `Cannot use the write extent ${from} to ${to}: it is empty`);
  }
  return { kernel: space === "kernel", fromHi: first.hi, fromLo: first.lo, toHi: end.hi, toLo: end.lo };
}

function halvesOf(text: string): { hi: number; lo: number } {
  const digits = /^0x([0-9a-f]{1,16})$/i.exec(text)?.[1];
  if (digits === undefined) {
    throw new Fault(
      "bad-argument",
      `Cannot use ${text} in a write extent: an address is 0x and up to 16 digits`,
    );
  }
  const padded = digits.padStart(16, "0");
  return { hi: parseInt(padded.slice(0, 8), 16), lo: parseInt(padded.slice(8), 16) };
}
