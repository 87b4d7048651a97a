/**
 * Compiles the C floors of the benchmarks, and runs them. Kept in a temporary folder for the life of the
 * process.
 * @module
 */

const SOURCES = new URL("./c/", import.meta.url).pathname;
const built = new Map<string, string>();
let folder: string | undefined;

/** The path of a compiled C floor by the name of its source in tests/bench/c, with libraries ("-lvirt"). */
export function cFloor(name: string, libraries: readonly string[] = []): string {
  const known = built.get(name);
  if (known !== undefined) return known;
  if (folder === undefined) {
    const made = Deno.makeTempDirSync({ prefix: "vmsig-bench-" });
    folder = made;
    globalThis.addEventListener("unload", () => Deno.removeSync(made, { recursive: true }));
  }
  const path = `${folder}/${name}`;
  const { code, stderr } = new Deno.Command("cc", {
    args: [
      "-O2",
      "-std=gnu11",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-o",
      path,
      `${SOURCES}${name}.c`,
      ...libraries,
    ],
  }).outputSync();
  if (code !== 0) throw new Error(`cc ${name}.c: ${new TextDecoder().decode(stderr)}`);
  built.set(name, path);
  return path;
}

/** Runs a program and gives the numbers on its last line. */
export async function numbersOf(path: string, args: readonly string[]): Promise<number[]> {
  const { code, stdout, stderr } = await new Deno.Command(path, {
    args: [...args],
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(`${path} ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  const line = new TextDecoder().decode(stdout).trim().split("\n").at(-1) ?? "";
  return line.split(/\s+/).map(Number);
}
