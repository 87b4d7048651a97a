/**
 * Bundles the sources before they are compiled: 450 modules become a few files, one per command and those
 * that they share, so that a command of the executable starts 15 ms earlier. It is done by `deno bundle`,
 * which brings esbuild with it; `scripts/setup.sh compile` sees to that. Where it cannot be had, the
 * executable is compiled from the sources as they are.
 *
 * The commands that are over at once, and that scripts run again and again, are one minified file each
 * besides ({@linkcode QUICK_COMMANDS}): loading 40 modules takes as long as all that they do. Such a file has
 * everything of its own and shares no module with the others, so that no class is there twice in a process.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import type { CommandEntry } from "../../src/client/cli/command.ts";
import { COMMANDS } from "../../src/client/cli/command_table.ts";

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

/** Commands with a file of their own: short, and without a Worker. */
export const QUICK_COMMANDS = ["ls", "key", "type", "mouse", "held", "vm", "lease", "version"] as const;

const OUT = "out";
const QUICK = `${OUT}/quick`;
const MAIN = `${OUT}/main.js`;
const LAUNCHER = `${OUT}/launcher.js`;
const CLI = "src/client/cli";
/** `new URL("LITERAL", import.meta.url)`, as the sources and the bundler write it, minified too. */
const BY_URL = /new URL\("([^"]+)", ?import\.meta\.url\)/g;

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
  const obstacle =
    await runBundler(root, ["--code-splitting", "--outdir", `${folder}/${OUT}`, "main.ts", ...workers]) ??
      await bundleQuick(root, folder);
  if (obstacle !== undefined) {
    tell(obstacle);
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
  Deno.writeTextFileSync(`${folder}/${LAUNCHER}`, launcherText());
  return { folder, main: LAUNCHER, included: [...places.values()] };
}

/** Bundles each quick command; gives the bundler's words when it cannot. */
async function bundleQuick(root: string, folder: string): Promise<string | undefined> {
  const entries = `${folder}/entries`;
  Deno.mkdirSync(entries);
  const cli = new URL(`file://${root}${CLI}/`).href;
  try {
    for (const name of QUICK_COMMANDS) {
      const entry = `${entries}/${name}.ts`;
      Deno.writeTextFileSync(entry, quickText(cli, name));
      const out = `${folder}/${QUICK}/${name}.js`;
      const words = await runBundler(root, ["--minify", "--output", out, entry]);
      if (words !== undefined) return words;
    }
  } finally {
    Deno.removeSync(entries, { recursive: true });
  }
  return undefined;
}

/** Runs `deno bundle`; gives its first line when it fails. */
async function runBundler(root: string, args: readonly string[]): Promise<string | undefined> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "deno", ...args],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  return code === 0 ? undefined : new TextDecoder().decode(stderr).split("\n", 1)[0] ?? "";
}

/** The main module of the executable: the command's own file, or the one for all. */
function launcherText(): string {
  const quick = QUICK_COMMANDS.map((name) =>
    `  ${JSON.stringify(name)}: () => import("./quick/${name}.js"),\n`
  );
  return `const quick = {\n${quick.join("")}};
const name = Deno.args[0] ?? "";
const all = () => import("./${nameOf(MAIN)}");
const { runCommand } = await (Object.hasOwn(quick, name) ? quick[name] : all)();
Deno.exit(await runCommand(Deno.args));
`;
}

/** The main module of a quick command: a table with this one row. */
function quickText(cli: string, name: string): string {
  const { summary, usage } = COMMANDS[name] as CommandEntry;
  return `import { runOneOf } from "${cli}run_one_of.ts";
import { ${name} } from "${cli}${name}.ts";
const entry = { ...${JSON.stringify({ summary, usage })}, load: () => Promise.resolve(${name}) };
export const runCommand = (argv: readonly string[]) => runOneOf({ ${name}: entry }, argv);
`;
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
