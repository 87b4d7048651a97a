/**
 * The perception control beside a real daemon and a real guest: what controls hear as a producer comes, works, breaks its session, stands still,
 * dies and comes back, and as the guest reboots; and the ring of frames, with two viewers on it.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { EventFd } from "../../ffi/event_fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { type ClientEvent, connect, type EventStream } from "../../src/client/mod.ts";
import { MappedRegion } from "../../src/vgpu/mapped_region.ts";
import { FrameInfo, ProducerState } from "../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../src/vgpu/vgpu_region.ts";
import { checkStamp } from "../fixtures/vgpu_stamp.ts";
import type { GuestProcess } from "./guest_process.ts";
import { type Qemu, startGuest } from "./qemu.ts";

const ROOT = new URL("../..", import.meta.url);
const WIDTH = 320;
const HEIGHT = 200;
const BYTES = WIDTH * HEIGHT * 4;

/** A daemon over one guest, and the perception control on it. */
class Stage implements AsyncDisposable {
  readonly socket: string;
  readonly #dir: string;
  readonly #daemon: Deno.ChildProcess;
  readonly #bell: EventFd;
  readonly #worker: Worker;
  readonly #joined = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();

  private constructor(dir: string, socket: string, daemon: Deno.ChildProcess, bell: EventFd, worker: Worker) {
    this.#dir = dir;
    this.socket = socket;
    this.#daemon = daemon;
    this.#bell = bell;
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      if (data.type === "joined") this.#joined.resolve();
      else this.#stopped.resolve();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#joined.reject(new Error(`the perception worker failed: ${event.message}`));
      this.#stopped.resolve();
    };
  }

  /** @param late whether the control joins when the context is there already, and not before */
  static async set(vm: Qemu, late: boolean): Promise<Stage> {
    const dir = await Deno.makeTempDir();
    const socket = `${dir}/control.sock`;
    await Deno.writeTextFile(
      `${dir}/vmsigd.toml`,
      `[daemon]
socket = "${socket}"
runtime_dir = "${dir}"
[discovery]
probe = false
trigger_dir = "${dir}/endpoints.d"
[[endpoint]]
name = "vm"
qmp = "${vm.qmpPath}"
input = "none"
[write]
extents = [{ endpoint = "vm", space = "process", from = "0x1000", to = "0x7fffffffffff" }]
`,
    );
    const daemon = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "main.ts", "serve", "--config", `${dir}/vmsigd.toml`],
      cwd: ROOT.pathname,
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = daemon.stdout.getReader();
    const { value } = await reader.read();
    assert(new TextDecoder().decode(value).startsWith("ready "));
    await reader.cancel();
    if (late) {
      await using client = await connect({ socket, name: "first" });
      using _context = await client.next({ kinds: ["MEMCTX"] }, { timeoutMs: 20_000 });
    }
    const bell = EventFd.create();
    const worker = new Worker(new URL("src/daemon/perception_worker.ts", ROOT), { type: "module" });
    const stage = new Stage(dir, socket, daemon, bell, worker);
    worker.postMessage({ socketPath: socket, bellFd: bell.fd, ring: true, log: "error", journal: false });
    await stage.#joined.promise;
    return stage;
  }

  /** Runs a vmsig command against the daemon. */
  async vmsig(...args: string[]): Promise<{ code: number; out: string; error: string }> {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "main.ts", ...args, "--socket", this.socket],
      cwd: ROOT.pathname,
    }).output();
    return { code, out: new TextDecoder().decode(stdout), error: new TextDecoder().decode(stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bell.signal();
    await this.#stopped.promise;
    this.#worker.terminate();
    this.#bell[Symbol.dispose]();
    this.#daemon.kill("SIGTERM");
    await this.#daemon.status;
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** The first event that fits, as it comes; others are passed by. */
async function awaitEvent(
  stream: EventStream,
  what: string,
  fits: (event: ClientEvent) => boolean,
): Promise<ClientEvent> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), 30_000);
  });
  try {
    for (;;) {
      const { value, done } = await Promise.race([stream.next(), late]);
      if (done) throw new Error(`the stream ended before ${what}`);
      if (fits(value)) return value.detach();
    }
  } finally {
    clearTimeout(timer);
  }
}

function awaitState(stream: EventStream, state: number, epoch?: number): Promise<ClientEvent> {
  return awaitEvent(stream, `state ${state} of epoch ${epoch}`, (event) => {
    const status = event.as("VGPU_STATUS");
    return status !== undefined && status.state === state &&
      (epoch === undefined || status.runEpoch === epoch);
  });
}

async function startProducer(vm: Qemu, epoch: number, ...options: string[]): Promise<GuestProcess> {
  const size = [`width=${WIDTH}`, `height=${HEIGHT}`];
  const producer = await vm.agent.start("vgpu_producer", ...size, `epoch=${epoch}`, "fps=25", ...options);
  await producer.lineMatching(/^ready/);
  return producer;
}

/** Samples a ring until so many frames were seen, all of them whole. */
async function view(ring: ClientEvent, frames: number): Promise<void> {
  const shape = ring.as("FRAME_RING");
  assert(shape !== undefined);
  using fd = ring.takeFd(0);
  using mapping = Mapping.map(fd.fd, 0, shape.bytes, { write: false });
  const opened = VgpuRegion.open(new MappedRegion(mapping.buffer));
  assert(opened.ok, opened.ok ? "" : opened.defect);
  assertEquals([opened.region.header.slotCount, opened.region.header.slotStride], [
    shape.slotCount,
    shape.slotStride,
  ]);
  const into = new Uint8Array(BYTES);
  const words = new Int32Array(into.buffer);
  const info = new FrameInfo();
  const state = new ProducerState();
  let last = 0;
  for (let seen = 0, tries = 0; seen < frames; tries++) {
    assert(tries < 10_000, `${seen} frames in the ring`);
    if (opened.region.sampleFrame(into, info) === READ.FRESH) {
      assertEquals(checkStamp(words, info.bytes), info.frameId);
      assert(info.frameId > last);
      last = info.frameId;
      seen++;
    } else await new Promise((resolve) => setTimeout(resolve, 3));
  }
  assertEquals(opened.region.readState(state), READ.FRESH);
  assert(state.heartbeat > 0 && state.status === 2);
}

Deno.test("perception: a producer comes, shows frames to two viewers, breaks its session, stands still, dies, comes back", async () => {
  await using vm = await startGuest({ programs: ["vgpu_producer"] });
  await using stage = await Stage.set(vm, true);
  await using client = await connect({ socket: stage.socket, name: "watcher" });
  const kinds = ["VGPU_STATUS", "FRAME_INFO", "CURSOR_STATE", "FRAME_RING"] as const;
  await using status = client.events({ kinds: ["VGPU_STATUS"] });
  await using all = client.events({ kinds: [...kinds] });

  let producer = await startProducer(vm, 3);
  using alive = await awaitState(status, 2, 3);
  const fields = alive.as("VGPU_STATUS")!;
  assertEquals([fields.producerPid, fields.status, fields.backend], [producer.pid, 2, 1]);
  using cursor = await awaitEvent(all, "a cursor", (event) => event.kindName === "CURSOR_STATE");
  assertEquals(cursor.as("CURSOR_STATE")!.visible, 1);
  using ring = await awaitEvent(all, "the ring", (event) => event.kindName === "FRAME_RING");
  using frame = await awaitEvent(all, "a frame", (event) => event.kindName === "FRAME_INFO");
  const { width, height, stride, format, source, runEpoch } = frame.as("FRAME_INFO")!;
  assertEquals([width, height, stride, format, source, runEpoch], [WIDTH, HEIGHT, WIDTH * 4, 1, 1, 3]);

  // A viewer that comes late gets the ring that is retained; both look at once, while frames go on.
  await using late = await connect({ socket: stage.socket, name: "late viewer" });
  using retained = await late.next({ kinds: ["FRAME_RING"] }, { timeoutMs: 5000 });
  await Promise.all([view(ring, 20), view(retained, 20)]);

  await producer.write("epoch\n");
  using _session = await awaitState(status, 2, 4);
  using _anew = await awaitEvent(
    all,
    "a frame of the new run",
    (event) => event.as("FRAME_INFO")?.runEpoch === 4,
  );

  vm.kill("SIGSTOP");
  using _still = await awaitState(status, 0);
  vm.kill("SIGCONT");
  using _again = await awaitState(status, 2, 4);

  await producer.kill(9);
  await producer.wait();
  using _lost = await awaitState(status, 0);
  producer = await startProducer(vm, 9);
  using _back = await awaitState(status, 2, 9);

  const set = await stage.vmsig(
    "vgpu",
    "vm",
    "set",
    "--state",
    "pause",
    "--fps",
    "7",
    "--full-frame",
    "--json",
  );
  assertEquals([set.code, set.error], [0, ""]);
  const said = JSON.parse(set.out);
  assertEquals([said.ok, said.status, said.appliedFps, said.fullFrameAck], [true, 3, 7, 1]);
  using paused = await awaitEvent(status, "the pause", (event) => event.as("VGPU_STATUS")?.status === 3);
  assertEquals(paused.as("VGPU_STATUS")!.appliedFps, 7);
});

Deno.test("perception: a guest that reboots is found again in its new epoch", async () => {
  await using vm = await startGuest({ programs: ["vgpu_producer"] });
  await using stage = await Stage.set(vm, false);
  await using client = await connect({ socket: stage.socket, name: "watcher" });
  await using status = client.events({ kinds: ["VGPU_STATUS"] });
  await startProducer(vm, 1);
  using _alive = await awaitState(status, 2, 1);
  const booted = vm.agent.ready(2);
  await vm.agent.power("reboot");
  using _lost = await awaitState(status, 0);
  await booted;
  await startProducer(vm, 2);
  using _again = await awaitState(status, 2, 2);
});
