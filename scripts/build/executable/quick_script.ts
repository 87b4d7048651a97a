/**
 * The commands of the executable that are over at once, as one script with the code that V8 made of it when
 * the executable was built: to parse and to compile 150 KB of JavaScript takes twice as long as all that such
 * a command does. A module cannot be given that code, a script of `node:vm` can. V8 takes it only from the
 * same V8 with the same flags, and compiles the script where it does not.
 *
 * `scripts/build/bundle.ts` makes the script, `code_maker.ts` the code; both lie beside this file in the
 * executable.
 * @module
 */
import vm from "node:vm";

/** These commands: they are short, and have no Worker. */
export const QUICK_COMMANDS: readonly string[] = [
  "ls",
  "key",
  "type",
  "mouse",
  "held",
  "vm",
  "lease",
  "version",
];

/** Runs a line, and gives its exit code. */
export type RunCommand = (argv: readonly string[]) => Promise<number>;

/** The script and its code, beside this file. */
export const QUICK_FILE = "quick.js";
/** See {@linkcode QUICK_FILE}. */
export const QUICK_CODE = "quick.code";

/** The quick commands, ready to be run. */
export interface QuickScript {
  /** Runs their lines. */
  readonly run: RunCommand;
  /** The code that V8 has made of it. */
  readonly code: () => Uint8Array;
  /** Whether there was none before. */
  readonly isNew: boolean;
  /** Whether there was code that V8 did not take. */
  readonly isRejected: boolean;
}

/**
 * What the script is: a function that is given what a module has and a script has not. The timers are in
 * it because a script of `node:vm` sees those of Node, which return objects.
 */
type Wrapped = (
  metaUrl: string,
  set: typeof setTimeout,
  clear: typeof clearTimeout,
  setEvery: typeof setInterval,
  clearEvery: typeof clearInterval,
) => RunCommand;

/** The head of the script; its names are what the text of the module in it means. */
export const QUICK_HEAD =
  '(function (importMetaUrl, setTimeout, clearTimeout, setInterval, clearInterval) { "use strict";';

/**
 * Loads the quick commands.
 *
 * @param codeFile the file of their code; there may be none
 */
export function quickScript(codeFile: URL | string): QuickScript {
  const file = new URL(QUICK_FILE, import.meta.url);
  const code = readCode(codeFile);
  const script = new vm.Script(Deno.readTextFileSync(file), {
    filename: file.href,
    ...(code === undefined ? {} : { cachedData: code }),
  });
  const wrapped = script.runInThisContext() as Wrapped;
  return {
    run: wrapped(file.href, setTimeout, clearTimeout, setInterval, clearInterval),
    code: () => script.createCachedData(),
    isNew: code === undefined,
    isRejected: script.cachedDataRejected === true,
  };
}

function readCode(file: URL | string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
