/** Replies that return nothing are known without reading JSON; what is not one of them is read. */
import { assertEquals } from "@std/assert";
import { emptyReturnId, parseQmpLine } from "../../../../src/qemu/protocol/qmp_message.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";

const encoder = new TextEncoder();

function idOf(line: string): number | undefined {
  // It lies between others.
  const bytes = encoder.encode(`}${line}}`);
  return emptyReturnId(bytes, 1, bytes.length - 1);
}

Deno.test("an empty return is known by its bytes, as QEMU and libvirt write it", () => {
  assertEquals(idOf('{"return": {}}'), 0);
  assertEquals(idOf('{"return":{}}'), 0);
  assertEquals(idOf('{"return": {}, "id": 3}'), 3);
  assertEquals(idOf('{"return":{},"id":7}'), 7);
  for (
    const other of [
      '{"return": {}, "id": 0}',
      '{"return": {}',
      '{"return": {"a": 1}}',
      '{"return": {}, "id": 12}',
    ]
  ) {
    assertEquals(idOf(other), undefined, other);
  }
});

Deno.test("lines of pieces in any order: what is taken for an empty return is one", () => {
  const pieces = ['{"return": {}', '{"return":{}', ', "id": ', ',"id":', "0", "1", "9", "}", "{", " ", '"'];
  let known = 0;
  withSeed((random) => {
    for (let round = 0; round < 50_000; round++) {
      const first = random.below(2);
      const rest = Array.from({ length: random.below(4) }, () => pieces[random.below(pieces.length)]);
      const line = [pieces[first], ...rest].join("");
      const id = idOf(line);
      if (id === undefined) continue;
      known++;
      const bytes = encoder.encode(line);
      assertEquals(parseQmpLine(bytes, 0, bytes.length), { kind: "return", id, value: {} }, line);
    }
  });
  assertEquals(known > 100, true);
});
