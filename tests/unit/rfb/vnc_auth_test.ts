/**
 * DES by published vectors, and the answer to a VNC challenge.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { bytesOfHex, hexOfBytes } from "../../../src/base/hex.ts";
import { desEncrypt } from "../../../src/rfb/des.ts";
import { vncResponse } from "../../../src/rfb/vnc_auth.ts";

// From NIST SP 500-20 (variable plain text, permutations, substitutions) and FIPS 46's usual example.
const VECTORS = [
  ["133457799bbcdff1", "0123456789abcdef", "85e813540f0ab405"],
  ["0000000000000000", "0000000000000000", "8ca64de9c1b123a7"],
  ["0101010101010101", "8000000000000000", "95f8a5e5dd31d900"],
  ["0101010101010101", "0000000000000001", "166b40b44aba4bd6"],
  ["8001010101010101", "0000000000000000", "95a8d72813daa94d"],
  ["7ca110454a1a6e57", "01a1d6d039776742", "690f5b0d9a26939b"],
  ["0131d9619dc1376e", "5cd54ca83def57da", "7a389d10354bd271"],
  ["1c587f1c13924fef", "305532286d6f295a", "63fac0d034d9f793"],
] as const;

Deno.test("DES encrypts as published", () => {
  for (const [key, plain, cipher] of VECTORS) {
    assertEquals(hexOfBytes(desEncrypt(bytesOf(key), bytesOf(plain))), cipher);
  }
});

Deno.test("a VNC challenge is answered with the reversed bits of the first eight bytes of the password", () => {
  const challenge = new Uint8Array(Array.from({ length: 16 }, (_, i) => i * 3));
  // By OpenSSL's des-ecb with the key cea6c64ea62e0000.
  assertEquals(hexOfBytes(vncResponse("secret", challenge)), "01c3cf92c5dea00b174e1d72969de2a6");
  assertEquals(vncResponse("12345678", challenge), vncResponse("123456789", challenge));
});

function bytesOf(hex: string): Uint8Array {
  const bytes = bytesOfHex(hex);
  assert(bytes !== undefined, hex);
  return bytes;
}
