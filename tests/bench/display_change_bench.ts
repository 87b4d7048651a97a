/**
 * How long from a change in a guest to FRAME_INFO at a control, over VNC and over D-Bus, beside a bare client
 * of the same protocol on a second VM of the same kind: in C for VNC, in Python for D-Bus (whose second
 * client would end the first one on the same VM).
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { MODE, ModeMachine } from "../guest/mode_disk.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor } from "./c_floor.ts";

const CHANGES = 200;
const WARM = 10;
const MS = 1e6;
/**
 * QEMU looks for changes every 30 ms: most of what is measured is the time until it does. So changes are made
 * at times that are spread evenly between two looks (by the golden ratio), on either VM by its own looks:
 * chance is not what the ratio tells.
 */
const LOOK_MS = 30;
const REST_MS = 45;
const FLOOR = new URL("./python/dbus_floor.py", import.meta.url).pathname;

/** Changes on both VMs in turns. */
async function changes(display: "vnc" | "dbus"): Promise<BenchResult> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  const machine = (name: string) =>
    ModeMachine.start({
      qmpSockets: 2,
      extraArgs: display === "vnc" ? ["-vnc", `unix:${dir}/${name}`] : ["-display", "dbus,p2p=on"],
    });
  try {
    await using ours = await machine("ours");
    await using theirs = await machine("theirs");
    for (const each of [ours, theirs]) await each.set(MODE["1280x1024x32"]);
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "vm"\nqmp = "${ours.vm.qmpPaths[1]}"\nmemory = "none"\ninput = "none"\n` +
        `display = "${display}"\n`,
    });
    await using client = await daemon.connect("bench");
    await using floor = display === "vnc"
      ? new Floor(cFloor("vnc_floor"), ["times", `${dir}/theirs`, "1000000"])
      : new Floor("python3", [FLOOR, theirs.vm.qmpPaths[1] ?? ""]);
    await until("its screen", () => client.frame("vm").then(() => true, () => false));
    const watched = client.frames("vm", { perSecond: 240 });
    await watched.next();
    await using infos = client.events({ kinds: ["FRAME_INFO"] });
    const [our, their]: [number[], number[]] = [[], []];
    let [ourLookNs, theirLookNs] = [0, 0];
    for (let i = -WARM; i < CHANGES; i++) {
      await pauseFrom(ourLookNs, i);
      for (; infos.buffered > 0;) await infos.next();
      const startNs = monotonicClock.nowNs();
      const told = infos.next().then(() => monotonicClock.nowNs());
      await ours.set(MODE.REPAINT);
      ourLookNs = await told;
      const our1 = (ourLookNs - startNs) / MS;
      await pauseFrom(theirLookNs, i);
      const otherNs = monotonicClock.nowNs();
      await theirs.set(MODE.REPAINT);
      theirLookNs = await floor.after(otherNs);
      const their1 = (theirLookNs - otherNs) / MS;
      if (i < 0) continue;
      our.push(our1);
      their.push(their1);
    }
    const peer = `a bare ${display === "vnc" ? "C" : "Python"} client on another VM`;
    await watched.return(undefined);
    return resultOf(`display.change.${display}`, "ms", "lower", our, their, peer);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Rests, and until the i-th place between two looks of a QEMU that has looked at this time. */
async function pauseFrom(lookNs: number, i: number): Promise<void> {
  const wantedMs = (i + WARM) * (Math.sqrt(5) - 1) / 2 % 1 * LOOK_MS;
  const phaseMs = ((monotonicClock.nowNs() - lookNs) / MS + REST_MS) % LOOK_MS;
  const ms = REST_MS + (wantedMs - phaseMs + LOOK_MS) % LOOK_MS;
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** A bare client that prints when a picture has come, CLOCK_MONOTONIC in ns. */
class Floor implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #times: number[] = [];
  #wake: () => void = () => {};

  constructor(program: string, args: readonly string[]) {
    const process = new Deno.Command(program, { args: [...args], stdout: "piped" }).spawn();
    this.#process = process;
    this.#reading = (async () => {
      let rest = "";
      for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        this.#times.push(...lines.map(Number));
        this.#wake();
      }
    })();
  }

  /** The first picture after a time. */
  async after(ns: number): Promise<number> {
    const endMs = performance.now() + 10_000;
    for (;;) {
      const time = this.#times.find((each) => each > ns);
      if (time !== undefined) return time;
      if (performance.now() > endMs) throw new Error("the bare client sees no change");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended: what it said is on standard error.
    }
    await this.#process.status;
    await this.#reading;
  }
}

/** All benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "display.change.vnc", run: () => changes("vnc") },
  { name: "display.change.dbus", run: () => changes("dbus") },
];
