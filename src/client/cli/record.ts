/**
 * `vmsig record`: a session's events into a file.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { VERSION } from "../../base/version.ts";
import { encodeRecordedEvent, encodeRecordingHeader } from "../../event/recording.ts";
import type { Client } from "../client.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { endAfter } from "./end_after.ts";
import { RecordingFile } from "./recording_file.ts";
import { visible } from "./table.ts";

const MIB = 2 ** 20;

/** The command. */
export const record: CommandModule = {
  args: { min: 0, max: 0 },
  options: {
    output: {
      takes: "text",
      letter: "o",
      value: "FILE",
      help: "where to, for this user's eyes only (0600); a file of yours of this name is replaced",
    },
    for: { takes: "number", value: "MS", max: 2_147_483_647, help: "end after this time" },
    "max-size": {
      takes: "number",
      value: "MIB",
      min: 1,
      max: 1 << 20,
      help: "begin a new file past this size (256)",
    },
    keep: { takes: "number", value: "N", max: 1000, help: "keep N older files: FILE.1, FILE.2, … (1)" },
  },
  details:
    `Writes every event that your grant lets through into a CBOR sequence (RFC 8742): first a header (host, versions, roster), then
one map an event, until Ctrl-C. File descriptors (memory contexts, frame rings) cannot be recorded, only that there
were some. vmsig replay plays such a file to a control.`,
  examples: ["record -o session.cbor --for 60000", "record -o session.cbor --max-size 64 --keep 3"],
  async run(call) {
    const path = call.text("output");
    if (path === undefined) throw usage("record", "-o FILE is missing");
    await using client = await call.connect();
    await using stream = client.events();
    await client.completeRoster();
    const bounds = { maxBytes: (call.number("max-size") ?? 256) * MIB, keep: call.number("keep") ?? 1 };
    using file = new RecordingFile(path, bounds, () => headerOf(client));
    using _timer = endAfter(stream, call);
    let events = 0;
    for await (const event of stream) {
      file.append(encodeRecordedEvent({ ...event, fds: event.fdCount }));
      events++;
    }
    const bytes = file.totalBytes;
    if (call.json) call.out.json({ file: path, events, bytes });
    else call.out.line(`${visible(path)}: ${events} events, ${bytes} bytes`);
  },
};

function headerOf(client: Client): Uint8Array {
  return encodeRecordingHeader({
    host: { name: kernelText("hostname"), kernel: kernelText("osrelease") },
    versions: { vmsig: VERSION, protocol: PROTOCOL, deno: Deno.version.deno },
    startedAt: new Date().toISOString(),
    startedNs: Math.round(monotonicClock.nowNs()),
    roster: client.roster.list(),
  });
}

function kernelText(name: string): string {
  return Deno.readTextFileSync(`/proc/sys/kernel/${name}`).trim();
}
