/**
 * Parses a command's line: options by their specification, the rest as arguments, and what follows `--`
 * separately. Anything that cannot be parsed is a usage error that suggests what may have been meant. `-3` is
 * an argument, not an option.
 * @module
 */
import { parseArgs } from "@std/cli";
import { Fault } from "../../base/fault.ts";
import { suggestion } from "../../base/closest_name.ts";
import { NATS_OPTIONS } from "./nats_options.ts";
import type { CommandModule, OptionSpec, OptionSpecs, OptionStep } from "./command.ts";

/** Options that every command understands. */
const COMMON_OPTIONS: OptionSpecs = {
  help: { takes: "nothing", letter: "h", help: "show this help" },
  json: { takes: "nothing", help: "print one JSON object per line" },
};
/** Options of every command that talks to a daemon. */
export const CLIENT_OPTIONS: OptionSpecs = {
  socket: { takes: "text", value: "PATH", help: "the daemon's control socket (or VMSIG_SOCKET)" },
  ...NATS_OPTIONS,
};

/** A parsed line. */
export interface CommandLine {
  /** Arguments that are not options. */
  readonly args: readonly string[];
  /** The words after `--`, for commands that accept them. */
  readonly rest: readonly string[] | undefined;
  /** The given options. */
  readonly options: Readonly<Record<string, string | number | readonly string[] | true>>;
  /** Options that may be given more than once, in order of the line. */
  readonly steps: readonly OptionStep[];
}

// Hides a negative number from the parser, which would read it as one-letter options.
const NEGATIVE = "\u0000";

/** The options that a command accepts, including the common ones. */
export function optionsOf(command: CommandModule): OptionSpecs {
  const client = command.isClient === false ? {} : CLIENT_OPTIONS;
  return { ...command.options, ...client, ...COMMON_OPTIONS };
}

/**
 * Parses the words after a command's name.
 *
 * @throws {Fault} `usage`
 */
export function parseCommandLine(name: string, command: CommandModule, argv: readonly string[]): CommandLine {
  const specs = optionsOf(command);
  const split = argv.indexOf("--");
  const own = split < 0 ? argv : argv.slice(0, split);
  const names = Object.keys(specs);
  const letters: Record<string, string> = {};
  for (const option of names) {
    const { letter } = specs[option] as OptionSpec;
    if (letter !== undefined) letters[letter] = option;
  }
  const parsed = parseArgs(own.map((arg) => /^-[0-9.]/.test(arg) ? NEGATIVE + arg : arg), {
    boolean: names.filter((option) => specs[option]?.takes === "nothing"),
    string: ["_", ...names.filter((option) => specs[option]?.takes !== "nothing")],
    collect: names.filter((option) => ["list", "texts"].includes(specs[option]?.takes ?? "")),
    alias: letters,
    unknown: (arg, key) => {
      if (key !== undefined) throw unknownOption(name, arg, specs);
      return true;
    },
  });
  const options: Record<string, string | number | readonly string[] | true> = {};
  for (const option of names) {
    const value = readOption(name, option, specs[option] as OptionSpec, parsed[option]);
    if (value !== undefined) options[option] = value;
  }
  const args = parsed._.map((arg) => String(arg).replace(NEGATIVE, ""));
  const rest = split < 0 ? undefined : argv.slice(split + 1);
  return withRest(name, command, { args, rest, options, steps: stepsOf(name, own, specs) });
}

/** The options that may be given more than once, in the order in which they stand. */
function stepsOf(name: string, words: readonly string[], specs: OptionSpecs): OptionStep[] {
  const steps: OptionStep[] = [];
  for (let i = 0; i < words.length; i++) {
    const [, option = "", equals, text = ""] = /^--([a-z-]+)(=?)(.*)$/s.exec(words[i] as string) ?? [];
    if (option === "") continue;
    const spec = specs[option];
    if (spec === undefined) continue;
    if (spec.takes === "nothing") {
      if (equals === "=") throw usage(name, `--${option} takes no value`);
      continue;
    }
    // The value of another option may look like one of these.
    const value = equals === "=" ? text : words[++i] ?? "";
    if (spec.takes === "texts") steps.push({ option, text: value });
  }
  return steps;
}

// After `--` comes a command to start, if the command accepts one; otherwise these are arguments, whatever
// they begin with.
function withRest(name: string, command: CommandModule, line: CommandLine): CommandLine {
  const whole = command.takesCommand || line.rest === undefined
    ? line
    : { ...line, args: [...line.args, ...line.rest], rest: undefined };
  const { min, max } = command.args ?? { min: 0, max: Infinity };
  if (whole.options["help"] !== true) {
    if (whole.args.length < min) throw usage(name, "an argument is missing");
    if (whole.args.length > max) throw usage(name, `one argument too many: ${whole.args[max]}`);
  }
  return whole;
}

function readOption(
  name: string,
  option: string,
  spec: OptionSpec,
  value: unknown,
): string | number | readonly string[] | true | undefined {
  switch (spec.takes) {
    case "nothing":
      return value === true ? true : undefined;
    case "text":
      if (value === undefined) return undefined;
      if (typeof value !== "string" || value === "") throw usage(name, `--${option} needs a value`);
      return value;
    case "number":
      return value === undefined ? undefined : readNumber(name, option, spec, value);
    case "list": {
      if (!Array.isArray(value) || value.length === 0) return undefined;
      const items = value.flatMap((text) => String(text).split(",")).map((item) => item.trim());
      if (items.some((item) => item === "")) throw usage(name, `--${option} needs a value`);
      return items;
    }
    case "texts": {
      if (!Array.isArray(value) || value.length === 0) return undefined;
      const items = value.map(String);
      if (items.some((item) => item === "")) throw usage(name, `--${option} needs a value`);
      return items;
    }
  }
}

function readNumber(name: string, option: string, spec: OptionSpec, value: unknown): number {
  const text = String(value).replace(NEGATIVE, "");
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = spec;
  if (text === "") throw usage(name, `--${option} needs a value`);
  const form = spec.fraction ? /^-?[0-9]+(\.[0-9]+)?$/ : /^-?[0-9]+$/;
  if (!form.test(text) || Number(text) < min || Number(text) > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw usage(
      name,
      `--${option} is ${text}, and must be a ${spec.fraction ? "" : "whole "}number ${range}`,
    );
  }
  return Number(text);
}

function unknownOption(name: string, arg: string, specs: OptionSpecs): Fault {
  const typed = arg.replace(/=.*$/, "");
  return usage(
    name,
    `there is no option ${typed}${suggestion(typed, Object.keys(specs).map((s) => `--${s}`))}`,
  );
}

/**
 * Parses an argument with a function of the library; if that refuses it, no daemon could accept it, so it is
 * a usage error.
 *
 * @throws {Fault} `usage` in place of `bad-argument`
 */
export function understood<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "bad-argument") throw error;
    throw new Fault("usage", `${error.message.replace(/\.$/, "")}; see vmsig ${name} --help`, {
      cause: error,
    });
  }
}

/** A usage error of a command. */
export function usage(name: string, why: string): Fault {
  return new Fault("usage", `Cannot run ${name}: ${why}; see vmsig ${name} --help`);
}
