/**
 * `vmsig record`: a session's events into a file.
 * @module
 */
import type { Client } from "../client.ts";
import { ProcessRecorder } from "../record/process_recorder.ts";
import { recordedEvent, recordingHeader } from "../record/recording_head.ts";
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
import { ConsoleRecorder } from "../record/console_recorder.ts";
import { FrameRecorder } from "../record/frame_recorder.ts";
import { copyMemory, MAX_COPIES, type MemoryCopy } from "./record_memory.ts";
import { type Uncopied, UncopiedMemory } from "./uncopied_memory.ts";
import { RecordingFile } from "../record/recording_file.ts";
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
      help: "the file, readable only by you (0600); your file of this name is replaced",
    },
    for: { takes: "number", value: "MS", max: 2_147_483_647, help: "end after this time" },
    "max-size": {
      takes: "number",
      value: "MIB",
      min: 1,
      max: 1 << 20,
      help: "begin a new file when this size is reached (256)",
    },
    trace: {
      takes: "text",
      value: "FILE",
      help:
        "record all that vmsig trace shows: the same as -o FILE --frames --consoles, and the processes whenever a lease changes hands",
    },
    frames: { takes: "nothing", help: "also record the screens' pictures, as changes" },
    rate: {
      takes: "number",
      value: "N",
      min: 1,
      max: 60,
      help: "with --frames: at most this many pictures per screen and second (10)",
    },
    consoles: {
      takes: "nothing",
      help: "also record the consoles' output; meanwhile no other program can connect to their sockets",
    },
    memory: {
      takes: "nothing",
      help:
        "copy the memory of each VM, and of each system that comes up in it, to FILE.NAME.ram, FILE.NAME.ram.2, …",
    },
    keep: { takes: "number", value: "N", max: 1000, help: "keep N older files: FILE.1, FILE.2, … (1)" },
  },
  details:
    `Writes every event that your grant includes to a CBOR sequence (RFC 8742) until Ctrl-C: first a header (host,
versions, roster), then one map per event. File descriptors (memory contexts, frame rings) cannot be recorded, only
that there were some. --frames records the pictures of the rings, --consoles the output of each serial port and
virtio console (beginning with what the daemon has kept; it includes typed text that is echoed), and --memory copies
the RAM when its first context is announced. The RAM of a running VM changes while it is copied, and a note says so;
stop the VM first for a consistent copy. When it ends, it names each VM whose memory it did not copy, and why. vmsig
replay plays the file back to controls, vmsig trace makes a page of it.

--trace leaves out what the grant does not include, and says so.`,
  examples: [
    "record -o session.cbor --for 60000",
    "record -o session.cbor --max-size 64 --keep 3",
    "record -o session.cbor --frames --consoles --memory",
    "record --trace run.vmsig",
  ],
  async run(call) {
    const traced = call.text("trace");
    const path = call.text("output") ?? traced;
    if (path === undefined) throw usage("record", "-o FILE is missing");
    if (traced !== undefined && traced !== path) {
      throw usage("record", "--trace names the file: leave -o out");
    }
    if (call.number("rate") !== undefined && !call.flag("frames") && traced === undefined) {
      throw usage("record", "--rate is for --frames; give both, or leave it out");
    }
    await using client = await call.connect();
    const lacking = lackOf(client, call);
    if (lacking !== undefined) throw lacking;
    const may = (cap: keyof typeof CAP) => (client.grant.caps & CAP[cap]) !== 0;
    const parts = ["FRAME", "CONSOLE", "MEMCTX", "AUDIT"] as const;
    const without = traced === undefined ? [] : parts.filter((cap) => !may(cap));
    if (without.length > 0) note(call, `the trace is without what needs ${without.join(", ")}`);
    const hasFrames = call.flag("frames") || (traced !== undefined && may("FRAME"));
    const hasConsoles = call.flag("consoles") || (traced !== undefined && may("CONSOLE"));
    await using stream = client.events();
    await client.completeRoster();
    const bounds = { maxBytes: (call.number("max-size") ?? 256) * MIB, keep: call.number("keep") ?? 1 };
    const copies = new Map<number, MemoryCopy[]>();
    // Only those recorded while the VM was paused: after a reset, a file must not begin with earlier memory.
    const valid = new Map<number, MemoryCopy>();
    using file = new RecordingFile(
      path,
      bounds,
      () => joinedBytes([recordingHeader(client), ...itemsOf(valid)]),
    );
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
    if (hasConsoles) {
      for (const { endpoint, seams, pid } of client.roster.list()) {
        if (seams.includes("console")) consoles.watch(endpoint, pid);
      }
    }
    if (hasFrames) {
      for (const { endpoint, seams } of client.roster.list()) {
        if (seams.includes("frame")) frames.watch(endpoint);
      }
    }
    const guest = traced !== undefined && may("MEMCTX")
      ? await call.connect({ sources: ["CORE", "MEMCTX"] })
      : undefined;
    await using processes = guest && new ProcessRecorder(guest, file, telling.onLost);
    const uncopied = call.flag("memory")
      ? new UncopiedMemory(client.memory, client.roster.list())
      : undefined;
    const toldOnce = new Set<number>();
    let events = 0;
    for await (const event of stream) {
      events++;
      uncopied?.update(event);
      const { endpoint, kind, source } = event;
      if (hasFrames && kind === KIND.SEAM_UP && source === SOURCE.FRAME) frames.watch(endpoint);
      if (hasConsoles && source === SOURCE.CONSOLE && kind === KIND.SEAM_UP) {
        consoles.watch(endpoint, event.as("SEAM_UP")?.pid ?? 0);
      }
      if (isGone(event)) consoles.leave(endpoint);
      if (kind === KIND.MEMCTX_INVALIDATED || isGone(event)) valid.delete(endpoint);
      const copied = copies.get(endpoint) ?? [];
      if (call.flag("memory") && kind === KIND.MEMCTX && copied.length < MAX_COPIES) {
        const copy = await copyOf(client, event, { path, nth: copied.length + 1, signal: call.signal });
        copies.set(endpoint, [...copied, copy]);
        uncopied?.copied(endpoint);
        valid.set(endpoint, copy);
        file.append(copy.item);
        if (copy.isMoving) {
          note(call, `${copy.path}: the VM was running, so this is not a consistent copy of its memory`);
        }
      } else {
        if (copied.length > 0 && kind === KIND.MEMCTX && !toldOnce.has(endpoint)) {
          toldOnce.add(endpoint);
          const name = client.roster.nameOf(endpoint);
          note(call, `the memory of ${name} was copied ${MAX_COPIES} times: that of later systems is not`);
        }
        file.append(recordedEvent(event));
      }
      if (kind === KIND.AUDIT || kind === KIND.VM_LIFECYCLE) processes?.mark(endpoint);
    }
    if (broken !== undefined) throw broken;
    await frames[Symbol.asyncDispose]();
    await consoles[Symbol.asyncDispose]();
    await processes?.[Symbol.asyncDispose]();
    report(call, path, {
      hasFrames,
      hasConsoles,
      events,
      bytes: file.totalBytes,
      pictures: frames.count,
      consoleBytes: consoles.bytes,
      copies: [...copies.values()].flat(),
      uncopied: uncopied?.list() ?? [],
    });
  },
};

/** Copies the memory, and notes whether the VM was paused meanwhile. */
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
      // A user who may not ask, or a VM whose monitor is not available: then it is unknown whether it was
      // paused.
      if (error instanceof Fault && error.code !== "interrupted") return false;
      throw error;
    }
  };
  return await copyMemory(event, path, { name, nth, signal, hasStood });
}

function isGone(event: ClientEvent): boolean {
  return event.kind === KIND.ROSTER && event.as("ROSTER")?.state === ROSTER_STATE.GONE;
}

/** The summary at the end. */
interface Recorded {
  readonly hasFrames: boolean;
  readonly hasConsoles: boolean;
  readonly events: number;
  readonly bytes: number;
  readonly pictures: number;
  readonly consoleBytes: number;
  readonly copies: readonly MemoryCopy[];
  readonly uncopied: readonly Uncopied[];
}

function report(call: Call, path: string, recorded: Recorded): void {
  const { events, bytes, pictures, consoleBytes, copies, uncopied } = recorded;
  if (call.json) {
    const memory = copies.map(({ path: file, bytes, writtenBytes, isMoving }) => ({
      file,
      bytes,
      writtenBytes,
      moving: isMoving,
    }));
    const kept = {
      ...recorded.hasFrames ? { pictures } : {},
      ...recorded.hasConsoles ? { consoleBytes } : {},
      ...call.flag("memory") ? { memory, uncopied } : {},
    };
    return call.out.json({ file: path, events, bytes, ...kept });
  }
  const shown = recorded.hasFrames ? `, ${pictures} pictures` : "";
  const said = recorded.hasConsoles ? `, ${consoleBytes} bytes of consoles` : "";
  call.out.line(`${visible(path)}: ${events} events${shown}${said}, ${bytes} bytes`);
  for (const { path: file, bytes, writtenBytes, isMoving } of copies) {
    const moment = isMoving ? "; copied while the VM ran" : "";
    call.out.line(`${visible(file)}: ${bytes} bytes of memory, ${writtenBytes} of them on disk${moment}`);
  }
  for (const { name, why } of uncopied) note(call, `the memory of ${name} was not copied: ${why}`);
}

/** Why what was requested cannot be recorded, so that the recording does not wait for it in vain. */
function lackOf(client: Client, call: Call): Fault | undefined {
  const needs = [["frames", "FRAME"], ["memory", "MEMCTX"], ["consoles", "CONSOLE"]] as const;
  const lacking = needs.find(([option, cap]) => call.flag(option) && (client.grant.caps & CAP[cap]) === 0);
  if (lacking === undefined) return undefined;
  const [option, cap] = lacking;
  const words = `Cannot record with --${option}: the daemon's config grants you no ${cap}`;
  return new Fault("no-capability", words);
}

/** Contexts arrive once; each file repeats them. */
function itemsOf(copies: ReadonlyMap<number, MemoryCopy>): Uint8Array[] {
  return [...copies.values()].map(({ item }) => item);
}
