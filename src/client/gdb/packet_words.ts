/**
 * Elements of GDB's packets.
 * @module
 */
import { hexOfBytes } from "../../base/hex.ts";

/** A hexadecimal number with at most that many digits; undefined for anything else. */
export function hexNumber(text: string, mostDigits: number): number | undefined {
  return /^[0-9a-f]+$/i.test(text) && text.length <= mostDigits ? parseInt(text, 16) : undefined;
}

/** "ADDR,LENGTH", both hexadecimal. */
export function rangeOf(text: string): { readonly address: number; readonly length: number } | undefined {
  const [, at = "", length = ""] = /^([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text) ?? [];
  if (at === "") return undefined;
  return { address: Number(BigInt.asIntN(64, BigInt(`0x${at}`))), length: parseInt(length, 16) };
}

/** Text as two digits per byte. */
export function hexText(text: string): string {
  return hexOfBytes(new TextEncoder().encode(text));
}

/** Text escaped for an XML attribute. */
export function xmlText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
