/**
 * `vmsig vgpu`: shows what the guest's vgpu producer reports, and sends it requests.
 * @module
 */
import { suggestion } from "../../base/closest_name.ts";
import { Fault } from "../../base/fault.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import type { QemuRam } from "../../ram/qemu_ram.ts";
import { RamWriter } from "../../ram/ram_writer.ts";
import {
  buildControlWrite,
  type ControlIntent,
  type ControlWrite,
  isApplied,
  isFullFrameDone,
} from "../../vgpu/control_write.ts";
import type { RegionCandidate } from "../../vgpu/discovery.ts";
import { BACKEND, COMMAND, CURSOR_ID, nameIn, PRODUCER_STATUS } from "../../vgpu/region_layout.ts";
import { ControlState, Cursor, Geometry, ProducerState } from "../../vgpu/snapshots.ts";
import { READ, type ReadResult, type VgpuRegion } from "../../vgpu/vgpu_region.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { type OpenGuest, openGuest } from "./open_guest.ts";
import { visible } from "./table.ts";
import { requireRegion } from "./vgpu_view.ts";

const OPERATIONS = ["status", "cursor", "geometry", "set"];
const STATES = Object.keys(COMMAND).filter((name) => name !== "none");
/** A guest under load takes its time, and what the daemon asks of a VM has as long, ms. */
const DEFAULT_TIMEOUT_MS = 10_000;

/** The command. */
export const vgpu: CommandModule = {
  args: { min: 2, max: 2 },
  options: {
    state: { takes: "text", value: "S", choices: ["run", "pause", "stop"], help: "set: run, pause or stop" },
    fps: {
      takes: "number",
      value: "N",
      min: 0,
      max: 1000,
      help: "set: frames per second, 0 = the producer chooses",
    },
    "draw-cursor": {
      takes: "number",
      value: "0|1",
      choices: ["0", "1"],
      min: 0,
      max: 1,
      help: "set: whether the cursor is drawn into the frames",
    },
    "full-frame": { takes: "nothing", help: "set: request one full frame" },
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: 60_000,
      help: "set: how long to wait for the producer (10000)",
    },
  },
  details:
    `status, cursor and geometry are read from the guest's memory, where the producer is found automatically. set writes
the producer's control block and waits until the producer has applied it. For an endpoint, set goes through the
daemon under the memwrite lease, and the daemon's config must allow writes there ([write] extents of space
"process"). For pid:N, a QEMU process, no daemon is needed, but set needs the right to write to the memory of that
process.`,
  examples: [
    "vgpu web status",
    "vgpu pid:4711 cursor",
    "vgpu web set --fps 30 --draw-cursor 1",
    "vgpu web set --full-frame",
  ],
  async run(call) {
    const [ref = "", operation = ""] = call.args;
    if (!OPERATIONS.includes(operation)) {
      throw usage("vgpu", `there is no operation ${visible(operation)}${suggestion(operation, OPERATIONS)}`);
    }
    const intent = intentOf(call);
    if (operation === "set" && intent === undefined) {
      throw usage("vgpu", "set needs something to set: --state, --fps, --draw-cursor or --full-frame");
    }
    if (operation !== "set" && intent !== undefined) throw usage("vgpu", `${operation} sets nothing`);
    await using view = await openGuest(call, ref);
    const found = await requireRegion(view, call.signal);
    switch (operation) {
      case "status":
        return status(call, found);
      case "cursor":
        return await cursor(call, found.region);
      case "geometry":
        return await geometry(call, found.region);
      default:
        return await set(call, view, found.region, intent as ControlIntent);
    }
  },
};

function intentOf(call: Call): ControlIntent | undefined {
  const state = call.text("state");
  const fps = call.number("fps");
  const drawCursor = call.number("draw-cursor");
  const fullFrame = call.flag("full-frame");
  if (state !== undefined && !STATES.includes(state)) {
    throw usage("vgpu", `there is no state ${visible(state)}${suggestion(state, STATES)}`);
  }
  if (fps !== undefined && !Number.isInteger(fps)) throw usage("vgpu", "frames a second are a whole number");
  if (state === undefined && fps === undefined && drawCursor === undefined && !fullFrame) return undefined;
  return {
    ...(state === undefined ? {} : { desiredState: COMMAND[state as keyof typeof COMMAND] }),
    ...(fps === undefined ? {} : { targetFps: fps }),
    ...(drawCursor === undefined ? {} : { drawCursor: drawCursor === 1 }),
    ...(fullFrame ? { fullFrame } : {}),
  };
}

function status({ json, out }: Call, { process, gva, region }: RegionCandidate): void {
  const state = new ProducerState();
  taken(region.readState(state), region);
  const { header } = region;
  if (json) {
    out.json({
      ...state,
      statusName: nameIn(PRODUCER_STATUS, state.status),
      backendName: nameIn(BACKEND, state.backend),
      pid: process.pid,
      process: visible(process.name),
      gva: `0x${gva.toString(16)}`,
      root: `0x${region.root.toString(16)}`,
      producerPid: header.producerPid,
      regionBytes: header.regionBytes,
      slotCount: header.slotCount,
      slotStride: header.slotStride,
    });
    return;
  }
  const name = nameIn(PRODUCER_STATUS, state.status);
  out.line(
    `${out.paint(state.status === PRODUCER_STATUS.error ? "bad" : "good", name)}, ${
      nameIn(BACKEND, state.backend)
    }, ${state.appliedFps} frames/s, epoch ${state.runEpoch}, error ${state.errorCode}`,
  );
  out.line(
    `process ${process.pid} ${visible(process.name)}, region 0x${
      gva.toString(16)
    }, ${header.slotCount} slots of ${(header.slotStride / 2 ** 20).toFixed(1)} MiB`,
  );
  out.line(
    `heartbeat ${state.heartbeat}, control applied ${state.ctrlAck}, full frames ${state.fullFrameAck}`,
  );
}

async function cursor({ json, out }: Call, region: VgpuRegion): Promise<void> {
  const c = new Cursor();
  await settled(() => region.readCursor(c), region);
  const { seq, visible: shown, x, y, hotX, hotY, glyphW, glyphH, id } = c;
  if (json) {
    out.json({
      cursorSeq: seq,
      cursorVisible: shown ? 1 : 0,
      cursorPos: { x, y },
      cursorHotspot: { x: hotX, y: hotY },
      cursorGlyph: { w: glyphW, h: glyphH },
      cursorId: id,
      cursorIdName: nameIn(CURSOR_ID, id),
    });
  } else {
    out.line(
      `${shown ? "shown" : "hidden"} at ${x},${y}, ${
        nameIn(CURSOR_ID, id)
      }, ${glyphW}x${glyphH} with its tip at ${hotX},${hotY}`,
    );
  }
}

async function geometry({ json, out }: Call, region: VgpuRegion): Promise<void> {
  const g = new Geometry();
  await settled(() => region.readGeometry(g), region);
  const { seq, ...fields } = g;
  if (json) out.json({ geomSeq: seq, ...fields });
  else {
    out.line(
      `desktop ${g.virtW}x${g.virtH} at ${g.virtX},${g.virtY}, captured from ${g.capX},${g.capY}, ${g.dpi} dpi, ${
        (g.refreshMhz / 1000).toFixed(3)
      } Hz`,
    );
  }
}

async function set(
  call: Call,
  { via, name, os }: OpenGuest,
  region: VgpuRegion,
  intent: ControlIntent,
): Promise<void> {
  const before = new ControlState();
  if (via.kind === "daemon") {
    const { client, endpoint } = via;
    await using _lease = await client.acquire(endpoint, "memwrite", { signal: call.signal });
    await settled(() => region.readControl(before), region);
    const { gva, source, root } = buildControlWrite(region, before, intent);
    await client.writeMemory(endpoint, gva, source, { cr3: root, seqlock: true, signal: call.signal });
  } else {
    await settled(() => region.readControl(before), region);
    store(via.qemu, os, buildControlWrite(region, before, intent), before.ctrlGen);
  }
  const state = new ProducerState();
  const deadline = performance.now() + (call.number("timeout") ?? DEFAULT_TIMEOUT_MS);
  for (;;) {
    taken(region.readState(state), region);
    const done = isApplied(state, before) && (intent.fullFrame !== true || isFullFrameDone(state, before));
    if (done) break;
    if (call.signal.aborted) throw new Fault("interrupted", "Cannot await the producer: interrupted");
    if (performance.now() >= deadline) {
      throw new Fault(
        "timed-out",
        `Cannot tell that the producer of ${name} obeys: the request is written, but not acknowledged (heartbeat ${state.heartbeat})`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (call.json) {
    call.out.json({
      ok: true,
      ctrlAck: state.ctrlAck,
      fullFrameAck: state.fullFrameAck,
      appliedFps: state.appliedFps,
      status: state.status,
    });
  } else {
    call.out.line(`applied: ${nameIn(PRODUCER_STATUS, state.status)}, ${state.appliedFps} frames/s`);
  }
}

/** Writes as the daemon's memory seam does: the sequence word odd, the contents, the word even. */
function store(qemu: QemuRam, os: GuestOs, write: ControlWrite, generation: number): void {
  const space = os.kernel.withRoot(write.root);
  const { ok, runs } = space.runs(write.gva, 4);
  const source = space.runs(write.gva + 4, write.source.length);
  if (!ok || !source.ok || !runs.every((run) => run.writable)) {
    throw new Fault("not-mapped", "Cannot write the control block: its page is not there any more");
  }
  using writer = new RamWriter(qemu.backends, qemu.fds, qemu.pieces);
  const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
  const done = writer.store(runs, word(generation + 1)) && writer.store(source.runs, write.source) &&
    writer.store(runs, word(generation + 2));
  if (!done) throw new Fault("not-mapped", "Cannot write the control block: it is not in QEMU's shared RAM");
}

/** A read that a writer may disturb for a moment. */
async function settled(read: () => ReadResult, region: VgpuRegion): Promise<void> {
  for (let attempt = 0;; attempt++) {
    const result = read();
    if (result === READ.FRESH) return;
    if (result === READ.GONE || attempt === 100) return taken(result, region);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function taken(result: ReadResult, region: VgpuRegion): void {
  if (result === READ.FRESH) return;
  if (result === READ.NOTHING) {
    throw new Fault("timed-out", "Cannot read the region: its producer writes all the time");
  }
  throw new Fault("no-endpoint", `Cannot read the region any more: its producer has exited (${region.why})`);
}
