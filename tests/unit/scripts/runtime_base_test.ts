/** Where the runtime base of `deno compile` comes from, and what is said where there is none. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { compileFault, findRuntimeBase } from "../../../scripts/build/runtime_base.ts";

const OFFLINE = `error: Writing deno compile executable to temporary file 'x.tmp'

Caused by:
    0: Setting up base binary.
    1: error sending request for url (https://example.invalid/denort.zip): client error (Connect): dns error
    2: client error (Connect)
    3: dns error

Stack backtrace:
   0: <unknown>
`;

function withTools(body: (tools: string) => void): void {
  const tools = Deno.makeTempDirSync({ prefix: "vmsig-base-" });
  try {
    body(tools);
  } finally {
    Deno.removeSync(tools, { recursive: true });
  }
}

Deno.test("DENORT_BIN comes first, and must be of the version that compiles", () => {
  withTools((tools) => {
    const given = `${tools}/given`;
    Deno.writeTextFileSync(given, "\0\0DDeDeno/2.4.2\0more");
    Deno.writeTextFileSync(`${tools}/denort-2.4.2`, "");
    assertEquals(findRuntimeBase({ version: "2.4.2", given, tools }), { from: "environment", path: given });
    const other = assertThrows(() => findRuntimeBase({ version: "2.9.6", given, tools }), Fault);
    assertEquals(other.code, "refused");
    assertMatch(other.message, /not the runtime base of Deno 2\.9\.6; give it by DENORT_BIN=FILE/);
    const gone = { version: "2.4.2", given: `${tools}/gone`, tools };
    const absent = assertThrows(() => findRuntimeBase(gone), Fault);
    assertEquals(absent.code, "missing");
  });
});

Deno.test("the one in .tools is used where its version fits, and Deno is left to get its own otherwise", () => {
  withTools((tools) => {
    Deno.writeTextFileSync(`${tools}/denort-2.4.2`, "");
    const path = `${tools}/denort-2.4.2`;
    assertEquals(findRuntimeBase({ version: "2.4.2", given: "", tools }), { from: "tools", path });
    assertEquals(findRuntimeBase({ version: "2.9.6", given: undefined, tools }), { from: "deno" });
    assertEquals(findRuntimeBase({ version: "2.9.6", given: undefined, tools: "/nowhere" }), {
      from: "deno",
    });
  });
});

Deno.test("no network: one line that says what is missing and how to give it; other words stay", () => {
  withTools((tools) => {
    Deno.writeTextFileSync(`${tools}/denort-2.4.2`, "");
    const { code, message } = compileFault(OFFLINE, { version: "2.9.6", given: undefined, tools });
    assertEquals(code, "missing");
    assertMatch(
      message,
      /^Cannot compile: the runtime base of Deno 2\.9\.6 is not here and cannot be downloaded \(dns error\); \.tools has the one of Deno 2\.4\.2, [^\n]*DENORT_BIN=FILE[^\n]*$/,
    );
    const words = "error: Module not found 'x'\n    at file:///y\n\nStack backtrace:\n   0: <unknown>\n";
    const other = compileFault(words, { version: "2.9.6", given: undefined, tools });
    assertEquals([other.code, other.message], [
      "refused",
      "Cannot compile: Module not found 'x': at file:///y",
    ]);
  });
});
