/**
 * Bundles the sources before they are compiled: 450 modules become a few files, one per command and those
 * that they share, so that a command of the executable starts 15 ms earlier. It is done by `deno bundle`,
 * which brings esbuild with it; `scripts/setup.sh compile` sees to that. Where it cannot be had, the
 * executable is compiled from the sources as they are.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";

/** What is compiled: a folder, and paths in it. */
export interface Bundle {
  /** The folder. */
  readonly folder: string;
  /** The main module. */
  readonly main: string;
  /** What is loaded by URL at run time: the C shim, the entry points of Workers. */
  readonly included: readonly string[];
}

/** What a bundle is made of. */
export interface BundleOptions {
  /** The top of the sources. */
  readonly root: string;
  /** An empty folder for it. */
  readonly folder: string;
  /** Entry points of Workers, relative to the top. */
  readonly workers: readonly string[];
  /** The C shim, relative to the top. */
  readonly shim: string;
}

const OUT = "out";
/** `new URL("LITERAL", import.meta.url)`, as the sources and the bundler write it. */
const BY_URL = /new URL\("([^"]+)", import\.meta\.url\)/g;

/**
 * Bundles with the Deno that runs this.
 *
 * @returns undefined when there is no bundler; `tell` gets why
 * @throws {Fault} `refused` when the bundle loads something by URL that is not known here
 */
export async function bundle(
  options: BundleOptions,
  tell: (why: string) => void,
): Promise<Bundle | undefined> {
  const { root, folder, workers, shim } = options;
  const out = `${folder}/${OUT}`;
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--platform",
      "deno",
      "--code-splitting",
      "--outdir",
      out,
      "main.ts",
      ...workers,
    ],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  if (code !== 0) {
    tell(new TextDecoder().decode(stderr).split("\n", 1)[0] ?? "");
    return undefined;
  }
  const target = `${folder}/${shim}`;
  Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
  Deno.copyFileSync(`${root}${shim}`, target);
  const places = new Map([[nameOf(shim), shim]]);
  for (const worker of workers) places.set(nameOf(worker), `${OUT}/${worker.replace(/\.ts$/, ".js")}`);
  for (const file of filesIn(folder, OUT)) {
    const text = Deno.readTextFileSync(`${folder}/${file}`);
    const moved = withPlaces(text, file, places);
    if (moved !== text) Deno.writeTextFileSync(`${folder}/${file}`, moved);
  }
  return { folder, main: `${OUT}/main.js`, included: [...places.values()] };
}

/**
 * A bundled file whose URLs lead to where things are now.
 *
 * @param file its path in the bundle's folder
 * @param places file name in the sources to path in the bundle's folder
 * @throws {Fault} `refused` for a URL of something else
 */
export function withPlaces(text: string, file: string, places: ReadonlyMap<string, string>): string {
  return text.replaceAll(BY_URL, (_whole, literal: string) => {
    const place = places.get(nameOf(literal));
    if (place === undefined) {
      throw new Fault(
        "refused",
        `Cannot bundle: ${file} loads ${literal} by its URL, which scripts/build/bundle.ts does not know`,
      );
    }
    const up = "../".repeat(file.split("/").length - 1);
    return `new URL("./${up}${place}", import.meta.url)`;
  });
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function filesIn(folder: string, under: string): string[] {
  return [...Deno.readDirSync(`${folder}/${under}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(folder, `${under}/${name}`) : [`${under}/${name}`]
  );
}
