/**
 * `vmsig replay`: plays a recording to the controls that join.
 * @module
 */
import { readRegularFile } from "../../../ffi/regular_file.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { Log } from "../../base/log.ts";
import type { NotPlayed } from "../../adapters/replay/replay_seam.ts";
import { type LeftOut, LeftOutCount, planReplay } from "../../daemon/replay_plan.ts";
import { kindName } from "../../event/kind.ts";
import { replay as play } from "../../daemon/replay_daemon.ts";
import { defaultSocketPathHere } from "../connect.ts";
import type { Call, CommandModule } from "./command.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

/** The whole recording is in memory while it is played. */
const MAX_BYTES = 2 ** 31;

const WHY: Readonly<Record<NotPlayed, string>> = {
  answer: "answers to commands of the recorded session",
  descriptors: "came with file descriptors, which a file cannot hold",
  picture: "told with the picture that was kept",
  damaged: "what was recorded of it is damaged or missing",
  bus: "the bus says it itself",
  endpoint: "of an endpoint that could not be attached, or is not in the recording",
};

/** The command. */
export const replay: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    speed: {
      takes: "number",
      value: "N",
      fraction: true,
      max: 1_000_000,
      help: "N times as fast as recorded (1); 0: without pauses",
    },
    stay: { takes: "nothing", help: "keep the final state after the end, until Ctrl-C" },
  },
  details:
    `Listens on --socket PATH like a daemon whose endpoints are those of the recording. Prints "ready PATH"; when the
first control joins, it plays the recorded events, with the recorded pauses, and exits at the end. Commands are
answered with success, and a query of a VM with its last played state. At the end it lists the events that were not
played, by kind and reason: events that the bus itself makes (roster, leases, audit), answers to commands, and
events with file descriptors (memory contexts, frame rings) whose content was not recorded. If record was run with
--frames, --consoles or --memory, then vmsig screen NAME, vmsig console NAME and vmsig mem NAME ps work on the
replay. The exit code is 0 if it played to the end.`,
  examples: [
    "replay session.cbor --socket ./replay.sock",
    "replay session.cbor --speed 10",
    "replay session.cbor --speed 0 --stay",
  ],
  async run(call) {
    const [path = ""] = call.args;
    const plan = planReplay(readFile(path), path);
    const log = new Log("replay", "warn", (line) => call.json ? note(call, line) : warn(line));
    if (plan.defect !== undefined) log.warn(`${path} is played up to where it is whole: ${plan.defect}`);
    for (const { event: { memory } } of plan.steps) {
      if (memory?.moving === true) {
        note(call, `${memory.file} was copied while the VM ran: it is not one moment of its memory`);
      }
    }
    const socketPath = call.socket ?? defaultSocketPathHere();
    const late = new LeftOutCount();
    const played = await play({
      plan,
      socketPath,
      speed: call.number("speed") ?? 1,
      log,
      signal: call.signal,
      folder: path.includes("/") ? path.slice(0, path.lastIndexOf("/")) || "/" : ".",
      stays: call.flag("stay"),
      onUnplayed: (event, why) => late.add(event.kind, why),
      onReady: () =>
        call.out.line(call.json ? JSON.stringify({ ready: socketPath }) : `ready ${visible(socketPath)}`),
    });
    report(call, path, played, [...plan.leftOut, ...late.list()]);
  },
};

function report(call: Call, path: string, played: number, leftOut: readonly LeftOut[]): void {
  const skipped = leftOut.reduce((sum, { count }) => sum + count, 0);
  if (call.json) {
    const notPlayed = leftOut.map(({ kind, reason, count }) => ({ kind: kindName(kind), reason, count }));
    return call.out.json({ file: path, played, skipped, notPlayed });
  }
  call.out.line(`${visible(path)}: ${played} events played, ${skipped} not${skipped > 0 ? ":" : ""}`);
  for (const { kind, reason, count } of leftOut) {
    call.out.line(`${String(count).padStart(7)} ${kindName(kind).padEnd(18)} ${WHY[reason]}`);
  }
}

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
