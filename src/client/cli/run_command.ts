/**
 * From the process's arguments to its exit code: chooses the command, gives it its output and its interrupt,
 * and turns whatever goes wrong into one line on stderr.
 * @module
 */
import { exitCodeOf, Fault, messageOf } from "../../base/fault.ts";
import { connect, defaultSocketPathHere } from "../connect.ts";
import { oneLine } from "../../base/printable.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Call, CommandModule } from "./command.ts";
import { type CommandLine, parseCommandLine } from "./command_line.ts";
import { COMMANDS } from "./command_table.ts";
import { commandHelp, overview } from "./help.ts";
import { Interrupt } from "./interrupt.ts";
import { type Output, OutputClosed, standardOutput } from "./output.ts";
import { ReaderWatch } from "./reader_watch.ts";
import { visible } from "./table.ts";

/**
 * Runs one command.
 *
 * @param argv the arguments behind the program's name
 * @returns the exit code
 */
export async function runCommand(argv: readonly string[]): Promise<number> {
  try {
    return await choose(argv, standardOutput());
  } catch (error) {
    return tell(error, asksForJson(argv));
  }
}

/** Whether `--json` stands among a command's own words: also of a line that was not understood. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).includes("--json");
}

async function choose(argv: readonly string[], out: Output): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) return await help([], out);
  if (name === "help" || name === "--help" || name === "-h") return await help(rest, out);
  if (name === "--version" || name === "-V") return await choose(["version", ...rest], out);
  const entry = COMMANDS[Object.hasOwn(COMMANDS, name) ? name : ""];
  if (entry === undefined) throw unknownCommand(name);
  const command = await entry.load();
  const line = parseCommandLine(name, command, rest);
  if (line.options["help"] === true) {
    out.line(commandHelp(name, entry, command));
    return 0;
  }
  return await run(name, command, line, out);
}

async function run(name: string, command: CommandModule, line: CommandLine, out: Output): Promise<number> {
  if (command.takesSignals === true) {
    return await command.run(callOf(name, line, out, new AbortController().signal)) ?? 0;
  }
  using interrupt = new Interrupt();
  using reader = new ReaderWatch();
  const signal = AbortSignal.any([interrupt.signal, reader.signal]);
  try {
    const code = await command.run(callOf(name, line, out, signal));
    return interrupt.exitCode ?? code ?? 0;
  } catch (error) {
    if (reader.signal.aborted && interrupt.exitCode === undefined) return 0;
    if (interrupt.exitCode !== undefined && error instanceof Fault && error.code === "interrupted") {
      return interrupt.exitCode;
    }
    throw error;
  }
}

function callOf(name: string, line: CommandLine, out: Output, signal: AbortSignal): Call {
  const { options, args, rest } = line;
  const socket = options["socket"] as string | undefined;
  return {
    args,
    rest,
    json: options["json"] === true,
    out,
    signal,
    socket,
    text: (option) => options[option] as string | undefined,
    number: (option) => options[option] as number | undefined,
    list: (option) => options[option] as readonly string[] | undefined,
    flag: (option) => options[option] === true,
    connect: (sub = {}, reconnect = false) =>
      connect({ socket: socket ?? defaultSocketPathHere(), name: `vmsig ${name}`, sub, reconnect }),
  };
}

async function help(names: readonly string[], out: Output): Promise<number> {
  const [name] = names.filter((arg) => !arg.startsWith("-"));
  if (name === undefined) {
    out.line(overview(COMMANDS));
    return 0;
  }
  const entry = COMMANDS[Object.hasOwn(COMMANDS, name) ? name : ""];
  if (entry === undefined) throw unknownCommand(name);
  out.line(commandHelp(name, entry, await entry.load()));
  return 0;
}

function unknownCommand(name: string): Fault {
  const known = [...Object.keys(COMMANDS), "help"];
  return new Fault(
    "usage",
    `Cannot run ${visible(name)}: there is no such command${
      suggestion(name, known) || "; vmsig help lists them"
    }`,
  );
}

/**
 * Says on stderr what went wrong: one line, or with `--json` one object with the code's name and the text.
 *
 * @returns the exit code
 */
function tell(error: unknown, json: boolean): number {
  if (error instanceof OutputClosed) return 0;
  const say = (code: string, text: string) =>
    print(json ? JSON.stringify({ code, text }) : `vmsig: ${code}: ${oneLine(text)}`);
  if (error instanceof Fault) {
    say(error.code, error.message);
    return exitCodeOf(error);
  }
  if (error instanceof Deno.errors.NotCapable) {
    say("missing", `Cannot go on without a permission of Deno: ${error.message}`);
    return exitCodeOf(new Fault("missing", error.message));
  }
  // A defect of ours: the stack is what a report of it needs.
  say("internal", `Cannot go on: ${messageOf(error)}; this is a defect of vmsig, please report it`);
  if (error instanceof Error && error.stack !== undefined) print(error.stack);
  return exitCodeOf(error);
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text + "\n");
  try {
    Deno.stderr.writeSync(bytes);
  } catch (error) {
    // Nobody reads stderr: there is nowhere left to say so.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
