/**
 * A program of this host's that runs while a lease is owned: `vmsig lease … hold -- COMMAND`,
 * `vmsig agent … freeze -- COMMAND`.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import type { Lease } from "../lease.ts";
import type { Call } from "./command.ts";
import { visible } from "./table.ts";

/**
 * Runs the program behind `--` while a lease is owned, and ends it with the lease or with this command.
 *
 * @param lost rejects when the lease is lost, with what is told then
 * @param onStarted called when it runs: nothing is printed of a lease under which nothing could run
 * @returns its exit code
 * @throws {Fault} `missing`, `refused` when it cannot be started; what `lost` rejects with
 */
export async function runUnder(
  { signal, rest }: Pick<Call, "signal" | "rest">,
  mine: Lease,
  lost: Promise<never>,
  onStarted: () => void,
): Promise<number> {
  const [program = "", ...args] = rest ?? [];
  if (!mine.owned) await lost;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, { args, stdin: "inherit", stdout: "inherit", stderr: "inherit" })
      .spawn();
  } catch (error) {
    const isAbsent = error instanceof Deno.errors.NotFound;
    const why = isAbsent ? "there is no such program" : messageOf(error);
    throw new Fault(isAbsent ? "missing" : "refused", `Cannot run ${visible(program)}: ${why}`, {
      cause: error,
    });
  }
  // Ctrl-C reaches the program by itself, as it is in the terminal's foreground; a SIGTERM to us does not.
  const end = () => terminate(child);
  mine.signal.addEventListener("abort", end, { once: true });
  signal.addEventListener("abort", end, { once: true });
  if (mine.signal.aborted || signal.aborted) end();
  try {
    onStarted();
    const ended = await Promise.race([child.status, lost]);
    return ended.code;
  } catch (error) {
    end();
    throw error;
  } finally {
    mine.signal.removeEventListener("abort", end);
    signal.removeEventListener("abort", end);
    await child.status;
  }
}

function terminate(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch (error) {
    // It has ended by itself meanwhile.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
