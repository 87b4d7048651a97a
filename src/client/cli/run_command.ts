/**
 * Runs a command of the command table: what the program's main module does.
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
