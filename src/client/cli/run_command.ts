/**
 * Runs a command of the command table, for the program's main module.
 * @module
 */
import { loadNatsBy } from "../nats_loader.ts";
import { COMMANDS } from "./command_table.ts";
import { type CommandStreams, processStreams, runOneOf } from "./run_one_of.ts";

loadNatsBy({ link: () => import("../remote_link.ts"), list: () => import("./ls_hosts.ts") });

export { type CommandStreams, processStreams };

/**
 * Runs one command.
 *
 * @param argv the arguments after the program's name
 * @param streams its input and output; by default the process's own
 * @returns the exit code
 */
export function runCommand(
  argv: readonly string[],
  streams: CommandStreams = processStreams(),
): Promise<number> {
  return runOneOf(COMMANDS, argv, streams);
}
