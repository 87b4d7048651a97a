/**
 * Perception as the daemon runs it by itself: started with the first guest there is to look into and not
 * before, and ended with the daemon. What controls hear as a producer comes, works, breaks its session,
 * stands still, dies and comes back, and as the guest boots anew; the ring of frames; and what commands say
 * of it, as a person types them.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { NO_ENDPOINT } from "../../src/base/ids.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { Client, ClientEvent, EventStream } from "../../src/client/mod.ts";
import type { PerceptionPlan, PerceptionReport } from "../../src/daemon/perception_worker.ts";
import { MappedRegion } from "../../src/vgpu/mapped_region.ts";
import { FrameInfo, ProducerState } from "../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../src/vgpu/vgpu_region.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { procText } from "../fixtures/holdings.ts";
import { checkStamp } from "../fixtures/vgpu_stamp.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const WIDTH = 320;
const HEIGHT = 200;
const BYTES = WIDTH * HEIGHT * 4;
const LOST = 0;
const ALIVE = 2;
const WAIT_MS = 180_000;

function configOf(vm: Qemu, more = ""): string {
  return `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\n${more}
[write]\nextents = [{ endpoint = "vm", space = "process", from = "0x1000", to = "0x7fffffffffff" }]\n`;
}

async function startProducer(vm: Qemu, epoch: number, ...options: string[]): Promise<GuestProcess> {
  const words = [`width=${WIDTH}`, `height=${HEIGHT}`, `epoch=${epoch}`, ...options];
  const producer = await vm.agent.start("vgpu_producer", ...words);
  await producer.lineMatching(/^ready/);
  return producer;
}

/** The first event that fits; others are passed by. It is the caller's. */
async function firstOf(
  stream: EventStream,
  what: string,
  fits: (event: ClientEvent) => boolean,
): Promise<ClientEvent> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), WAIT_MS);
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

async function state(stream: EventStream, wanted: number, epoch?: number): Promise<void> {
  using _event = await firstOf(stream, `state ${wanted} of epoch ${epoch}`, (event) => {
    const status = event.as("VGPU_STATUS");
    return status?.state === wanted && (epoch === undefined || status.runEpoch === epoch);
  });
}

/** A consumer of the ring: mapped read-only, sampled like a guest's region. */
class Viewer implements Disposable {
  readonly runEpoch: number;
  readonly #mapping: Mapping;
  readonly #region: VgpuRegion;

  constructor(event: ClientEvent) {
    const shape = event.as("FRAME_RING");
    assert(shape !== undefined);
    this.runEpoch = shape.runEpoch;
    using fd = event.takeFd(0);
    assertThrows(() => Mapping.map(fd.fd, 0, shape.bytes, { write: true }), OsError, "EACCES");
    this.#mapping = Mapping.map(fd.fd, 0, shape.bytes, { write: false });
    const opened = VgpuRegion.open(new MappedRegion(this.#mapping.buffer));
    assert(opened.ok, opened.ok ? "" : opened.defect);
    this.#region = opened.region;
    const { slotCount, slotStride } = opened.region.header;
    assertEquals([slotCount, slotStride], [shape.slotCount, shape.slotStride]);
  }

  /**
   * Samples until so many frames were seen, each newer than the one before and whole; their producer runs.
   */
  async view(frames: number): Promise<void> {
    const into = new Uint8Array(BYTES);
    const words = new Int32Array(into.buffer);
    const info = new FrameInfo();
    let last = 0;
    for (let seen = 0, tries = 0; seen < frames; tries++) {
      assert(tries < 60_000, `${seen} frames in the ring`);
      if (this.#region.sampleFrame(into, info) !== READ.FRESH) {
        await new Promise((resolve) => setTimeout(resolve, 3));
        continue;
      }
      assertEquals([info.width, info.height, checkStamp(words, info.bytes)], [WIDTH, HEIGHT, info.frameId]);
      assertGreater(info.frameId, last);
      last = info.frameId;
      seen++;
    }
    const { heartbeat, status } = this.state();
    assertGreater(heartbeat, 0);
    assertEquals(status, 2);
  }

  /** What the ring says of the producer; its heartbeat stands once nobody writes the ring any more. */
  state(): ProducerState {
    const state = new ProducerState();
    assertEquals(this.#region.readState(state), READ.FRESH);
    return state;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
  }
}

/** A viewer that comes now: the ring is retained for it. */
async function lateViewer(daemon: DaemonProcess): Promise<Viewer> {
  await using client = await daemon.connect("late viewer");
  using event = await client.next({ kinds: ["FRAME_RING"] }, { timeoutMs: WAIT_MS });
  return new Viewer(event);
}

/** One more perception control on the daemon's bus, which comes when everything it needs is retained. */
class LatePerception implements AsyncDisposable {
  readonly #bell = EventFd.create();
  readonly #worker: Worker;
  readonly #stopped = Promise.withResolvers<PerceptionReport>();

  constructor(socketPath: string) {
    const url = new URL("../../src/daemon/perception_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<PerceptionReport>) => {
      if (data.type !== "joined" && data.type !== "alive") this.#stopped.resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#stopped.resolve({ type: "failed", code: "refused", message: event.message });
    };
    const plan: PerceptionPlan = {
      socketPath,
      bellFd: this.#bell.fd,
      ring: true,
      log: "error",
      journal: false,
    };
    this.#worker.postMessage(plan);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bell.signal();
    const report = await this.#stopped.promise;
    this.#worker.terminate();
    this.#bell[Symbol.dispose]();
    assertEquals(report, { type: "stopped" });
  }
}

/** The threads of the daemon that run a Worker: the loop's, the scanner's, perception's. */
function workers(daemon: DaemonProcess): number {
  return [...Deno.readDirSync(`/proc/${daemon.pid}/task`)]
    .filter(({ name }) => procText(`/proc/${daemon.pid}/task/${name}/comm`)?.startsWith("worker-"))
    .length;
}

Deno.test("perception in the daemon: not without a guest to look into; stopped while it starts, it ends at once", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using vm = await startSavedGuest({ ramMiB: 256 });
  await using client = await daemon.connect("watcher");
  daemon.drop("blind", `name = "blind"\nqmp = "${vm.qmpPath}"\nmemory = "none"\ninput = "qmp"\n`);
  await until(
    "it is up",
    () => client.roster.get(client.roster.find("blind") ?? NO_ENDPOINT)?.state === "up",
  );
  assertEquals([workers(daemon), await daemon.metric("vmsig_controls")], [1, 1], "the loop, and this client");
  daemon.take("blind");
  await until("it is gone", () => client.roster.find("blind") === undefined);
  daemon.drop("vm", `name = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\n`);
  await until("the scanner and perception are started", () => workers(daemon) >= 3);
  // It is compiling its modules, joins, or is just there: whichever, status 0 means within the daemon's own
  // limit of 1.9 s.
  assertEquals((await daemon.stop()).code, 0, daemon.logText);
});

Deno.test("perception in the daemon: producers come, break their session, stand still, die and come back, the guest is reset and boots anew, and the daemon ends", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer"] });
  await using daemon = await DaemonProcess.start({ config: configOf(vm) });
  await using client = await daemon.connect("watcher");
  await using status = client.events({ kinds: ["VGPU_STATUS"] });
  await using all = client.events({ kinds: ["FRAME_INFO", "CURSOR_STATE", "FRAME_RING"] });

  let producer = await startProducer(vm, 3, "fps=25");
  using alive = await firstOf(status, "life", (event) => event.as("VGPU_STATUS")?.state === ALIVE);
  const told = alive.as("VGPU_STATUS")!;
  assertEquals([told.producerPid, told.runEpoch, told.status, told.backend], [producer.pid, 3, 2, 1]);
  {
    using first = await seen(all);
    // A viewer that comes late gets the ring that is retained; both look at once, while frames go on.
    using late = await lateViewer(daemon);
    assertEquals([first.runEpoch, late.runEpoch], [3, 3]);
    await Promise.all([first.view(20), late.view(20)]);
  }
  await hearLatePerception(daemon, all);

  await producer.write("epoch\n");
  await state(status, ALIVE, 4);
  using _anew = await firstOf(
    all,
    "a frame of the new run",
    (event) => event.as("FRAME_INFO")?.runEpoch === 4,
  );

  await stopProcess(vm.pid);
  await state(status, LOST);
  vm.kill("SIGCONT");
  await state(status, ALIVE, 4);

  await producer.kill(9);
  await producer.wait();
  await state(status, LOST);
  producer = await startProducer(vm, 9, "fps=25");
  await state(status, ALIVE, 9);
  {
    using late = await lateViewer(daemon);
    assertEquals(late.runEpoch, 9, "the retained ring is of the new run");
    await late.view(5);
  }

  await bootAnew(vm, 2, client, status, async () => {
    await using _power = await client.acquire("vm", "power");
    await client.vm("vm", "reset");
  });
  await startProducer(vm, 11, "fps=25");
  await state(status, ALIVE, 11);
  await bootAnew(vm, 3, client, status, () => vm.agent.power("reboot"));
  await startProducer(vm, 12, "fps=25");
  await state(status, ALIVE, 12);
  using viewer = await lateViewer(daemon);
  await viewer.view(5);

  const { code } = await daemon.stop();
  assertEquals(code, 0, daemon.logText);
  const left = [...Deno.readDirSync(daemon.folder)].map(({ name }) => name).sort();
  assertEquals(left, ["endpoints.d", "vmsigd.toml"]);
  assertThrows(() => Deno.statSync(`/proc/${daemon.pid}`), Deno.errors.NotFound);
  const last = viewer.state().heartbeat;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(
    viewer.state().heartbeat,
    last,
    "what a consumer has mapped stays, and is seen to stand still",
  );
  assertEquals(/panic|failed/.exec(daemon.logText), null, daemon.logText);
});

Deno.test("perception in the daemon: a config that takes its right to tell is said once, not with each frame", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer"], ramMiB: 256 });
  await startProducer(vm, 1, "fps=50");
  const rule = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["MEMCTX", "ROSTER"]\n`;
  await using daemon = await DaemonProcess.start({ config: rule + configOf(vm) });
  await daemon.says(/audit: FRAME_INFO verdict=no-capability/);
  await daemon.says(/warn +perception: .*\[\[admission\]\].* lacks=PUBLISH$/m);
  const refused = () => daemon.metric("vmsig_audit_entries_total");
  const before = await refused();
  await until("25 frames more are refused", async () => await refused() >= before + 25);
  assertEquals(daemon.logText.match(/warn +perception: .*/g)?.length, 1, daemon.logText);
  assertEquals((await daemon.stop()).code, 0);
});

/** A cursor, the ring and a frame have been told, as the producer has them; a viewer of that ring. */
async function seen(all: EventStream): Promise<Viewer> {
  using cursor = await firstOf(all, "a cursor", (event) => event.kindName === "CURSOR_STATE");
  assertEquals(cursor.as("CURSOR_STATE")!.visible, 1);
  using ring = await firstOf(all, "the ring", (event) => event.kindName === "FRAME_RING");
  assertEquals(ring.fdCount, 1);
  using frame = await firstOf(all, "a frame", (event) => event.kindName === "FRAME_INFO");
  const { width, height, stride, format, source, runEpoch } = frame.as("FRAME_INFO")!;
  assertEquals([width, height, stride, format, source, runEpoch], [WIDTH, HEIGHT, WIDTH * 4, 1, 1, 3]);
  return new Viewer(ring);
}

/**
 * A perception control that joins now is given the context that is retained, finds the producer, and tells of
 * a ring of its own.
 */
async function hearLatePerception(daemon: DaemonProcess, all: EventStream): Promise<void> {
  await using _late = new LatePerception(daemon.socket);
  using event = await firstOf(all, "another ring", (event) => event.kindName === "FRAME_RING");
  using viewer = new Viewer(event);
  assertEquals(viewer.runEpoch, 3);
  await viewer.view(5);
}

/** The guest boots for the n-th time; the control hears of the lost producer and of a new epoch. */
async function bootAnew(
  vm: Qemu,
  boots: number,
  client: Client,
  status: EventStream,
  boot: () => Promise<void>,
): Promise<void> {
  await using contexts = client.events({ kinds: ["MEMCTX"] });
  const booted = vm.agent.ready(boots);
  await boot();
  await state(status, LOST);
  await booted;
  using _context = await firstOf(
    contexts,
    `epoch ${boots}`,
    (event) => (event.as("MEMCTX")?.epoch ?? 0) >= boots,
  );
}

Deno.test("perception in the daemon: as commands, and frames folded into one by policy", async () => {
  await using vm = await startSavedGuest({ programs: ["vgpu_producer"] });
  const producer = await startProducer(vm, 5, "fps=40", "cursor=off");
  await producer.write("geometry 1280 800 110 75000\n");
  await producer.lineMatching(/^geometry/);
  await producer.write("cursor 17 23 1 5\n");
  await producer.lineMatching(/^cursor/);
  const policy = '[[policy]]\nsource = "FRAME"\ndir = "up"\ncoalesce_ns = 200_000_000\n';
  await using daemon = await DaemonProcess.start({ config: configOf(vm, policy) });
  {
    await using client = await daemon.connect("watcher");
    await using frames = client.events({ kinds: ["FRAME_INFO"] });
    const ids: number[] = [];
    const steps = () => ids.slice(1).map((id, i) => id - ids[i]!);
    // A guest that is slow just now makes one in the time in which several would be folded.
    while (ids.length < 6 || (Math.max(...steps()) === 1 && ids.length < 600)) {
      using event = await firstOf(frames, "a frame", () => true);
      ids.push(event.as("FRAME_INFO")!.frameId);
    }
    assert(steps().every((step) => step > 0) && Math.max(...steps()) > 1, `frames ${ids} are folded`);
    assertGreater(await daemon.metric('vmsig_context_total{what="coalesced"}'), 0);
  }
  const run = async (...args: string[]) => {
    const { code, text, errors } = await vmsig([...args, "--socket", daemon.socket]);
    assertEquals([code, errors], [0, ""], args.join(" "));
    return text;
  };
  const json = async (...args: string[]) => JSON.parse(await run("vgpu", "vm", ...args, "--json"));
  const told = await json("status");
  assertEquals([told.producerPid, told.runEpoch, told.statusName], [producer.pid, 5, "running"]);
  assertMatch(
    await run("vgpu", "vm", "status"),
    /^running, synthetic, 40 frames\/s, epoch 5, error 0\nprocess /,
  );
  assertMatch(await run("vgpu", "vm", "cursor"), /^shown at 17,23, hand, /);
  const { virtW, virtH, dpi, refreshMhz } = await json("geometry");
  assertEquals([virtW, virtH, dpi, refreshMhz], [2560, 800, 110, 75000]);
  await using client = await daemon.connect("watcher");
  await using status = client.events({ kinds: ["VGPU_STATUS"] });
  const set = await json("set", "--state", "pause", "--fps", "7", "--full-frame");
  assertEquals([set.ok, set.status, set.appliedFps, set.fullFrameAck], [true, 3, 7, 1]);
  using paused = await firstOf(status, "the pause", (event) => event.as("VGPU_STATUS")?.status === 3);
  assertEquals(paused.as("VGPU_STATUS")!.appliedFps, 7);
  const path = `${daemon.folder}/shot.png`;
  assertMatch(
    await run("screen", "vm", "-o", path),
    new RegExp(`shot\\.png: ${WIDTH}x${HEIGHT}, by vgpu\n$`),
  );
  const png = new DataView((await Deno.readFile(path)).buffer);
  assertEquals([png.getUint32(0), png.getUint32(16), png.getUint32(20)], [0x89504e47, WIDTH, HEIGHT]);
  await Deno.remove(path);

  await producer.kill(9);
  await producer.wait();
  const none = await vmsig(["vgpu", "vm", "status", "--socket", daemon.socket]);
  assertEquals([none.code, none.text], [1, ""], none.errors);
  assertMatch(none.errors, /^vmsig: no-endpoint: Cannot find a vgpu producer in vm: /);
});
