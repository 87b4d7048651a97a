/**
 * A bundle's URLs lead to where the shim and the Workers are, and nothing is loaded that nobody knows. The
 * quick commands are a script that does what their module did.
 */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { asScript, withCommands, withPlaces, withRequire } from "../../../scripts/build/bundle.ts";
import { shorten } from "../../../scripts/build/shorten.ts";

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

Deno.test("a module without imports is a script, with its own URL and Deno's timers", () => {
  const script = asScript(
    "var a=()=>[import.meta.url,typeof setTimeout(()=>{},0),function(){return this}()];export{a as runCommand};\n",
  );
  const wrapped = (0, eval)(script) as (url: string, ...timers: unknown[]) => () => unknown;
  assertEquals(wrapped("file:///x/quick.js", () => 7)(), ["file:///x/quick.js", "number", undefined]);
});

Deno.test("what is shortened disposes of all that it did", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-shorten-" });
  try {
    const text = `// a comment
export async function first(make) {
  using made = make();
  return await made.run();
}
export async function second(make) {
  await using made = make();
  return made.run();
}
`;
    await Deno.mkdir(`${folder}/out`);
    await Deno.writeTextFile(`${folder}/out/a.js`, text);
    const isShorter = await shorten(folder, ["out/a.js"]);
    assertEquals((await Deno.readTextFile(`${folder}/out/a.js`)).includes("a comment"), !isShorter);
    const { first, second } = await import(`file://${folder}/out/a.js`);
    const told: string[] = [];
    const make = () => ({
      run: () => Promise.resolve("ran"),
      [Symbol.dispose]: () => void told.push("disposed"),
      [Symbol.asyncDispose]: () => Promise.resolve(void told.push("disposed later")),
    });
    assertEquals([await first(make), await second(make), ...told], [
      "ran",
      "ran",
      "disposed",
      "disposed later",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a module is a script also where it was not shortened", () => {
  const script = asScript("var runCommand = () => 5;\nexport {\n  runCommand\n};\n");
  assertEquals((0, eval)(script)("file:///x/quick.js")(), 5);
});

Deno.test("a module that imports something, or exports something else, is no script", () => {
  for (
    const text of [
      'import a from"node:vm";export{a as runCommand};',
      'var a=()=>import("./b.js");export{a as runCommand};',
      "var a=()=>import.meta.resolve('x');export{a as runCommand};",
      "var a=1,b=2;export{a as runCommand,b as other};",
      "var a=1;",
    ]
  ) assertEquals(assertThrows(() => asScript(text), Fault).code, "refused", text);
});

Deno.test("commands are found where the bundler has put them", () => {
  assertEquals(
    withCommands("x(new URL(`./${name}.ts`, import.meta.url));", "out/chunk-X.js"),
    "x(new URL(`./../out/src/client/cli/${name}.js`, import.meta.url));",
  );
  assertEquals(
    withCommands("x(new URL(`./${$1}.ts`,import.meta.url));", "out/a/b.js"),
    "x(new URL(`./../../out/src/client/cli/${$1}.js`, import.meta.url));",
  );
});

Deno.test("CommonJS in a bundle finds Node's own modules, and is told of others; what has none stays as it is", async () => {
  assertEquals(withRequire("export const a = 1;"), "export const a = 1;");
  // As the bundler writes it.
  const lookup =
    'var r=(f=>typeof require<"u"?require:f)(function(n){throw Error(`Dynamic require of "${n}"`)});';
  const load = (text: string) => import(`data:text/javascript,${encodeURIComponent(text)}`);
  const found = await load(withRequire(`${lookup}export const { sep } = r("node:path");`));
  assertEquals(found.sep, "/");
  await assertRejects(() => load(withRequire(`${lookup}r("./lib");`)), Error, "Cannot load ./lib");
});
