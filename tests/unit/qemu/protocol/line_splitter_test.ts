import { assert, assertEquals } from "@std/assert";
import { LineSplitter } from "../../../../src/qemu/protocol/line_splitter.ts";
import { SeededRandom } from "../../../fixtures/seeded_random.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function collect(maxBytes?: number): { lines: string[]; splitter: LineSplitter } {
  const lines: string[] = [];
  const splitter = new LineSplitter((bytes, from, to) => {
    lines.push(decoder.decode(bytes.subarray(from, to)));
    return true;
  }, maxBytes);
  return { lines, splitter };
}

Deno.test("lines come out whole however the stream is torn", () => {
  const random = new SeededRandom();
  for (let round = 0; round < 500; round++) {
    const wanted = Array.from(
      { length: random.below(12) },
      () => "x".repeat(random.below(40)) + random.below(1000),
    );
    const stream = encoder.encode(wanted.map((line) => line + (random.oneIn(2) ? "\r\n" : "\n")).join(""));
    const { lines, splitter } = collect();
    for (let at = 0; at < stream.length;) {
      const piece = stream.subarray(at, at + 1 + random.below(17));
      assert(splitter.push(piece, piece.length));
      // What was handed in may change afterwards.
      at += piece.length;
    }
    assertEquals(lines, wanted, `seed ${random.seed}, round ${round}`);
  }
});

Deno.test("empty lines are left out, bytes past the length are not read", () => {
  const { lines, splitter } = collect();
  const bytes = encoder.encode("\r\n\na\n\nb\nc\n");
  assert(splitter.push(bytes, bytes.length - 2));
  assertEquals(lines, ["a", "b"]);
});

Deno.test("a line past the bound is refused, torn or whole, with its line end or without", () => {
  assertEquals(collect(8).splitter.push(encoder.encode("123456789\n"), 10), false);
  assertEquals(collect(8).splitter.push(encoder.encode("123456789"), 9), false);
  const { lines, splitter } = collect(8);
  assert(splitter.push(encoder.encode("12345678\n1234"), 13));
  assertEquals(lines, ["12345678"]);
  assertEquals(splitter.push(encoder.encode("56789"), 5), false);
});

Deno.test("a sink that wants no more is given no more", () => {
  let seen = 0;
  const splitter = new LineSplitter(() => {
    seen++;
    return false;
  });
  assert(splitter.push(encoder.encode("a\nb\nc\n"), 6));
  assertEquals(seen, 1);
});
