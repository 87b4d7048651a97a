/**
 * The frame of a scripted control: errors that the user can do something about end it with one line and the
 * exit code that a command would have, without a stack trace. A defect of the script itself keeps its stack
 * trace.
 * @module
 */
import { exitCodeOf, Fault } from "../base/fault.ts";
import { oneLine } from "../base/printable.ts";

/**
 * Runs a script's body.
 *
 * @example
 * ```ts
 * await runScript("hello", async () => {
 *   await using client = await connect({ name: "hello" });
 *   console.log(await client.vmState("web"));
 * });
 * ```
 *
 * @param name the beginning of the line
 * @param body the script; it resolves to the exit code, by default 0
 */
export async function runScript(name: string, body: () => Promise<number | void>): Promise<void> {
  try {
    Deno.exitCode = await body() ?? 0;
  } catch (error) {
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    console.error(`${name}: ${fault.code}: ${oneLine(fault.message)}`);
    Deno.exitCode = exitCodeOf(fault);
  }
}

/** Errors that the user can do something about: a fault of vmsig, or a file that cannot be opened. */
function faultOf(error: unknown): Fault | undefined {
  if (error instanceof Fault) return error;
  const isOfSystem = Object.values(Deno.errors).some((kind) => error instanceof kind);
  if (!isOfSystem || !(error instanceof Error)) return undefined;
  const code = error instanceof Deno.errors.NotCapable ? "missing" : "refused";
  return new Fault(code, error.message, { cause: error });
}
