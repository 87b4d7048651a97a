/**
 * VNC authentication (RFC 6143, 7.2.2): the challenge of 16 bytes, encrypted with the password as the key.
 * Only the first eight bytes of a password count, and each is taken with its bits in reverse, as the first
 * implementation did.
 * @module
 */
import { assert } from "../base/assert.ts";
import { desEncrypt } from "./des.ts";
import { CHALLENGE_BYTES } from "./protocol.ts";

/**
 * The answer to a challenge: what a client sends, and what a server compares with.
 *
 * @param password its first eight bytes in UTF-8 are used; a shorter one is filled with zeros
 * @param challenge 16 bytes
 */
export function vncResponse(password: string, challenge: Uint8Array): Uint8Array<ArrayBuffer> {
  assert(challenge.length === CHALLENGE_BYTES, "a challenge has 16 bytes");
  const key = new Uint8Array(8);
  new TextEncoder().encode(password).subarray(0, 8).forEach((byte, i) => key[i] = reversed(byte));
  const answer = new Uint8Array(CHALLENGE_BYTES);
  answer.set(desEncrypt(key, challenge.subarray(0, 8)), 0);
  answer.set(desEncrypt(key, challenge.subarray(8)), 8);
  return answer;
}

function reversed(byte: number): number {
  let out = 0;
  for (let bit = 0; bit < 8; bit++) out |= (byte >> bit & 1) << (7 - bit);
  return out;
}
