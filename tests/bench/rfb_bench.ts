/**
 * `vmsig vnc` beside QEMU's own VNC server, on the same VM with the same content: a Linux console of a frame
 * buffer whose lines scroll, seen by a real viewer (libvncclient) by Tight and ZRLE. Processor time and bytes
 * per update, and what ten viewers cost beside one.
 *
 * QEMU's processor time is that of its threads without the virtual CPU's, less what they take without a
 * viewer; ours is that of the process of `vmsig vnc`, and beside it with the daemon, which reads the
 * pictures.
 * @module
 */
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { VncViewer } from "../fixtures/vnc_viewer.ts";
import { FRAMEBUFFER_MODULES } from "../guest/build.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const LINES = 100;
const LINE_MS = 50;
const ROUNDS = 3;
const MANY = 10;
const VCPU = /^CPU \d+\//;

/** Processor time of a process's threads so far, ms. */
function cpuMs(pid: number, counts: (name: string) => boolean = () => true): number {
  let ns = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      const task = `/proc/${pid}/task/${name}`;
      if (!counts(Deno.readTextFileSync(`${task}/comm`).trim())) continue;
      ns += Number(Deno.readTextFileSync(`${task}/schedstat`).split(" ")[0]);
    } catch (error) {
      // A thread that has ended meanwhile.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return ns / 1e6;
}

/** Passes a viewer on to a server, and counts the server's bytes. */
class CountingProxy implements AsyncDisposable {
  bytes = 0;
  readonly #listener: Deno.UnixListener;
  readonly #running: Promise<void>;

  constructor(path: string, to: string) {
    this.#listener = Deno.listen({ transport: "unix", path });
    this.#running = this.#run(to);
  }

  async #run(to: string): Promise<void> {
    try {
      const viewer = await this.#listener.accept();
      const server = await Deno.connect({ transport: "unix", path: to });
      const count = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          this.bytes += chunk.length;
          controller.enqueue(chunk);
        },
      });
      await Promise.all([
        viewer.readable.pipeTo(server.writable).catch(() => {}),
        server.readable.pipeThrough(count).pipeTo(viewer.writable).catch(() => {}),
      ]);
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted)) {
        throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#running;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What a while with viewers took. */
interface Phase {
  readonly updates: number;
  readonly bytes: number;
  readonly qemuMs: number;
  readonly vncMs: number;
  readonly daemonMs: number;
}

async function viewing(encoding: "tight" | "zrle"): Promise<BenchResult[]> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  try {
    const [own, qemus, between] = [`${dir}/own`, `${dir}/qemu`, `${dir}/between`];
    await using vm = await startGuest({
      kernel: "generic",
      modules: FRAMEBUFFER_MODULES,
      programs: ["ttylines"],
      extraArgs: ["-vnc", `unix:${qemus}`],
      qmpSockets: 2,
    });
    const tty = await vm.agent.start("ttylines", "/dev/tty1");
    await tty.lineMatching(/^ready/);
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPaths[1]}"\nmemory = "none"\ndisplay = "vram"\n`,
    });
    await using client = await daemon.connect("bench");
    await until("the VM is up", () => client.roster.list()[0]?.state === "up");
    const command = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--config", `${ROOT}deno.json`, `${ROOT}main.ts`],
        ...["vnc", "vm", "--socket", daemon.socket, "--listen", `unix:${own}`],
      ],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const output = command.stdout.getReader();
    await output.read();
    try {
      let seed = 1;
      const next = () => seed = Math.imul(seed, 48_271) % 0x7fff_ffff;
      const text = () =>
        Array.from(
          { length: 20 + Math.abs(next()) % 90 },
          () => String.fromCharCode(33 + Math.abs(next()) % 94),
        ).join("");
      const phase = async (viewers: number, to: string | undefined): Promise<Phase> => {
        seed = 1;
        await using stack = new AsyncDisposableStack();
        const proxy = to === undefined ? undefined : stack.use(new CountingProxy(between, to));
        const all: VncViewer[] = [];
        for (let i = 0; i < viewers && to !== undefined; i++) {
          all.push(stack.use(await VncViewer.start(i === 0 ? between : to, `copyrect ${encoding}`)));
        }
        for (const viewer of all) await viewer.said("update");
        await pause(700);
        const seen = () => all[0]?.lines.filter((line) => line.startsWith("update")).length ?? 0;
        const [updates, bytes] = [seen(), proxy?.bytes ?? 0];
        const before = [cpuMs(vm.pid, (name) => !VCPU.test(name)), cpuMs(command.pid), cpuMs(daemon.pid)];
        for (let i = 0; i < LINES; i++) {
          await tty.write(`put ${text()}\\n\n`);
          await pause(LINE_MS);
        }
        await pause(300);
        const after = [cpuMs(vm.pid, (name) => !VCPU.test(name)), cpuMs(command.pid), cpuMs(daemon.pid)];
        const [qemuMs = 0, vncMs = 0, daemonMs = 0] = after.map((ms, i) => ms - (before[i] as number));
        return { updates: seen() - updates, bytes: (proxy?.bytes ?? 0) - bytes, qemuMs, vncMs, daemonMs };
      };
      const figures: Record<"cpu" | "all" | "bytes" | "many", [number[], number[]]> = {
        cpu: [[], []],
        all: [[], []],
        bytes: [[], []],
        many: [[], []],
      };
      for (let round = -1; round < ROUNDS; round++) {
        const none = await phase(0, undefined);
        const theirs = await phase(1, qemus);
        const ours = await phase(1, own);
        const many = await phase(MANY, own);
        if (Deno.env.get("VMSIG_BENCH_LOUD") !== undefined) console.error({ none, theirs, ours, many });
        if (round < 0) continue;
        const peer = (theirs.qemuMs - none.qemuMs) / theirs.updates;
        figures.cpu[0].push(ours.vncMs / ours.updates);
        figures.cpu[1].push(peer);
        figures.all[0].push((ours.vncMs + ours.daemonMs) / ours.updates);
        figures.all[1].push(peer);
        figures.bytes[0].push(ours.bytes / ours.updates);
        figures.bytes[1].push(theirs.bytes / theirs.updates);
        figures.many[0].push(many.vncMs / many.updates);
        figures.many[1].push(ours.vncMs / ours.updates);
      }
      const qemu = "QEMU's VNC server, same VM";
      return [
        resultOf(`rfb.${encoding}.cpu`, "ms an update", "lower", ...figures.cpu, qemu),
        resultOf(`rfb.${encoding}.cpu_with_daemon`, "ms an update", "lower", ...figures.all, qemu),
        resultOf(`rfb.${encoding}.bytes`, "bytes an update", "lower", ...figures.bytes, qemu),
        resultOf(`rfb.${encoding}.viewers10`, "ms an update", "lower", ...figures.many, "one viewer"),
      ];
    } finally {
      command.kill("SIGINT");
      await command.status;
      await output.cancel();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function names(encoding: string): string[] {
  return ["cpu", "cpu_with_daemon", "bytes", "viewers10"].map((each) => `rfb.${encoding}.${each}`);
}

/** All benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "rfb.tight.cpu", names: names("tight"), run: () => viewing("tight") },
  { name: "rfb.zrle.cpu", names: names("zrle"), run: () => viewing("zrle") },
];
