/**
 * The full house with real VMs: as many small Linux guests as memory allows, at most 64, stub endpoints for
 * the rest, and one daemon that has them all. Each guest has shared RAM and virtio input, so that all three
 * seams come up. Whatever happens, everything ends with the scene.
 * @module
 */
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { buildGuest, INPUT_MODULES } from "../guest/build.ts";
import { type Qemu, startGuest } from "../guest/qemu.ts";
import { cFloor } from "./c_floor.ts";
import { GuestCopies } from "./guest_copies.ts";

/** Endpoints of the full house. */
export const ENDPOINTS = 64;
/** Whom the owner that gives way runs as; any number that is not ours. */
export const OTHER_UID = 65_534;

/** Fewer real VMs than memory allows: `VMSIG_BENCH_VMS=8 deno task bench scale.real`. */
const MAX_REAL = Math.min(ENDPOINTS, Number(Deno.env.get("VMSIG_BENCH_VMS") ?? ENDPOINTS));
const RAM_MIB = 96;
/** What is left to everybody else of this machine, MiB. */
const SPARE_MIB = 3072;
/** The daemon and a thousand controls, MiB. */
const DAEMON_MIB = 512;
/** VMHOST, INPUT and MEMCTX. */
const SEAMS = 3;
const ATTACH_MS = 120_000;

const rule = (uid: number, prio: number): string =>
  `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n`;
/** Two users, so that one can pre-empt the other; `prio` is ours. */
export function configOf(prio: number): string {
  return `[daemon]\nmax_controls = 1100\n${rule(Deno.uid() ?? 0, prio)}${rule(OTHER_UID, 10)}`;
}

/** Guests and the daemon that has them. */
export class RealScene implements AsyncDisposable {
  /** The daemon of the full house. */
  readonly daemon: DaemonProcess;
  /** Its real VMs; the endpoint of the i-th is `vmI`. The rest of the 64 are stubs. */
  readonly vms: readonly Qemu[];
  readonly #owned: AsyncDisposableStack;

  private constructor(daemon: DaemonProcess, vms: readonly Qemu[], owned: AsyncDisposableStack) {
    this.daemon = daemon;
    this.vms = vms;
    this.#owned = owned;
  }

  /**
   * Boots a guest, makes its copies, two at a time, starts the daemon, and attaches them all, one after the
   * other.
   *
   * @throws {GuestError} when a guest does not come up
   */
  static async start(): Promise<RealScene> {
    await using owned = new AsyncDisposableStack();
    const vms = await makeMany(owned);
    const daemon = owned.use(await startDaemon(ENDPOINTS - vms.length));
    vms.forEach((_vm, i) => attach(daemon, `vm${i}`, vms[i] as Qemu));
    const scene = new RealScene(daemon, vms, owned);
    await scene.settled();
    return new RealScene(daemon, vms, owned.move());
  }

  /** Waits until all seams of all VMs are up. */
  async settled(): Promise<void> {
    await until("all seams are up", async () => {
      const page = await this.daemon.metrics();
      return this.vms.every((_vm, i) => seamsUp(page, `vm${i}`) === SEAMS);
    }, ATTACH_MS);
  }

  /** A sentence for a result: how many VMs were real. */
  get words(): string {
    return `${this.vms.length} of ${ENDPOINTS} endpoints real QEMUs`;
  }

  /** Puts the trigger of a VM in place. */
  attach(index: number): void {
    attach(this.daemon, `vm${index}`, this.vms[index] as Qemu);
  }

  /** Takes the trigger of a VM away. */
  detach(index: number): void {
    this.daemon.take(`vm${index}`);
  }

  /** Ends everything. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned[Symbol.asyncDispose]();
  }
}

/** A daemon with one real VM: what an event costs when nobody else is there. */
export async function serveOne(vm: Qemu): Promise<DaemonProcess> {
  await using owned = new AsyncDisposableStack();
  const daemon = owned.use(await startDaemon(0));
  attach(daemon, "vm0", vm);
  await until("all seams are up", async () => seamsUp(await daemon.metrics(), "vm0") === SEAMS);
  owned.move();
  return daemon;
}

/** One guest as the scene has them. */
export async function bootOne(name: string): Promise<Qemu> {
  const image = await buildGuest({ modules: INPUT_MODULES });
  return await startGuest({ name, image, ramMiB: RAM_MIB, devices: ["virtio-input", "no-vga"] });
}

/**
 * Controls that stand by: each wants all of one endpoint, and reads what it gets. They leave with their
 * scope.
 */
export async function hold(socket: string, count: number): Promise<AsyncDisposable> {
  const child = new Deno.Command(cFloor("bus_floor"), {
    args: ["hold", socket, `${count}`, `${ENDPOINTS}`, "hello"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  await reader.cancel();
  const leave = async (): Promise<void> => {
    await child.stdin.close();
    const { code } = await child.status;
    if (code !== 0) throw new Error("a control that stood by was sent away");
  };
  if (done) {
    await leave();
    throw new Error("the controls that stand by could not join");
  }
  return { [Symbol.asyncDispose]: leave };
}

async function startDaemon(stubs: number): Promise<DaemonProcess> {
  await using owned = new AsyncDisposableStack();
  const daemon = owned.use(await DaemonProcess.start({ stubs, config: configOf(20) }));
  // The other user has to get to the socket.
  await Deno.chmod(daemon.folder, 0o755);
  // It says that it is ready a moment before it serves its metrics.
  await until("its metrics are served", () => daemon.metrics().then(() => true, () => false));
  owned.move();
  return daemon;
}

function attach(daemon: DaemonProcess, name: string, vm: Qemu): void {
  daemon.drop(name, `name = "${name}"\nqmp = "${vm.qmpPath}"\n`);
}

/** How many seams of an endpoint a page of metrics has as up. */
function seamsUp(page: string, name: string): number {
  return page.match(new RegExp(`^vmsig_seam_up\\{endpoint="${name}",.* 1$`, "gm"))?.length ?? 0;
}

/**
 * Boots one, and makes copies of it until there are enough or memory is short: what one took is measured, not
 * assumed.
 */
async function makeMany(owned: AsyncDisposableStack): Promise<Qemu[]> {
  const vms: Qemu[] = [];
  const before = availableMib();
  const { first, copies } = await GuestCopies.boot("vm1", RAM_MIB);
  await using _state = copies;
  vms.push(owned.use(first));
  let starting = 0;
  const make = async (): Promise<void> => {
    while (vms.length + starting < MAX_REAL) {
      const each = Math.max(2 * RAM_MIB, (before - availableMib()) / vms.length);
      // Those that are just starting have not taken theirs yet.
      if (availableMib() < SPARE_MIB + DAEMON_MIB + 3 * each) return;
      starting++;
      try {
        const vm = await copies.start(`vm${vms.length + starting}`);
        owned.use(vm);
        vms.push(vm);
      } finally {
        starting--;
      }
    }
  };
  // Both settle before an error goes on: a guest that still starts would outlive the scene.
  const ends = await Promise.allSettled([make(), make()]);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return vms;
}

function availableMib(): number {
  return Number(/^MemAvailable:\s+(\d+) kB/m.exec(Deno.readTextFileSync("/proc/meminfo"))?.[1]) / 1024;
}

/** What the scheduler has given to each thread of a process so far, ms, by the thread's number. */
export function runMs(pid: number): ReadonlyMap<string, number> {
  const run = new Map<string, number>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      const [ns] = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ");
      run.set(name, Number(ns) / 1e6);
    } catch (error) {
      // It has ended since the folder was read.
      if (!(error instanceof Error && "code" in error) && !(error instanceof Deno.errors.NotFound)) {
        throw error;
      }
    }
  }
  return run;
}
