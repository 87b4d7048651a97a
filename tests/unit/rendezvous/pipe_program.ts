/**
 * `vmsig v2v listen | connect` for tests, without the command line around it:
 *
 *     deno run -A pipe_program.ts listen|connect RUNTIME_DIR PREFIX [--stream]
 * @module
 */
import { exitCodeOf, Fault, messageOf } from "../../../src/base/fault.ts";
import { v2vConnect, v2vListen } from "../../../src/rendezvous/v2v_command.ts";

const [what, runtimeDir = "", prefix = "", stream] = Deno.args;
const options = {
  runtimeDir,
  stream: stream === "--stream",
  input: Deno.stdin.readable,
  output: Deno.stdout.writable,
  waitMs: 120_000,
};
try {
  await (what === "listen" ? v2vListen : v2vConnect)(prefix, options);
  Deno.exit(0);
} catch (error) {
  console.error(`${error instanceof Fault ? error.code : "defect"}: ${messageOf(error)}`);
  Deno.exit(exitCodeOf(error));
}
