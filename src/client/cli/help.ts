/**
 * Help: of all commands from the table alone, of one from its file. The man page and the completion are made
 * from the same.
 * @module
 */
import { optionsOf } from "./command_line.ts";
import type { CommandEntry, CommandModule, OptionSpec } from "./command.ts";

const COLUMN = 14;

/** What `vmsig help` prints. */
export function overview(commands: Readonly<Record<string, CommandEntry>>): string {
  const lines = ["vmsig: watch and steer virtual machines over one bus", "", "usage:"];
  for (const entry of Object.values(commands)) {
    for (const usage of entry.usage) lines.push(`  vmsig ${usage}`);
  }
  lines.push("", "commands:");
  for (const [name, entry] of Object.entries(commands)) lines.push(`  ${name.padEnd(9)} ${entry.summary}`);
  lines.push(
    "",
    "ENDPOINT is a name or a number; vmsig ls lists them. Every command understands --json and --help, every",
    "command that talks to the daemon --socket PATH (default: /run/vmsig/control.sock for root,",
    "$XDG_RUNTIME_DIR/vmsig/control.sock for others).",
    "",
    "exit codes: 0 done, 1 refused or failed, 2 usage, 3 something is missing on this machine, 4 the daemon cannot",
    "be reached, 130 interrupted",
  );
  return lines.join("\n");
}

/** What `vmsig COMMAND --help` prints. */
export function commandHelp(name: string, entry: CommandEntry, command: CommandModule): string {
  const lines = [`vmsig ${name}: ${entry.summary}`, "", "usage:"];
  for (const usage of entry.usage) lines.push(`  vmsig ${usage}`);
  lines.push("", command.details.trim(), "", "options:");
  for (const [option, spec] of Object.entries(optionsOf(command))) lines.push(optionLine(option, spec));
  if (command.examples.length > 0) {
    lines.push("", "examples:", ...command.examples.map((example) => `  vmsig ${example}`));
  }
  return lines.join("\n");
}

function optionLine(name: string, spec: OptionSpec): string {
  const letter = spec.letter === undefined ? "" : `-${spec.letter}, `;
  const value = spec.takes === "nothing" ? "" : ` ${spec.value ?? "VALUE"}`;
  return `  ${`${letter}--${name}${value}`.padEnd(COLUMN + 4)} ${spec.help}`;
}
