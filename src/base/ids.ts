/**
 * Branded numbers: a plain number at run time, a kind of its own for the compiler, so that an endpoint is
 * never passed where a guest address belongs.
 *
 * Addresses are doubles. A user or physical address is exact below 2^53. A kernel virtual address is held
 * signed, `hi32 (signed) * 2^32 + lo32`: 0xffff888000000000 is -0x778000000000, exact for 48-bit spaces; with
 * 57 bits the spacing of doubles is 8 bytes near the bottom of the kernel half, so bases stay 8-aligned and
 * small offsets are added last.
 * @module
 */

/** Exists for the compiler only: what sets a branded number apart. */
export declare const brand: unique symbol;
/** A number of one kind only. */
export type Branded<Kind extends string> = number & { readonly [brand]: Kind };

/** Number of an endpoint (one VM), 0 to 63. */
export type EndpointId = Branded<"EndpointId">;
/** The endpoint's number of an event that concerns none, as it travels. */
export const NO_ENDPOINT: EndpointId = 0xffffffff as EndpointId;
/** Number of a control, from 1. */
export type ControlId = Branded<"ControlId">;
/** The control's number of an event that concerns all of them, or none. */
export const NO_CONTROL: ControlId = 0 as ControlId;

const HIGH = 2 ** 32;

/** A guest virtual address as people and JSON see it: "0x" and 16 digits at most, unsigned. */
export function hexOfGva(gva: number): string {
  const high = Math.floor(gva / HIGH);
  const low = gva - high * HIGH;
  const hi = high >>> 0;
  return "0x" + (hi === 0 ? low.toString(16) : hi.toString(16) + low.toString(16).padStart(8, "0"));
}

/**
 * Parses an address or size as a person writes it: "0x…" (up to 64 bits) or decimal.
 * Values of 2^63 and above come back negative, as the text above says.
 *
 * @returns undefined when the text is not a number or has more than 64 bits
 */
export function parseAddress(text: string): number | undefined {
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return undefined;
  const value = BigInt(text);
  if (value >= 1n << 64n) return undefined;
  return Number(BigInt.asIntN(64, value));
}
