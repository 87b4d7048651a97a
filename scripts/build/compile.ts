/**
 * `deno task compile`: makes the one executable. Everything that is loaded by URL at run time (the C shim,
 * the entry points of Workers) is named, because the compiler follows imports only. The modules are bundled
 * first (bundle.ts).
 *
 *   deno run -A scripts/build/compile.ts [OUTPUT]      default: dist/vmsig
 *
 * @module
 */
import { exitCodeOf, Fault } from "../../src/base/fault.ts";
import { type Bundle, bundle, commandFiles } from "./bundle.ts";
import { makeCode } from "./quick_code.ts";
import { compileFault, findRuntimeBase } from "./runtime_base.ts";

const SHIM = "shim/libvmsig_shim.so";
const ROOT = new URL("../../", import.meta.url).pathname;

/**
 * All of them: FFI, which the loop cannot do without, is as much as all anyway, and Deno gives /proc (where a
 * VM's RAM and the host's processes are found) to nobody with less. What confines the daemon is its systemd
 * unit.
 */
const PERMISSIONS = ["--allow-all"];

/**
 * V8 compiles each function when its module is loaded, not when it is called first: the first VM that was
 * attached took the loop's thread 7 to 14 ms, most of it compiling (now 3 to 4). It costs 6 MB; the start
 * takes as long as before. Whoever runs the daemon from the sources gives it too (`deno task serve` in
 * deno.json has it written out).
 */
export const EAGER = ["--v8-flags=--no-lazy"];

/**
 * The executable's flags of V8. A short command lives through one collection of the youngest garbage, of less
 * than a megabyte, before it has connected. Where threads help with that, the first wait for one of them has
 * V8 measure the processor's clock, and sleep 1 and 2 ms for it: so it was in 40 of 45 runs of `key` and
 * `ls`, and in 8 of 40 without those threads.
 */
const V8_FLAGS = EAGER.map((flags) => `${flags},--no-parallel-scavenge`);

/** Modules that are loaded by their URL when they are needed, besides the commands; relative to the top. */
const LATE_MODULES = ["src/daemon/endpoint_maker.ts", "src/daemon/channel_server.ts"];

/** What the sources load by its URL: entry points of Workers and late modules, relative to the top. */
export function filesByUrl(): string[] {
  const found = [...LATE_MODULES];
  const folders = ["src"];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of Deno.readDirSync(`${ROOT}${folder}`)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else if (entry.name.endsWith("_worker.ts")) found.push(path);
    }
  }
  return found.sort();
}

/** The sources as they are, when they are not bundled. */
function unbundled(): Bundle {
  return { folder: ROOT, main: "main.ts", included: [SHIM, ...filesByUrl(), ...commandFiles()] };
}

/** The arguments of `deno`, with the output's absolute path. */
export function compileArguments(output: string, { main, included }: Bundle): string[] {
  // Without --no-code-cache the executable writes a file of a predictable name into TMPDIR.
  return [
    "compile",
    "--quiet",
    "--no-check",
    "--no-code-cache",
    ...V8_FLAGS,
    ...PERMISSIONS,
    ...included.flatMap((file) => ["--include", file]),
    "--output",
    output,
    main,
  ];
}

/** What compiles, and into what. */
export interface Compilation {
  /** The Deno that compiles. */
  readonly deno: string;
  /** Its version. */
  readonly version: string;
  /** The executable's path. */
  readonly output: string;
}

/**
 * Compiles, with the runtime base that is here, or the one that Deno downloads (runtime_base.ts).
 *
 * @throws {Fault} `missing` when there is no runtime base, `refused` with the compiler's words
 */
export async function compile(
  { deno, version, output }: Compilation,
  tell: (line: string) => void = (line) => console.error(`vmsig: ${line}`),
): Promise<void> {
  const search = { version, given: Deno.env.get("DENORT_BIN"), tools: `${ROOT}.tools` };
  const base = findRuntimeBase(search);
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-bundle-" });
  try {
    const what = { root: ROOT, folder, byUrl: filesByUrl(), shim: SHIM };
    let obstacle = "";
    const bundled = await bundle(what, (why) => (obstacle = why));
    const make = async (file: string, sources: Bundle): Promise<void> => {
      const { code, stderr } = await new Deno.Command(deno, {
        args: compileArguments(file, sources),
        cwd: sources.folder,
        env: { ...base.from === "deno" ? {} : { DENORT_BIN: base.path }, NO_COLOR: "1" },
        stdout: "null",
        stderr: "piped",
      }).output();
      if (code !== 0) throw compileFault(new TextDecoder().decode(stderr), search);
    };
    let sources = bundled ?? unbundled();
    if (sources.maker !== undefined) {
      const maker = `${folder}/maker`;
      await make(maker, { ...sources, main: sources.maker });
      const code = await makeCode(maker, folder, tell);
      if (code !== undefined) sources = { ...sources, included: [...sources.included, code] };
    }
    await make(output.startsWith("/") ? output : `${Deno.cwd()}/${output}`, sources);
    if (bundled === undefined) tell(`not bundled, so commands start a little later: ${obstacle}`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** The Deno that runs this, as what compiles. */
export function thisDeno(): Omit<Compilation, "output"> {
  return { deno: Deno.execPath(), version: Deno.version.deno };
}

if (import.meta.main) {
  const output = Deno.args[0] ?? "dist/vmsig";
  try {
    await compile({ ...thisDeno(), output });
    console.log(`made ${output} (${Math.round(Deno.statSync(output).size / 1e6)} MB)`);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    console.error(`vmsig: ${error.code}: ${error.message}`);
    Deno.exit(exitCodeOf(error));
  }
}
