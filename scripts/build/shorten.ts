/**
 * Makes bundled files shorter, by white space and names alone. What `deno bundle --minify` does besides is
 * not safe: of `using a = make(); return a.run();` esbuild (0.25.5) makes `return make().run();`, and nothing
 * is disposed of any more. A replay then ended without a word to its watchers, and left its socket.
 *
 * The esbuild is that of `deno bundle`, from Deno's folder. Where it is not found, the files stay as they
 * are: larger, and right.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";

/** A resource that is disposed of at the end of its block. */
const USING = /\busing\s+[$\w]+\s*=/g;

/**
 * Shortens files in place.
 *
 * @param folder where all of them are
 * @param files their paths in it
 * @returns whether it was done
 * @throws {Fault} `refused` when one disposes of less than before, or the bundler fails
 */
export async function shorten(folder: string, files: readonly string[]): Promise<boolean> {
  const bundler = await findBundler();
  if (bundler === undefined) return false;
  const before = files.map((file) => resourcesOf(`${folder}/${file}`));
  const { code, stderr } = await new Deno.Command(bundler, {
    args: [
      ...["--minify-whitespace", "--minify-identifiers", "--log-level=error", "--charset=utf8"],
      ...["--allow-overwrite", `--outdir=${folder}`, `--outbase=${folder}`],
      ...files.map((file) => `${folder}/${file}`),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (code !== 0) {
    throw new Fault(
      "refused",
      `Cannot shorten the bundle: ${new TextDecoder().decode(stderr).slice(0, 500)}`,
    );
  }
  for (const [i, file] of files.entries()) {
    const left = resourcesOf(`${folder}/${file}`);
    if (left !== before[i]) {
      throw new Fault(
        "refused",
        `Cannot shorten ${file}: it disposed of ${before[i]} resources, and would of ${left}`,
      );
    }
  }
  return true;
}

function resourcesOf(path: string): number {
  return Deno.readTextFileSync(path).match(USING)?.length ?? 0;
}

/** The newest esbuild that `deno bundle` has brought; undefined when there is none. */
async function findBundler(): Promise<string | undefined> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
    stdout: "piped",
    stderr: "null",
  }).output();
  const { denoDir }: { denoDir?: string } = JSON.parse(new TextDecoder().decode(stdout));
  const found: string[] = [];
  try {
    for (const { name } of Deno.readDirSync(`${denoDir}/dl`)) {
      if (!name.startsWith("esbuild-")) continue;
      for (const file of Deno.readDirSync(`${denoDir}/dl/${name}`)) {
        if (file.isFile && file.name.startsWith("esbuild")) found.push(`${denoDir}/dl/${name}/${file.name}`);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
}
