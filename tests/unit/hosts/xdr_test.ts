/**
 * XDR there and back, of each length: a value may begin where the writer's room ends.
 * @module
 */
import { assertEquals } from "@std/assert";
import { XdrReader, XdrWriter } from "../../../src/hosts/libvirt/xdr.ts";

Deno.test("XDR: what follows a text of any length is written whole", () => {
  for (let length = 0; length <= 1100; length++) {
    const text = "a".repeat(length);
    const reader = new XdrReader(new XdrWriter().text(text).u32(7).optionalText("b").u32(9).bytes());
    assertEquals([reader.text(), reader.u32(), reader.optionalText(), reader.u32()], [text, 7, "b", 9]);
  }
});

Deno.test("XDR: words alone, past the writer's first room", () => {
  const writer = new XdrWriter();
  for (let i = 0; i < 1000; i++) writer.u32(i);
  const reader = new XdrReader(writer.bytes());
  for (let i = 0; i < 1000; i++) assertEquals(reader.u32(), i);
});
