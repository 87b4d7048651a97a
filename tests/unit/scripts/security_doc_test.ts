// The threat model names files, limits and rights: all of them exist.
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../../", import.meta.url).pathname;
const text = Deno.readTextFileSync(`${ROOT}src/SECURITY.md`);

function sources(folder: string): string[] {
  return [...Deno.readDirSync(`${ROOT}${folder}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? sources(`${folder}/${name}`) : name.endsWith(".ts") ? [`${folder}/${name}`] : []
  );
}

Deno.test("every file that the threat model names is there", () => {
  const paths = [...text.matchAll(/`((?:src|ffi|shim|tests|config|scripts)\/[^`\s]*|deno\.lock)`/g)].map((
    [, path],
  ) => path);
  assert(paths.length > 60, `${paths.length}`);
  for (const path of paths) Deno.statSync(`${ROOT}${path}`);
});

Deno.test("every limit that it names is one of the sources", () => {
  const code = sources("src").map((path) => Deno.readTextFileSync(`${ROOT}${path}`)).join("\n");
  const names = new Set(
    [...text.matchAll(/`((?:MAX|MOST|MIN|RECEIVE|HELLO)_[A-Z_]+)`/g)].map(([, name]) => name),
  );
  assert(names.size > 20);
  for (const name of names) assert(new RegExp(`const ${name}\\b`).test(code), `${name} is no constant`);
});

Deno.test("the capabilities that it weighs are those of the unit", () => {
  const unit = Deno.readTextFileSync(`${ROOT}config/vmsigd.service`);
  const [, given = ""] = /^AmbientCapabilities=(.*)$/m.exec(unit) ?? [];
  const weighed = [...text.matchAll(/^\| (CAP_[A-Z_]+) /gm)].map(([, name]) => name);
  assertEquals(weighed, given.split(" "));
});
