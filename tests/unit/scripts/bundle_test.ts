/** A bundle's URLs lead to where the shim and the Workers are, and nothing is loaded that nobody knows. */
import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { withPlaces } from "../../../scripts/build/bundle.ts";

const PLACES = new Map([
  ["libvmsig_shim.so", "shim/libvmsig_shim.so"],
  ["loop_worker.ts", "out/src/daemon/loop_worker.js"],
]);

Deno.test("what is loaded by URL is found from wherever the bundler has put the code", () => {
  const text = 'new Worker(new URL("./loop_worker.ts", import.meta.url)); new URL("https://x.invalid/a")';
  assertEquals(
    withPlaces(text, "out/serve-X.js", PLACES),
    'new Worker(new URL("./../out/src/daemon/loop_worker.js", import.meta.url)); new URL("https://x.invalid/a")',
  );
  assertEquals(
    withPlaces(
      'new URL("../shim/libvmsig_shim.so", import.meta.url)',
      "out/src/daemon/loop_worker.js",
      PLACES,
    ),
    'new URL("./../../../shim/libvmsig_shim.so", import.meta.url)',
  );
});

Deno.test("a URL of something else is refused with the file that has it", () => {
  const fault = assertThrows(
    () => withPlaces('new URL("./table.json", import.meta.url)', "out/a.js", PLACES),
    Fault,
  );
  assertEquals(fault.code, "refused");
  assertEquals(/out\/a\.js loads \.\/table\.json/.test(fault.message), true);
});
