/**
 * `vmsig screen`: one picture of a VM's screen, as a PNG file.
 * @module
 */
import { qmpSocketsOf } from "../../qemu/monitor/process_monitors.ts";
import { QmpScreen } from "../../controls/perception/qmp_screen.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import type { FrameSource } from "../../vgpu/frame_source.ts";
import { toPicture } from "../../vgpu/picture.ts";
import { encodePng } from "../../vgpu/png.ts";
import { FrameInfo } from "../../vgpu/snapshots.ts";
import { READ } from "../../vgpu/vgpu_region.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { openGuest, pidOf } from "./open_guest.ts";
import { visible } from "./table.ts";
import { findRegion, requireRegion } from "./vgpu_view.ts";

const SOURCES = ["auto", "vgpu", "qmp"];
/** How long a producer is given to finish a frame. */
const FRAME_WAIT_MS = 2000;

/** What no other source would help against: no daemon, no such VM, no QEMU. */
const HOPELESS: ReadonlySet<string> = new Set([
  "unreachable",
  "interrupted",
  "no-endpoint",
  "bad-argument",
  "usage",
]);

/** A picture that was taken. */
interface Shot {
  readonly source: "vgpu" | "qmp";
  readonly bytes: Uint8Array;
  readonly info: FrameInfo;
}

/** The command. */
export const screen: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    out: { takes: "text", value: "FILE.png", letter: "o", help: "where the picture goes (screen.png)" },
    source: {
      takes: "text",
      value: "S",
      choices: SOURCES,
      help: "vgpu: the guest's producer; qmp: QEMU itself; auto (default): whichever there is",
    },
  },
  details: `The picture is taken from the guest's vgpu producer when it has one, else by QEMU's screendump.
The target is an endpoint of the daemon, or pid:N for a QEMU process: then no daemon is needed.
A screendump needs a monitor that no other client uses (-qmp unix:PATH,server=on,wait=off).`,
  examples: ["screen web -o web.png", "screen pid:4711 --source qmp"],
  async run(call) {
    const [ref = ""] = call.args;
    const source = call.text("source") ?? "auto";
    if (!SOURCES.includes(source)) {
      throw usage("screen", `there is no source ${visible(source)}; it is vgpu, qmp or auto`);
    }
    const path = call.text("out") ?? "screen.png";
    const shot = source === "qmp" ? await byQmp(call, ref) : await byProducer(call, ref, source === "auto");
    await write(path, encodePng(toPicture(shot.bytes, shot.info)), call.signal);
    report(call, path, shot);
  },
};

async function byProducer(call: Call, ref: string, orQmp: boolean): Promise<Shot> {
  let why: unknown;
  try {
    await using view = await openGuest(call, ref);
    const found = orQmp ? await findRegion(view, call.signal) : await requireRegion(view, call.signal);
    if (found !== undefined) return { source: "vgpu", ...await sample(found.region, call.signal) };
  } catch (error) {
    // Without a look into the guest there may still be a monitor.
    if (!orQmp || !(error instanceof Fault) || HOPELESS.has(error.code)) throw error;
    why = error;
  }
  try {
    return await byQmp(call, ref);
  } catch (error) {
    if (why instanceof Fault && error instanceof Fault) {
      throw new Fault(error.code, `${error.message} (and by the guest's memory: ${why.message})`, {
        cause: error,
      });
    }
    throw error;
  }
}

async function byQmp(call: Call, ref: string): Promise<Shot> {
  const pid = pidOf(ref) ?? await pidOfEndpoint(call, ref);
  const sockets = qmpSocketsOf(pid);
  let last: unknown = new Fault(
    "not-supported",
    `Cannot take a screendump of ${ref}: QEMU ${pid} has no QMP socket; add -qmp unix:PATH,server=on,wait=off`,
  );
  for (const path of sockets) {
    try {
      using source = QmpScreen.open(path);
      return { source: "qmp", ...await sample(source, call.signal) };
    } catch (error) {
      // Somebody else's monitor: the VM may have another one.
      if (!(error instanceof Fault) || error.code !== "busy") throw error;
      last = error;
    }
  }
  throw last;
}

async function pidOfEndpoint(call: Call, ref: string): Promise<number> {
  await using client = await call.connect({ sources: ["CORE"] });
  const endpoint = await client.endpoint(ref);
  const pid = client.roster.get(endpoint)?.pid ?? 0;
  if (pid > 0) return pid;
  throw new Fault(
    "seam-down",
    `Cannot take a screendump of ${ref}: the daemon does not know its QEMU process`,
  );
}

/** Takes one frame, waiting for one that is not being written. */
async function sample(
  source: FrameSource,
  signal: AbortSignal,
): Promise<{ bytes: Uint8Array; info: FrameInfo }> {
  const info = new FrameInfo();
  let bytes = new Uint8Array(4 << 20);
  const end = performance.now() + FRAME_WAIT_MS;
  for (;;) {
    const result = source.sampleFrame(bytes, info);
    if (result === READ.FRESH) return { bytes, info };
    if (signal.aborted) throw new Fault("interrupted", "Cannot take the picture: interrupted");
    if (source.why === "too-large" && bytes.length < MAX_VGPU_SLOT_BYTES) {
      bytes = new Uint8Array(MAX_VGPU_SLOT_BYTES);
      source.forgetFrames();
      continue;
    }
    if (result === READ.GONE || performance.now() >= end) throw noFrame(source.why);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function noFrame(why: string): Fault {
  const texts: Readonly<Record<string, string>> = {
    "none-yet": "the producer has published none yet",
    busy: "the producer is writing all the time",
    malformed: "what the producer publishes is no valid frame",
  };
  return new Fault("timed-out", `Cannot take a frame: ${texts[why] ?? `the source has gone (${why})`}`);
}

/** Writes the picture, also into a pipe: one that nobody reads is waited for until Ctrl-C. */
async function write(path: string, png: Uint8Array, signal: AbortSignal): Promise<void> {
  const { promise: interrupted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(new Fault("interrupted", "Cannot write the picture: interrupted"));
  signal.addEventListener("abort", abort);
  try {
    await Promise.race([Deno.writeFile(path, png), interrupted]);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || error instanceof Fault) throw error;
    const detail = error instanceof Error ? error.message : String(error);
    throw new Fault("refused", `Cannot write ${path}: ${detail}`, { cause: error });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function report(call: Call, path: string, { source, info }: Shot): void {
  const { width, height, format, frameId, timestampNs } = info;
  if (call.json) call.out.json({ path, source, width, height, format, frameId, timestampNs });
  else call.out.line(`${path}: ${width}x${height}, by ${source}`);
}
