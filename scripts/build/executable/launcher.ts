/**
 * The main module of the executable: a quick command by their script, everything else by the bundle of all.
 * It lies beside them (scripts/build/bundle.ts).
 * @module
 */
import { QUICK_CODE, QUICK_COMMANDS, quickScript, type RunCommand } from "./quick_script.ts";

/** Not a literal: beside the sources there is no such file. */
const ALL = new URL("./main.js", import.meta.url).href;

/** The script of the quick commands has nothing that speaks NATS. */
const usesNats = (Deno.env.get("VMSIG_NATS") ?? "") !== "" ||
  Deno.args.some((arg) => /^--nats(=|$)/.test(arg));

async function load(name: string): Promise<RunCommand> {
  return QUICK_COMMANDS.includes(name) && !usesNats
    ? quickScript(new URL(QUICK_CODE, import.meta.url)).run
    : (await import(ALL)).runCommand;
}

const run = await load(Deno.args[0] ?? "");
Deno.exit(await run(Deno.args));
