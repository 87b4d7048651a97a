/**
 * Many libvirt domains: how soon a domain that is started is on the bus, counted from libvirt's own started
 * event (as virsh tells it), and what 64 of them cost a daemon that has nothing to do, beside a daemon that
 * has the same QEMUs by sockets of their own.
 *
 * The domains' processors stand still: what a guest does is not what is measured. Needs libvirtd
 * (`scripts/setup.sh bench`) and 8 GB of memory; VMSIG_BENCH_DOMAINS says how many where 64 are too many.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import type { Client } from "../../src/client/client.ts";
import { SOURCE } from "../../src/event/source.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { LIBVIRT_QEMU_UID, Libvirtd } from "../guest/libvirtd.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const DOMAINS = Number(Deno.env.get("VMSIG_BENCH_DOMAINS") ?? 64);
const IDLE_MS = 30_000;
/** What was allocated for the start is collected, and clients' connections have ended. */
const REST_MS = 5000;
/** The kernel counts processor time in hundredths of a second. */
const MS_A_TICK = 10;

/** Notes when virsh tells that a domain has started, by its name. */
class StartedEvents implements AsyncDisposable {
  readonly at = new Map<string, number>();
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;

  constructor(uri: string) {
    const args = ["-oL", "virsh", "-c", uri, "event", "--event", "lifecycle", "--loop"];
    this.#child = new Deno.Command("stdbuf", { args, stdin: "null", stdout: "piped" }).spawn();
    this.#read = this.#readLines();
  }

  async #readLines(): Promise<void> {
    const lines = this.#child.stdout.pipeThrough(new TextDecoderStream());
    let text = "";
    for await (const piece of lines) {
      text += piece;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const name = /domain '?([^':]+)'?: Started/.exec(text.slice(0, end))?.[1];
        if (name !== undefined) this.at.set(name, performance.now());
        text = text.slice(end + 1);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#read;
    await this.#child.status;
  }
}

/** Notes when the VM's own seam comes up, by the endpoint's number. */
async function noteUps(client: Client, at: Map<number, number>): Promise<void> {
  for await (const event of client.events({ kinds: ["SEAM_UP"] })) {
    if (event.source === SOURCE.VMHOST && !at.has(event.endpoint)) at.set(event.endpoint, performance.now());
  }
}

function ticksOf(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** What a daemon at rest takes, in percent of a processor. */
async function idlePercent({ pid }: DaemonProcess): Promise<number> {
  const before = ticksOf(pid);
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  return 100 * (ticksOf(pid) - before) * MS_A_TICK / IDLE_MS;
}

async function atRest(daemon: DaemonProcess): Promise<{ readonly percent: number; readonly mb: number }> {
  await daemon.visit();
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  return { percent: await idlePercent(daemon), mb: daemon.rssMb() };
}

async function attached(daemon: DaemonProcess, names: readonly string[]): Promise<void> {
  await using client = await daemon.connect("bench");
  for (const name of names) {
    await until(`${name} is up`, () => {
      return client.roster.list().find((each) => each.name === name)?.seams.includes("input") === true;
    });
  }
}

async function run(): Promise<BenchResult[]> {
  await using libvirt = await Libvirtd.start({ isSystem: true });
  const folder = `${libvirt.folder}/run/direct`;
  await Deno.mkdir(folder);
  await Deno.chown(folder, LIBVIRT_QEMU_UID, LIBVIRT_QEMU_UID);
  const names = Array.from({ length: DOMAINS }, (_, i) => `d${i}`);
  const more = (name: string): string =>
    `<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:/run/direct/${name},server=on,wait=off'/></qemu:commandline>`;
  const delays: number[] = [];
  const ours = await (async () => {
    await using daemon = await DaemonProcess.start({ config: libvirt.config });
    {
      await using client = await daemon.connect("bench");
      await using started = new StartedEvents(`qemu:///system?socket=${libvirt.socket}`);
      const ups = new Map<number, number>();
      const noting = noteUps(client, ups);
      for (const name of names) {
        await libvirt.domain(name, { isPaused: true, more: more(name) });
        await until(`${name} is up`, () => {
          const endpoint = client.roster.find(libvirt.endpoint(name));
          const upAt = endpoint === undefined ? undefined : ups.get(endpoint);
          const startedAt = started.at.get(name);
          if (startedAt === undefined || upAt === undefined) return false;
          delays.push(upAt - startedAt);
          return true;
        });
      }
      await client[Symbol.asyncDispose]();
      await noting;
    }
    await attached(daemon, names.map((name) => libvirt.endpoint(name)));
    return await atRest(daemon);
  })();
  const theirs = await (async () => {
    const config = names.map((name) => `[[endpoint]]\nname = "${name}"\nqmp = "${folder}/${name}"\n`).join(
      "",
    );
    await using daemon = await DaemonProcess.start({ config });
    await attached(daemon, names);
    return await atRest(daemon);
  })();
  const peer = "the same QEMUs by sockets of their own";
  return [
    resultOf("libvirt.start.p50", "ms", "lower", delays, null, null),
    resultOf("libvirt.start.max", "ms", "lower", [Math.max(...delays)], null, null),
    resultOf("libvirt.idle.cpu", "%", "lower", [ours.percent], [theirs.percent], peer),
    resultOf("libvirt.idle.rss", "MB", "lower", [ours.mb], [theirs.mb], peer),
  ];
}

/** The benchmarks. */
export const benches: readonly Bench[] = [{
  name: "libvirt.start.p50",
  names: ["libvirt.start.p50", "libvirt.start.max", "libvirt.idle.cpu", "libvirt.idle.rss"],
  run,
}];
