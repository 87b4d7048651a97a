/**
 * From the process's arguments to its exit code: chooses a command from a table, gives it its output and its
 * interrupt, and turns any error into one line on stderr. The table is a parameter, so that an executable can
 * have files with a single command (scripts/build/bundle.ts).
 * @module
 */
import { exitCodeOf, Fault, messageOf } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import { suggestion } from "../../base/closest_name.ts";
import type { Call, CommandEntry, CommandModule } from "./command.ts";
import { CLIENT_OPTIONS, type CommandLine, parseCommandLine, usage } from "./command_line.ts";
import { commandHelp, overview } from "./help.ts";
import { Interrupt } from "./interrupt.ts";
import { NATS_OPTIONS, natsOptionsOf } from "./nats_options.ts";
import { type Output, OutputClosed, standardOutput } from "./output.ts";
import { ReaderWatch } from "./reader_watch.ts";
import { visible } from "./table.ts";

/** `vmsig help`, which needs nothing else. */
const HELP: CommandModule = {
  args: { min: 0, max: 1 },
  isClient: false,
  details: "",
  examples: [],
  run: () => Promise.resolve(),
};

/** Commands by their names. */
export type CommandTable = Readonly<Record<string, CommandEntry>>;

/** The streams of a command. */
export interface CommandStreams {
  /** Standard output. */
  readonly out: Output;
  /** Writes a line to standard error. */
  readonly err: (line: string) => void;
  /** Watches standard output's reader: aborted with OutputClosed when it is gone. */
  readonly watchReader: () => Disposable & { readonly signal: AbortSignal };
}

/** Those of the process. */
export function processStreams(): CommandStreams {
  return { out: standardOutput(), err: printError, watchReader: () => new ReaderWatch() };
}

/**
 * Runs one command of a table.
 *
 * @param commands the table
 * @param argv the arguments behind the program's name
 * @param streams what it is joined to: the process's own unless told
 * @returns the exit code
 */
export async function runOneOf(
  commands: CommandTable,
  argv: readonly string[],
  streams: CommandStreams = processStreams(),
): Promise<number> {
  try {
    return await choose(commands, argv, streams);
  } catch (error) {
    return tell(error, asksForJson(argv), streams.err);
  }
}

/** Whether `--json` is among a command's own words, also if the line could not be parsed. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).includes("--json");
}

async function choose(
  commands: CommandTable,
  argv: readonly string[],
  streams: CommandStreams,
): Promise<number> {
  const { out } = streams;
  const [name, ...rest] = commandFirst(argv);
  if (name === undefined || name === "--json") return await help(commands, argv, out);
  if (name === "help" || name === "--help" || name === "-h") return await help(commands, rest, out);
  if (name === "--version" || name === "-V") return await choose(commands, ["version", ...rest], streams);
  const entry = commands[Object.hasOwn(commands, name) ? name : ""];
  if (entry === undefined) throw unknownCommand(commands, name);
  const command = await entry.load();
  const line = parseCommandLine(name, command, rest);
  if (line.options["help"] === true) {
    printHelp(name, entry, command, line.options["json"] === true, out);
    return 0;
  }
  checkEndpoints(name, entry, line);
  return await run(name, command, line, streams);
}

/** No endpoint has an empty name: a script's unset variable is reported before anything is contacted. */
function checkEndpoints(name: string, entry: CommandEntry, { args }: CommandLine): void {
  const [, first = "", ...more] = entry.usage[0]?.split(" ") ?? [];
  if (!/^\[?ENDPOINT/.test(first)) return;
  const places = first.includes("…") || more[0]?.startsWith("…") ? args : args.slice(0, 1);
  if (places.includes("")) throw usage(name, "the name of an endpoint is empty");
}

/** Options common to all clients may precede the command: `vmsig --nats URL ls`. They are moved behind it. */
function commandFirst(argv: readonly string[]): readonly string[] {
  let at = 0;
  for (;;) {
    const [, option = "", equals] = /^--([a-z-]+)(=?)/.exec(argv[at] ?? "") ?? [];
    if (!Object.hasOwn(CLIENT_OPTIONS, option)) break;
    at += equals === "=" ? 1 : 2;
  }
  if (at === 0 || at >= argv.length) return argv;
  return [argv[at] as string, ...argv.slice(0, at), ...argv.slice(at + 1)];
}

async function run(
  name: string,
  command: CommandModule,
  line: CommandLine,
  streams: CommandStreams,
): Promise<number> {
  const isClient = command.isClient !== false;
  if (command.takesSignals === true) {
    return await command.run(callOf(name, isClient, line, streams, new AbortController().signal)) ?? 0;
  }
  using interrupt = new Interrupt();
  using reader = streams.watchReader();
  const signal = AbortSignal.any([interrupt.signal, reader.signal]);
  try {
    const code = await command.run(callOf(name, isClient, line, streams, signal));
    return interrupt.exitCode ?? code ?? 0;
  } catch (error) {
    if (reader.signal.aborted && interrupt.exitCode === undefined) return 0;
    if (interrupt.exitCode !== undefined && error instanceof Fault && error.code === "interrupted") {
      return interrupt.exitCode;
    }
    throw error;
  }
}

function callOf(
  name: string,
  isClient: boolean,
  line: CommandLine,
  { out, err }: CommandStreams,
  signal: AbortSignal,
): Call {
  const { options, args, rest, steps } = line;
  const socket = options["socket"] as string | undefined;
  const nats = natsOptionsOf((option) => options[option] as string | undefined);
  if (isClient && nats === undefined) {
    // They mean nothing to a daemon, and the user would believe to be elsewhere.
    const option = Object.keys(NATS_OPTIONS).find((each) => options[each] !== undefined);
    if (option !== undefined) throw usage(name, `--${option} is for --nats URL (or VMSIG_NATS)`);
  }
  return {
    args,
    rest,
    json: options["json"] === true,
    out,
    err,
    signal,
    socket,
    nats,
    text: (option) => options[option] as string | undefined,
    number: (option) => options[option] as number | undefined,
    list: (option) => options[option] as readonly string[] | undefined,
    steps,
    flag: (option) => options[option] === true,
    connect: async (sub = {}, reconnect = false, more = {}) => {
      // The client is most of what `serve` would load for nothing: 80 modules, 30 ms and 5 MB.
      const { connect, defaultSocketPathHere } = await import("../connect.ts");
      return await connect({
        ...(nats === undefined ? { socket: socket ?? defaultSocketPathHere() } : { nats }),
        name: `vmsig ${name}`,
        ...more,
        sub,
        reconnect,
        signal,
      });
    },
  };
}

async function help(commands: CommandTable, words: readonly string[], out: Output): Promise<number> {
  const line = parseCommandLine("help", HELP, words);
  const [name] = line.args;
  const isJson = line.options["json"] === true;
  if (name === undefined || name === "help") {
    if (!isJson) out.line(overview(commands));
    else {for (const [each, { summary, usage }] of Object.entries(commands)) {
        out.json({ command: each, summary, usage });
      }}
    return 0;
  }
  const entry = commands[Object.hasOwn(commands, name) ? name : ""];
  if (entry === undefined) throw unknownCommand(commands, name);
  printHelp(name, entry, await entry.load(), isJson, out);
  return 0;
}

function printHelp(
  name: string,
  entry: CommandEntry,
  command: CommandModule,
  isJson: boolean,
  out: Output,
): void {
  if (isJson) out.json({ command: name, help: commandHelp(name, entry, command) });
  else out.line(commandHelp(name, entry, command));
}

function unknownCommand(commands: CommandTable, name: string): Fault {
  const known = [...Object.keys(commands), "help"];
  return new Fault(
    "usage",
    `Cannot run ${visible(name)}: there is no such command${
      suggestion(name, known) || "; vmsig help lists them"
    }`,
  );
}

/**
 * Reports an error on stderr: one line, or with `--json` one object with the code's name and the text.
 *
 * @returns the exit code
 */
function tell(error: unknown, json: boolean, print: (line: string) => void): number {
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
  // A defect of vmsig: its report needs the stack trace.
  const text = `Cannot go on: ${messageOf(error)}; this is a defect of vmsig, please report it`;
  const stack = error instanceof Error ? error.stack ?? "" : "";
  if (json) print(JSON.stringify({ code: "internal", text, stack }));
  else {
    say("internal", text);
    if (stack !== "") print(stack);
  }
  return exitCodeOf(error);
}

function printError(line: string): void {
  const bytes = new TextEncoder().encode(line + "\n");
  try {
    for (let done = 0; done < bytes.length;) done += Deno.stderr.writeSync(bytes.subarray(done));
  } catch (error) {
    // Standard error is closed or its disk is full: the error cannot be reported.
    if (!(error instanceof Error)) throw error;
  }
}
