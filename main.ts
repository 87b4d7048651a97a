/**
 * vmsig: chooses a command and ends with its exit code.
 * @module
 */
import { runCommand } from "./src/client/cli/run_command.ts";

/** For the executable, whose main module is another one (scripts/build/bundle.ts). */
export { runCommand };

if (import.meta.main) Deno.exit(await runCommand(Deno.args));
