/**
 * Bundles the sources before they are compiled: 450 modules become a few files, one per command and those
 * that they share, so that a command of the executable starts 15 ms earlier. It is done by `deno bundle`,
 * which brings esbuild with it; `scripts/setup.sh compile` sees to that. Where it cannot be had, the
 * executable is compiled from the sources as they are.
 *
 * The commands that are over at once, and that scripts run again and again, are one script besides
 * (`executable/quick_script.ts`). It has everything of its own and shares no module with the others, so that
 * no class is there twice in a process.
 *
 * All is shortened (shorten.ts): Deno reads and copies whatever is embedded at each start, 1 ms for each
 * 2 MB. Functions keep their names, for the stack of a defect.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import type { CommandEntry } from "../../src/client/cli/command.ts";
import { COMMANDS } from "../../src/client/cli/command_table.ts";
import { shorten } from "./shorten.ts";
import { QUICK_COMMANDS, QUICK_FILE, QUICK_HEAD } from "./executable/quick_script.ts";

/** What is compiled: a folder, and paths in it. */
export interface Bundle {
  /** The folder. */
  readonly folder: string;
  /** The main module. */
  readonly main: string;
  /** What is loaded by URL at run time: the C shim, entry points of Workers, late modules, the commands. */
  readonly included: readonly string[];
  /** The main module of what makes the code of the quick commands; undefined when they have no script. */
  readonly maker?: string;
}

/** What a bundle is made of. */
export interface BundleOptions {
  /** The top of the sources. */
  readonly root: string;
  /** An empty folder for it. */
  readonly folder: string;
  /** Modules that the sources load by their URL, besides the commands: relative to the top. */
  readonly byUrl: readonly string[];
  /** The C shim, relative to the top. */
  readonly shim: string;
}

const OUT = "out";
const MAIN = `${OUT}/main.js`;
/** What the executable has besides the bundle; it is compiled as it is. */
const EXECUTABLE = "scripts/build/executable";
const QUICK = `${OUT}/${QUICK_FILE}`;
const [QUICK_SCRIPT, LAUNCHER, MAKER] = ["quick_script.ts", "launcher.ts", "code_maker.ts"] as const;
const CLI = "src/client/cli";
/** As command_table.ts makes a command's URL, which the bundler leaves alone; minified too. */
const COMMAND_URL = /new URL\(`\.\/\$\{([$\w]+)\}\.ts`, ?import\.meta\.url\)/;
/** `new URL("LITERAL", import.meta.url)`, as the sources and the bundler write it, minified too. */
const BY_URL = /new URL\("([^"]+)", ?import\.meta\.url\)/g;

/**
 * Bundles with the Deno that runs this.
 *
 * @returns undefined when there is no bundler; `tell` gets why
 * @throws {Fault} `refused` when the bundle loads something by URL that is not known here, or no command so
 */
export async function bundle(
  options: BundleOptions,
  tell: (why: string) => void,
): Promise<Bundle | undefined> {
  const { root, folder, byUrl, shim } = options;
  const entries = ["main.ts", ...byUrl, ...commandFiles()];
  const chunks = ["--keep-names", "--code-splitting", "--outdir", `${folder}/${OUT}`];
  const obstacle = await runBundler(root, [...chunks, ...entries]) ??
    await bundleQuick(root, folder);
  if (obstacle !== undefined) {
    tell(obstacle);
    return undefined;
  }
  await shorten(folder, filesIn(folder, OUT));
  const target = `${folder}/${shim}`;
  Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
  Deno.copyFileSync(`${root}${shim}`, target);
  const places = new Map([[nameOf(shim), shim]]);
  for (const file of byUrl) places.set(nameOf(file), `${OUT}/${file.replace(/\.ts$/, ".js")}`);
  let hasCommands = false;
  for (const file of filesIn(folder, OUT)) {
    const text = Deno.readTextFileSync(`${folder}/${file}`);
    hasCommands ||= COMMAND_URL.test(text);
    const moved = withRequire(withCommands(withPlaces(text, file, places), file));
    if (moved !== text) Deno.writeTextFileSync(`${folder}/${file}`, moved);
  }
  if (!hasCommands) {
    throw new Fault("refused", `Cannot bundle: ${CLI}/command_table.ts loads no command by its URL`);
  }
  Deno.writeTextFileSync(`${folder}/${QUICK}`, asScript(Deno.readTextFileSync(`${folder}/${QUICK}`)));
  for (const name of [QUICK_SCRIPT, LAUNCHER, MAKER]) {
    Deno.copyFileSync(`${root}${EXECUTABLE}/${name}`, `${folder}/${OUT}/${name}`);
  }
  const commands = commandFiles().map((file) => `${OUT}/${file.replace(/\.ts$/, ".js")}`);
  const included = [MAIN, QUICK, ...places.values(), ...commands];
  return { folder, main: `${OUT}/${LAUNCHER}`, included, maker: `${OUT}/${MAKER}` };
}

/** The commands' files, relative to the top: command_table.ts loads them by URL. */
export function commandFiles(): string[] {
  return Object.keys(COMMANDS).map((name) => `${CLI}/${name}.ts`);
}

/** Bundles the quick commands; gives the bundler's words when it cannot. */
async function bundleQuick(root: string, folder: string): Promise<string | undefined> {
  const entry = `${folder}/quick_entry.ts`;
  Deno.writeTextFileSync(entry, quickText(new URL(`file://${root}${CLI}/`).href));
  try {
    return await runBundler(root, ["--output", `${folder}/${QUICK}`, entry]);
  } finally {
    Deno.removeSync(entry);
  }
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

/**
 * A bundled module as a script that returns its `runCommand`: what `executable/quick_script.ts` runs.
 *
 * @throws {Fault} `refused` when it imports something
 */
export function asScript(text: string): string {
  const exported = /export\s*\{\s*(?:([$\w]+) as )?runCommand\s*\};?\s*$/.exec(text);
  const body = text.slice(0, exported?.index).replaceAll("import.meta.url", "importMetaUrl");
  if (exported === null || /\bimport\b\s*[({"'*.]|^\s*import\b/m.test(body)) {
    throw new Fault(
      "refused",
      "Cannot bundle: the quick commands import something or do not export runCommand alone, which a script cannot",
    );
  }
  return `${QUICK_HEAD}${body}\nreturn ${exported[1] ?? "runCommand"};})`;
}

/** The main module of the quick commands: a table of them, each of which is loaded when it is chosen. */
function quickText(cli: string): string {
  const rows = QUICK_COMMANDS.map((name) => {
    const { summary, usage } = COMMANDS[name] as CommandEntry;
    return `  ${name}: {
    ...${JSON.stringify({ summary, usage })},
    load: async () => (await import("${cli}${name}.ts")).${name},
  },
`;
  });
  return `import { runOneOf } from "${cli}run_one_of.ts";
const commands = {
${rows.join("")}};
export const runCommand = (argv: readonly string[]) => runOneOf(commands, argv);
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
    return `new URL("./${upFrom(file)}${place}", import.meta.url)`;
  });
}

/** A bundled file that finds the commands where they are now. */
export function withCommands(text: string, file: string): string {
  const folder = `./${upFrom(file)}${OUT}/${CLI}/`;
  return text.replace(
    COMMAND_URL,
    (_whole, name: string) => `new URL(\`${folder}\${${name}}.js\`, import.meta.url)`,
  );
}

/**
 * A bundled file whose CommonJS modules get Node's own modules: the bundler leaves `require` of those to a
 * global that no ES module has. They are looked up when they are asked for, and nothing is imported for it.
 */
export function withRequire(text: string): string {
  if (!text.includes("Dynamic require of")) return text;
  const lookup = "const require=(name)=>{const found=process.getBuiltinModule(name);" +
    'if(found===undefined)throw new Error("Cannot load "+name+": it is not in the bundle");return found};';
  return `${lookup}\n${text}`;
}

/** The way from a file's folder to the top. */
function upFrom(file: string): string {
  return "../".repeat(file.split("/").length - 1);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function filesIn(folder: string, under: string): string[] {
  return [...Deno.readDirSync(`${folder}/${under}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(folder, `${under}/${name}`) : [`${under}/${name}`]
  );
}
