import { assertEquals } from "@std/assert";
import { unknownGuestText } from "../../../../src/adapters/memctx/unknown_guest.ts";

Deno.test("a guest that is not supported is told by its system, within an ERROR's 40 bytes", () => {
  const bounded = (detail: string): string => {
    const text = unknownGuestText(detail);
    assertEquals(new TextEncoder().encode(text).length <= 40, true, text);
    return text;
  };
  assertEquals(
    bounded("Linux 5.10.0-28-cloud-amd64: its VMCOREINFO note does not tell where kallsyms is"),
    "not supported: Linux 5.10.0-28-cloud-amd",
  );
  assertEquals(bounded("Windows: no kernel image"), "not supported: Windows");
  assertEquals(bounded("Linux \x1b[2J: odd"), "not supported: Linux \\x1b[2J");
  assertEquals(bounded("Linux \u202e\u202e\u202e\u202e: odd").length <= 40, true);
  assertEquals(
    bounded("1 VMCOREINFO note(s) in RAM, none of a kernel that runs now"),
    "no known guest system in RAM",
  );
  assertEquals(
    bounded("Windows 10 is in RAM, but the live root does not map it"),
    "no known guest system in RAM",
  );
});
