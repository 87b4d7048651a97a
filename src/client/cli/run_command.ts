/**
 * Runs a command of the command table: what the program's main module does.
 * @module
 */
import { COMMANDS } from "./command_table.ts";
import { type CommandStreams, processStreams, runOneOf } from "./run_one_of.ts";

export { type CommandStreams, processStreams };

/**
 * Runs one command.
 *
 * @param argv the arguments behind the program's name
 * @param streams what it is joined to: the process's own unless told
 * @returns the exit code
 */
export function runCommand(
  argv: readonly string[],
  streams: CommandStreams = processStreams(),
): Promise<number> {
  return runOneOf(COMMANDS, argv, streams);
}
