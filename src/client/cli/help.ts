/**
 * Help: for all commands from the table alone, for one from its file. The man page and the completion are
 * generated from the same data.
 * @module
 */
import { optionsOf } from "./command_line.ts";
import type { CommandEntry, CommandModule, OptionSpec } from "./command.ts";

/** Column at which an option's description begins. */
const COLUMN = 21;
/** Maximum width: longer lines are hard to read, however wide the terminal is. */
const MAX_WIDTH = 100;
/** Minimum width: shorter lines leave no room beside an option's name. */
const MIN_WIDTH = 50;

const CLOSING = `ENDPOINT is a name or a number; vmsig ls lists them. Every command understands --json and
--help, every command that talks to the daemon --socket PATH (default: /run/vmsig/control.sock for root,
$XDG_RUNTIME_DIR/vmsig/control.sock for others).

exit codes: 0 done, 1 refused or failed, 2 usage, 3 something is missing on this machine, 4 the daemon
cannot be reached, 130 interrupted`;

/**
 * The output of `vmsig help`.
 *
 * @param width columns of a line of text
 */
export function overview(commands: Readonly<Record<string, CommandEntry>>, width = terminalWidth()): string {
  const lines = ["vmsig: watch and steer virtual machines over one bus", "", "usage:"];
  for (const entry of Object.values(commands)) {
    for (const usage of entry.usage) lines.push(`  vmsig ${usage}`);
  }
  lines.push("", "commands:");
  for (const [name, entry] of Object.entries(commands)) lines.push(`  ${name.padEnd(9)} ${entry.summary}`);
  lines.push("", ...wrapped(CLOSING, width));
  return lines.join("\n");
}

/**
 * The output of `vmsig COMMAND --help`.
 *
 * @param width columns of a line of text
 */
export function commandHelp(
  name: string,
  entry: CommandEntry,
  command: CommandModule,
  width = terminalWidth(),
): string {
  const lines = [`vmsig ${name}: ${entry.summary}`, "", "usage:"];
  for (const usage of entry.usage) lines.push(`  vmsig ${usage}`);
  lines.push("", ...wrapped(command.details.trim(), width), "", "options:");
  for (const [option, spec] of Object.entries(optionsOf(command))) {
    lines.push(...optionLines(option, spec, width));
  }
  if (command.examples.length > 0) {
    lines.push("", "examples:", ...command.examples.map((example) => `  vmsig ${example}`));
  }
  return lines.join("\n");
}

function optionLines(name: string, spec: OptionSpec, width: number): string[] {
  const letter = spec.letter === undefined ? "" : `-${spec.letter}, `;
  const value = spec.takes === "nothing" ? "" : ` ${spec.value ?? "VALUE"}`;
  const head = `  ${letter}--${name}${value}`;
  const [first = "", ...others] = wrapped(spec.help, width - COLUMN);
  const rest = others.map((line) => " ".repeat(COLUMN) + line);
  if (head.length >= COLUMN) return [head, " ".repeat(COLUMN) + first, ...rest];
  return [head.padEnd(COLUMN) + first, ...rest];
}

/** Wraps paragraphs separated by empty lines to that many columns; an indented line is not wrapped. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let open = false;
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith(" ")) {
      lines.push(line);
      open = false;
      continue;
    }
    for (const word of line.split(" ")) {
      const last = lines.at(-1) ?? "";
      if (open && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
      else lines.push(word);
      open = true;
    }
  }
  return lines;
}

/** The terminal's width within the limits; the maximum if there is no terminal. */
function terminalWidth(): number {
  if (!Deno.stdout.isTerminal()) return MAX_WIDTH;
  const { columns } = Deno.consoleSize();
  // A terminal of unknown size reports 0.
  return columns === 0 ? MAX_WIDTH : Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, columns));
}
