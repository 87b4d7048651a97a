/**
 * The search for a pattern: each place where a plain comparison finds it, and no other, whatever its length
 * and however it repeats itself.
 * @module
 */
import { assertEquals } from "@std/assert";
import { Needle } from "../../../src/guest/needle.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";

function plain(bytes: Uint8Array, pattern: Uint8Array, start: number, end: number): number[] {
  const out: number[] = [];
  for (let at = start; at + pattern.length <= end; at++) {
    if (pattern.every((byte, i) => bytes[at + i] === byte)) out.push(at);
  }
  return out;
}

function all(bytes: Uint8Array, pattern: Uint8Array, start: number, end: number): number[] {
  const needle = new Needle(pattern);
  const out: number[] = [];
  let at = start - 1;
  while ((at = needle.find(bytes, at + 1, end)) >= 0) out.push(at);
  return out;
}

Deno.test("a pattern is found wherever it lies, of one letter or many, short or long", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 4000; round++) {
    // Few letters: patterns repeat themselves, and are found in each other.
    const letters = 1 + random.below(3);
    const bytes = Uint8Array.from({ length: random.below(120) }, () => random.below(letters) * 0x7f);
    const length = 1 + random.below(24);
    const from = random.below(Math.max(1, bytes.length - length));
    const pattern = random.below(4) === 0 || bytes.length < from + length
      ? Uint8Array.from({ length }, () => random.below(letters) * 0x7f)
      : bytes.slice(from, from + length);
    const start = random.below(bytes.length + 1);
    const end = start + random.below(bytes.length - start + 1);
    assertEquals(all(bytes, pattern, start, end), plain(bytes, pattern, start, end), `round ${round}`);
  }
});

Deno.test("what follows the range, and what stands before it, is not looked at", () => {
  const bytes = new TextEncoder().encode("needle needle needle");
  const pattern = new TextEncoder().encode("needle");
  assertEquals(all(bytes, pattern, 1, 19), [7]);
  assertEquals(all(bytes, pattern, 0, 5), []);
  assertEquals(all(bytes, pattern, 14, 20), [14]);
});
