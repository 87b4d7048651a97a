/**
 * A picture of a VM's screen without the daemon: from a producer in the guest, read in the guest's memory by
 * this process, or by QEMU's screendump over an unused monitor.
 * @module
 */
import { QmpScreen } from "../../controls/perception/qmp_screen.ts";
import { qmpSocketsOf } from "../../qemu/monitor/process_monitors.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import type { FrameSource } from "../../vgpu/frame_source.ts";
import { FrameInfo } from "../../vgpu/snapshots.ts";
import { READ } from "../../vgpu/vgpu_region.ts";
import type { Call } from "./command.ts";
import { usage } from "./command_line.ts";
import { openGuest, pidOf } from "./open_guest.ts";
import { visible } from "./table.ts";
import { findRegion, requireRegion } from "./vgpu_view.ts";

/** Time limit for a producer to finish a frame. */
const FRAME_WAIT_MS = 2000;

/** Errors that no other source would avoid: no such process, not a QEMU. */
const HOPELESS: ReadonlySet<string> = new Set(["interrupted", "no-endpoint", "bad-argument", "usage"]);

/** A picture, as taken. */
export interface LocalShot {
  /** Its source. */
  readonly source: "vgpu" | "qmp";
  /** The frame's pixels. */
  readonly bytes: Uint8Array;
  /** Its description. */
  readonly info: FrameInfo;
}

/**
 * Takes a picture.
 *
 * @param ref `pid:N`, or an endpoint for the producer in its guest
 * @param source "vgpu", "qmp", or "auto": the first one available
 * @throws {Fault} `usage`, `busy`, `seam-down`, `not-supported`, `timed-out`
 */
export async function takeLocally(call: Call, ref: string, source: string): Promise<LocalShot> {
  const pid = pidOf(ref);
  if (pid === undefined && /^(pid|file):/.test(ref)) {
    throw usage(
      "screen",
      `there is no process ${visible(ref)}; say an endpoint, or pid:N for a QEMU process`,
    );
  }
  if (pid === undefined && source !== "vgpu") {
    throw usage("screen", `--source ${source} is for pid:N; the daemon has the monitor of an endpoint`);
  }
  if (source === "qmp") return await byQmp(call, ref, pid ?? 0);
  return await byProducer(call, ref, source === "auto", pid ?? 0);
}

async function byProducer(call: Call, ref: string, orQmp: boolean, pid: number): Promise<LocalShot> {
  let why: unknown;
  try {
    await using view = await openGuest(call, ref);
    const found = orQmp ? await findRegion(view, call.signal) : await requireRegion(view, call.signal);
    if (found !== undefined) return { source: "vgpu", ...await sample(found.region, call.signal) };
  } catch (error) {
    // If the guest's memory cannot be read, there may still be a monitor.
    if (!orQmp || !(error instanceof Fault) || HOPELESS.has(error.code)) throw error;
    why = error;
  }
  try {
    return await byQmp(call, ref, pid);
  } catch (error) {
    if (why instanceof Fault && error instanceof Fault) {
      throw new Fault(error.code, `${error.message} (and by the guest's memory: ${why.message})`, {
        cause: error,
      });
    }
    throw error;
  }
}

async function byQmp(call: Call, ref: string, pid: number): Promise<LocalShot> {
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
      // The monitor is in use: the VM may have another one.
      if (!(error instanceof Fault) || error.code !== "busy") throw error;
      last = error;
    }
  }
  throw last;
}

/** Takes one frame; waits for one that is not being written. */
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
    malformed: "what the producer publishes is not a valid frame",
  };
  return new Fault("timed-out", `Cannot take a frame: ${texts[why] ?? `the source has gone (${why})`}`);
}
