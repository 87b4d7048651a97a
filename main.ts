/**
 * vmsig: chooses a command and ends with its exit code.
 * @module
 */
import { runCommand } from "./src/client/cli/run_command.ts";

if (import.meta.main) Deno.exit(await runCommand(Deno.args));
