/**
 * Bytes as hexadecimal text and back. (`Uint8Array.prototype.toHex` is younger than the oldest supported
 * Deno.)
 * @module
 */

const DIGITS: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

/** Lower-case hexadecimal, two digits a byte. */
export function hexOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += DIGITS[byte];
  return text;
}

/**
 * The bytes of hexadecimal text (an optional "0x" first, spaces and colons between bytes allowed); undefined
 * when it is not valid.
 */
export function bytesOfHex(text: string): Uint8Array | undefined {
  const digits = text.replace(/^0x/i, "").replace(/[\s:]/g, "");
  if (digits.length === 0 || digits.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(digits)) return undefined;
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
