/**
 * `vmsig replay`: plays a recording to whoever joins.
 * @module
 */
import { readRegularFile } from "../../../ffi/regular_file.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { Log } from "../../base/log.ts";
import { planReplay } from "../../daemon/replay_plan.ts";
import { replay as play } from "../../daemon/replay_daemon.ts";
import { defaultSocketPathHere } from "../connect.ts";
import type { CommandModule } from "./command.ts";
import { visible } from "./table.ts";

/** All of it is held in memory while it is played. */
const MAX_BYTES = 2 ** 31;

/** The command. */
export const replay: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    speed: {
      takes: "number",
      value: "N",
      fraction: true,
      max: 1_000_000,
      help: "N times as fast as recorded (1); 0 without any pause",
    },
  },
  details:
    `Listens on --socket PATH like a daemon whose endpoints are those of the recording. Prints "ready PATH"; when the first
control joins, it plays what was recorded, with the recorded pauses, and ends when all is played. Commands are answered
with yes, a query of a VM with the state that was played last. Not played: what the bus says itself (roster, leases,
audit) and what came with file descriptors (memory contexts, frame rings), which no file holds.`,
  examples: ["replay session.cbor --socket ./replay.sock", "replay session.cbor --speed 10"],
  async run(call) {
    const [path = ""] = call.args;
    const plan = planReplay(readFile(path), path);
    const log = new Log("replay", "warn", warn);
    if (plan.defect !== undefined) log.warn(`${path} is played up to where it is whole: ${plan.defect}`);
    const socketPath = call.socket ?? defaultSocketPathHere();
    const played = await play({
      plan,
      socketPath,
      speed: call.number("speed") ?? 1,
      log,
      signal: call.signal,
      onReady: () =>
        call.out.line(call.json ? JSON.stringify({ ready: socketPath }) : `ready ${visible(socketPath)}`),
    });
    if (call.json) call.out.json({ file: path, played, skipped: plan.skipped });
    else call.out.line(`${visible(path)}: ${played} events played, ${plan.skipped} not`);
  },
};

function readFile(path: string): Uint8Array {
  try {
    return readRegularFile(path, MAX_BYTES);
  } catch (error) {
    throw new Fault("refused", `Cannot read the recording ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function warn(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
}
