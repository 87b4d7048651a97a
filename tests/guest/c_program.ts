/**
 * Compiles the guests' C programs, statically, so that a guest needs no library. Results are cached by the
 * sources, the flags and the compiler. A program NAME is tests/guest/programs/NAME.c, or all C files of the
 * folder tests/guest/programs/NAME, or a list of sources from elsewhere. Those of an arm64 guest are
 * compiled by Debian's cross compiler.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { cached, contentHash, exists } from "./content_cache.ts";

/** A program by its name under tests/guest/programs, or by its sources. */
export type ProgramSource = string | {
  /** The name in the guest's /bin. */
  readonly name: string;
  /** Absolute paths of its C files. */
  readonly sources: readonly string[];
  /** More flags for the compiler: -I, -D, -l. */
  readonly flags?: readonly string[];
};

/** A compiled program. */
export interface CompiledProgram {
  /** The name in the guest's /bin. */
  readonly name: string;
  /** The static executable. */
  readonly path: string;
}

const ROOT = new URL("../../", import.meta.url).pathname;
const PROGRAMS_DIR = new URL("./programs/", import.meta.url).pathname;
const FLAGS = ["-std=gnu11", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];

/** The compiler of each architecture, and the packages that it is in. */
const COMPILERS = {
  amd64: { command: "cc", packages: "gcc libc6-dev" },
  arm64: { command: "aarch64-linux-gnu-gcc", packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" },
} as const;

/** Whose instructions a program is made of. */
export type ProgramArchitecture = keyof typeof COMPILERS;

const versions = new Map<ProgramArchitecture, Promise<string>>();

/**
 * Compiles a program, or finds it compiled.
 *
 * @param program its name, or its sources
 * @param architecture the guest's
 * @throws {Fault} `missing` when there is no such program or no compiler, `bad-argument` with the compiler's
 *   words
 */
export async function compiledProgram(
  program: ProgramSource,
  architecture: ProgramArchitecture = "amd64",
): Promise<CompiledProgram> {
  const name = typeof program === "string" ? program : program.name;
  const sources = typeof program === "string" ? await sourcesOf(program) : [...program.sources];
  const flags = [...FLAGS, ...(typeof program === "string" ? [] : program.flags ?? [])];
  let version = versions.get(architecture);
  if (version === undefined) versions.set(architecture, version = ccVersion(architecture));
  // Checkouts may share the cache: where a source lies below the top is what counts.
  const parts = [await version, flags.join("\0").replaceAll(ROOT, "")];
  for (const file of await withHeaders(sources)) {
    parts.push(file.replace(ROOT, ""), await Deno.readTextFile(file));
  }
  const path = await cached("programs", `${name}-${await contentHash(parts)}`, (staging) => {
    return compile(COMPILERS[architecture].command, name, sources, flags, staging);
  });
  return { name, path };
}

async function sourcesOf(name: string): Promise<string[]> {
  if (await exists(`${PROGRAMS_DIR}${name}.c`)) return [`${PROGRAMS_DIR}${name}.c`];
  const folder = `${PROGRAMS_DIR}${name}`;
  if (!await exists(folder)) {
    throw new Fault("missing", `Cannot build a guest: no program ${name} in ${PROGRAMS_DIR}`);
  }
  return filesIn(folder).filter((path) => path.endsWith(".c"));
}

/** The sources, and every header in their folders and in programs/: a changed header is a new program. */
async function withHeaders(sources: readonly string[]): Promise<string[]> {
  const folders = new Set([
    PROGRAMS_DIR.slice(0, -1),
    ...sources.map((path) => path.slice(0, path.lastIndexOf("/"))),
  ]);
  const headers: string[] = [];
  for (const folder of folders) {
    if (await exists(folder)) headers.push(...filesIn(folder).filter((path) => path.endsWith(".h")));
  }
  return [...sources, ...headers.sort()];
}

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].filter((entry) => entry.isFile).map((entry) =>
    `${folder}/${entry.name}`
  ).sort();
}

async function ccVersion(architecture: ProgramArchitecture): Promise<string> {
  const { command, packages } = COMPILERS[architecture];
  try {
    const { stdout } = await new Deno.Command(command, { args: ["--version"], stdout: "piped" }).output();
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Fault(
      "missing",
      `Cannot build a guest: no ${command}; install it: apt-get install ${packages}`,
    );
  }
}

async function compile(
  command: string,
  name: string,
  sources: readonly string[],
  flags: readonly string[],
  outputPath: string,
): Promise<void> {
  const libraries = flags.filter((flag) => flag.startsWith("-l"));
  const others = flags.filter((flag) => !flag.startsWith("-l"));
  const args = [...others, `-I${PROGRAMS_DIR}`, "-o", outputPath, ...sources, ...libraries, "-s"];
  const { success, stderr } = await new Deno.Command(command, { args, stderr: "piped" }).output();
  if (success) return;
  throw new Fault(
    "bad-argument",
    `Cannot compile the guest program ${name}:\n${new TextDecoder().decode(stderr)}`,
  );
}
