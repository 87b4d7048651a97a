/**
 * `vmsig record`: a session's events into a file.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { VERSION } from "../../base/version.ts";
import { encodeRecordedEvent, encodeRecordingHeader } from "../../event/recording.ts";
import type { Client } from "../client.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { Call, CommandModule } from "./command.ts";
import { CAP } from "../../event/capability.ts";
import { Fault } from "../../base/fault.ts";
import { joinedBytes } from "../../base/joined_bytes.ts";
import { KIND } from "../../event/kind.ts";
import { ROSTER_STATE } from "../../event/body_number.ts";
import { SOURCE } from "../../event/source.ts";
import type { ClientEvent } from "../client_event.ts";
import { usage } from "./command_line.ts";
import { endAfter } from "./end_after.ts";
import { note } from "./note.ts";
import { ConsoleRecorder } from "./record_consoles.ts";
import { FrameRecorder } from "./record_frames.ts";
import { copyMemory, MAX_COPIES, type MemoryCopy } from "./record_memory.ts";
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
    frames: { takes: "nothing", help: "keep the screens' pictures, too: what changed in each" },
    rate: {
      takes: "number",
      value: "N",
      min: 1,
      max: 60,
      help: "with --frames: pictures of a screen per second at most (10)",
    },
    consoles: {
      takes: "nothing",
      help: "keep the bytes of the consoles, too; while it records no other program gets QEMU's end of them",
    },
    memory: {
      takes: "nothing",
      help:
        "copy the memory of each VM, and of each system that comes up in it, to FILE.NAME.ram, FILE.NAME.ram.2, …",
    },
    keep: { takes: "number", value: "N", max: 1000, help: "keep N older files: FILE.1, FILE.2, … (1)" },
  },
  details:
    `Writes every event that your grant lets through into a CBOR sequence (RFC 8742): first a header (host, versions, roster), then
one map an event, until Ctrl-C. File descriptors (memory contexts, frame rings) cannot be recorded, only that there
were some: --frames keeps the pictures that were in the rings, --consoles what came on each serial port and virtio
console (from what the daemon has kept on; whatever is typed and echoed is in it), --memory a copy of the RAM as its first context is told
(of a VM that runs it is copied while it changes, which is said; stop it first for one moment of it). A system that is
started later is not copied. vmsig replay plays such a file
to a control, and shows both.`,
  examples: [
    "record -o session.cbor --for 60000",
    "record -o session.cbor --max-size 64 --keep 3",
    "record -o session.cbor --frames --consoles --memory",
  ],
  async run(call) {
    const path = call.text("output");
    if (path === undefined) throw usage("record", "-o FILE is missing");
    if (call.number("rate") !== undefined && !call.flag("frames")) {
      throw usage("record", "--rate is for --frames; give both, or leave it out");
    }
    await using client = await call.connect();
    const lacking = lackOf(client, call);
    if (lacking !== undefined) throw lacking;
    await using stream = client.events();
    await client.completeRoster();
    const bounds = { maxBytes: (call.number("max-size") ?? 256) * MIB, keep: call.number("keep") ?? 1 };
    const copies = new Map<number, MemoryCopy[]>();
    // Those that hold still: after a reset a file must not begin with the memory of before.
    const valid = new Map<number, MemoryCopy>();
    using file = new RecordingFile(path, bounds, () => joinedBytes([headerOf(client), ...itemsOf(valid)]));
    if (call.flag("memory") && file.isDevice) {
      throw usage("record", "--memory needs a plain file for -o: the copies stand beside it");
    }
    using _timer = endAfter(stream, call);
    let broken: unknown;
    const telling = {
      onLost: (text: string) => note(call, text),
      onBroken: (error: unknown) => {
        broken ??= error;
        stream.end();
      },
    };
    await using frames = new FrameRecorder({
      client,
      file,
      perSecond: call.number("rate") ?? 10,
      ...telling,
    });
    await using consoles = new ConsoleRecorder({ client, file, ...telling });
    if (call.flag("consoles")) {
      for (const { endpoint, seams, pid } of client.roster.list()) {
        if (seams.includes("console")) consoles.watch(endpoint, pid);
      }
    }
    if (call.flag("frames")) {
      for (const { endpoint, seams } of client.roster.list()) {
        if (seams.includes("frame")) frames.watch(endpoint);
      }
    }
    const toldOnce = new Set<number>();
    let events = 0;
    for await (const event of stream) {
      events++;
      const { endpoint, kind, source } = event;
      if (call.flag("frames") && kind === KIND.SEAM_UP && source === SOURCE.FRAME) frames.watch(endpoint);
      if (call.flag("consoles") && source === SOURCE.CONSOLE && kind === KIND.SEAM_UP) {
        consoles.watch(endpoint, event.as("SEAM_UP")?.pid ?? 0);
      }
      if (isGone(event)) consoles.leave(endpoint);
      if (kind === KIND.MEMCTX_INVALIDATED || isGone(event)) valid.delete(endpoint);
      const copied = copies.get(endpoint) ?? [];
      if (call.flag("memory") && kind === KIND.MEMCTX && copied.length < MAX_COPIES) {
        const copy = await copyOf(client, event, { path, nth: copied.length + 1, signal: call.signal });
        copies.set(endpoint, [...copied, copy]);
        valid.set(endpoint, copy);
        file.append(copy.item);
        if (copy.isMoving) {
          note(call, `${copy.path}: the VM ran meanwhile, so this is not one moment of its memory`);
        }
      } else {
        if (copied.length > 0 && kind === KIND.MEMCTX && !toldOnce.has(endpoint)) {
          toldOnce.add(endpoint);
          const name = client.roster.nameOf(endpoint);
          note(call, `the memory of ${name} was copied ${MAX_COPIES} times: that of later systems is not`);
        }
        file.append(itemOf(event));
      }
    }
    if (broken !== undefined) throw broken;
    await frames[Symbol.asyncDispose]();
    await consoles[Symbol.asyncDispose]();
    report(call, path, {
      events,
      bytes: file.totalBytes,
      pictures: frames.count,
      consoleBytes: consoles.bytes,
      copies: [...copies.values()].flat(),
    });
  },
};

/** Copies the memory, and notes whether the VM stood still for it. */
async function copyOf(
  client: Client,
  event: ClientEvent,
  { path, nth, signal }: { readonly path: string; readonly nth: number; readonly signal: AbortSignal },
): Promise<MemoryCopy> {
  const name = client.roster.nameOf(event.endpoint);
  const hasStood = async (): Promise<boolean> => {
    try {
      const { state } = await client.vmState(event.endpoint, { signal });
      return state !== "running";
    } catch (error) {
      // Who may not ask, or asks a VM whose monitor is away, does not know that it stood.
      if (error instanceof Fault && error.code !== "interrupted") return false;
      throw error;
    }
  };
  return await copyMemory(event, path, { name, nth, signal, hasStood });
}

function isGone(event: ClientEvent): boolean {
  return event.kind === KIND.ROSTER && event.as("ROSTER")?.state === ROSTER_STATE.GONE;
}

/** What is told at the end. */
interface Recorded {
  readonly events: number;
  readonly bytes: number;
  readonly pictures: number;
  readonly consoleBytes: number;
  readonly copies: readonly MemoryCopy[];
}

function report(call: Call, path: string, recorded: Recorded): void {
  const { events, bytes, pictures, consoleBytes, copies } = recorded;
  if (call.json) {
    const memory = copies.map(({ path: file, bytes, writtenBytes, isMoving }) => ({
      file,
      bytes,
      writtenBytes,
      moving: isMoving,
    }));
    const kept = {
      ...call.flag("frames") ? { pictures } : {},
      ...call.flag("consoles") ? { consoleBytes } : {},
      ...call.flag("memory") ? { memory } : {},
    };
    return call.out.json({ file: path, events, bytes, ...kept });
  }
  const shown = call.flag("frames") ? `, ${pictures} pictures` : "";
  const said = call.flag("consoles") ? `, ${consoleBytes} bytes of consoles` : "";
  call.out.line(`${visible(path)}: ${events} events${shown}${said}, ${bytes} bytes`);
  for (const { path: file, bytes, writtenBytes, isMoving } of copies) {
    const moment = isMoving ? "; copied while the VM ran" : "";
    call.out.line(`${visible(file)}: ${bytes} bytes of memory, ${writtenBytes} of them on disk${moment}`);
  }
}

/** Why what was asked for cannot be recorded: this control would wait for it in vain. */
function lackOf(client: Client, call: Call): Fault | undefined {
  const needs = [["frames", "FRAME"], ["memory", "MEMCTX"], ["consoles", "CONSOLE"]] as const;
  const lacking = needs.find(([option, cap]) => call.flag(option) && (client.grant.caps & CAP[cap]) === 0);
  if (lacking === undefined) return undefined;
  const [option, cap] = lacking;
  const words = `Cannot record with --${option}: the daemon's config grants you no ${cap}`;
  return new Fault("no-capability", words);
}

function itemOf(event: ClientEvent): Uint8Array {
  return encodeRecordedEvent({ ...event, fds: event.fdCount });
}

/** Contexts come once: each file says them again. */
function itemsOf(copies: ReadonlyMap<number, MemoryCopy>): Uint8Array[] {
  return [...copies.values()].map(({ item }) => item);
}

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
