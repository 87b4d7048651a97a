/**
 * Text for C: NUL-terminated UTF-8. Text with a NUL inside is refused, for C would see only its beginning.
 * @module
 */
import { Fault } from "../src/base/fault.ts";

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/**
 * Text as C takes it.
 *
 * @throws {Fault} `bad-argument` when the text has a NUL inside
 */
export function cText(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new Fault(
      "bad-argument",
      `Cannot use ${JSON.stringify(text)} as a name: it has a NUL character inside`,
    );
  }
  // The copy is for the types of Deno 2.4, where encode() may give a view of shared memory.
  return new Uint8Array(ENCODER.encode(text + "\0"));
}

/** The text that C wrote: up to the first NUL, or all of it. */
export function textOfC(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return DECODER.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
