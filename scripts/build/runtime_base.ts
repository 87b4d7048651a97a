/**
 * The runtime base of `deno compile` (denort): the executable that every compiled program begins with. Deno
 * downloads the one of its own version when nobody gives it. Where there is no network it is given by
 * DENORT_BIN, or found in `.tools/denort-VERSION`, where `scripts/setup.sh compile` puts that of the oldest
 * version.
 * @module
 */
import { Fault, messageOf } from "../../src/base/fault.ts";

/** Where the runtime base comes from. */
export type RuntimeBase =
  | { readonly from: "environment" | "tools"; readonly path: string }
  /** Deno's own cache, or a download. */
  | { readonly from: "deno" };

/** What the search looks at. */
export interface BaseSearch {
  /** The version of the Deno that compiles. */
  readonly version: string;
  /** DENORT_BIN; undefined or "" when it is not set. */
  readonly given: string | undefined;
  /** The folder `.tools`. */
  readonly tools: string;
}

/** Every Deno has it inside, as what it calls itself on the network. */
const VERSION_MARK = "Deno/";

/**
 * Finds the runtime base.
 *
 * @throws {Fault} `missing` when DENORT_BIN cannot be read, `refused` when it is of another version
 */
export function findRuntimeBase({ version, given, tools }: BaseSearch): RuntimeBase {
  if (given !== undefined && given !== "") {
    const bytes = readBase(given, version);
    if (!contains(bytes, `${VERSION_MARK}${version}`)) {
      throw new Fault(
        "refused",
        `Cannot compile: DENORT_BIN is ${given}, which is not the runtime base of Deno ${version}; ${
          remedy(version)
        }`,
      );
    }
    return { from: "environment", path: given };
  }
  const path = `${tools}/denort-${version}`;
  return exists(path) ? { from: "tools", path } : { from: "deno" };
}

/** The fault of a compilation that failed, in one line, from the compiler's words. */
export function compileFault(words: string, { version, tools }: BaseSearch): Fault {
  const lines = words.split("\n").map((line) => line.replace(/^\s*(?:\d+:\s*)?/, "").trim());
  const end = lines.findIndex((line) => line.startsWith("Stack backtrace"));
  const told = (end < 0 ? lines : lines.slice(0, end)).filter((line) => line !== "" && line !== "Caused by:");
  if (!told.some((line) => /base binary|denort/i.test(line))) {
    const why = told.map((line) => line.replace(/^error: /, "")).join(": ") || "the compiler said nothing";
    return new Fault("refused", `Cannot compile: ${why}`);
  }
  const why = told.at(-1) ?? "";
  const others = otherBases(version, tools);
  const other = others.length === 0
    ? ""
    : `; .tools has the one of Deno ${others.join(", ")}, for that Deno only`;
  return new Fault(
    "missing",
    `Cannot compile: the runtime base of Deno ${version} is not here and cannot be downloaded (${why})${other}; ${
      remedy(version)
    }`,
  );
}

function remedy(version: string): string {
  return `give it by DENORT_BIN=FILE, the file denort of Deno's release v${version}, or put it at .tools/denort-${version}`;
}

function otherBases(version: string, tools: string): string[] {
  try {
    return [...Deno.readDirSync(tools)]
      .flatMap(({ name }) => /^denort-([0-9]+\.[0-9]+\.[0-9]+)$/.exec(name)?.[1] ?? [])
      .filter((other) => other !== version).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function readBase(path: string, version: string): Uint8Array {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    throw new Fault(
      "missing",
      `Cannot compile: DENORT_BIN is ${path}, which cannot be read: ${messageOf(error)}; ${remedy(version)}`,
      { cause: error },
    );
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether an ASCII text stands somewhere in bytes. */
function contains(bytes: Uint8Array, text: string): boolean {
  const wanted = new TextEncoder().encode(text);
  const first = wanted[0] as number;
  for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}
