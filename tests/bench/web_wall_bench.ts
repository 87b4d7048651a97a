/**
 * A wall of VMs: processor time of `vmsig web` and of the daemon for a page that has 64 VMs in view, each
 * with 1280x800 of grey and black pixels that change once a second: as many of them as a line of text has, or
 * all, scrolled by a line. The VMs are real QEMUs whose guests wait in between. The peer is a C program that
 * reads and compares one row in four of the same pictures once a second, and makes no picture of them.
 * @module
 */
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { WebCommand } from "../fixtures/web_command.ts";
import { VgaGuest } from "../guest/vga_guest.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";

const VMS = Number(Deno.env.get("VMSIG_BENCH_VMS") ?? 64);
const [WIDTH, HEIGHT] = [1280, 800];
/** Banks of 64 KiB that the picture takes, and a stripe of 13 rows, which is about a line of text. */
const [PICTURE_BANKS, LINE_BANKS] = [Math.ceil(4 * WIDTH * (HEIGHT + 16) / 65_536), 1];
const Y_OFFSET = 9;
const ROUNDS = 3;
const SECONDS = 8;

/** Changes a VM's picture. @param turn how often it was before */
type Change = (guest: VgaGuest, turn: number) => Promise<void>;

const CHANGES: Readonly<Record<"line" | "scroll", Change>> = {
  line: (guest, turn) => guest.speckle(turn + 1, LINE_BANKS),
  scroll: (guest, turn) => guest.register(Y_OFFSET, turn % 2 * 16),
};

/** Processor time of each thread of a process so far, ms. */
function cpuOf(pid: number): Map<string, number> {
  const all = new Map<string, number>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    try {
      const [ns] = Deno.readTextFileSync(`/proc/${pid}/task/${name}/schedstat`).split(" ");
      all.set(name, Number(ns) / 1e6);
    } catch (error) {
      // A thread that has ended meanwhile.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return all;
}

/** Processor time that each process takes in a second while something goes on for some seconds, ms. */
async function spentIn(
  pids: readonly number[],
  seconds: number,
  work: () => Promise<void>,
): Promise<number[]> {
  const before = pids.map(cpuOf);
  await work();
  return pids.map((pid, i) => {
    let ms = 0;
    for (const [thread, sofar] of cpuOf(pid)) ms += sofar - (before[i]?.get(thread) ?? 0);
    return ms / seconds;
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A page without a browser: it has VMs in view, and takes the pictures that it gets. */
class Page implements Disposable {
  readonly seen = new Set<string>();
  readonly #socket: WebSocket;
  readonly #open: Promise<void>;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#open = promise;
    socket.onerror = () => reject(new Error("the page's socket failed"));
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return resolve();
      this.seen.add(new TextDecoder().decode(new Uint8Array(data, 2, new DataView(data).getUint16(0))));
    };
  }

  static async enter(link: string): Promise<Page> {
    const { origin, hash, host } = new URL(link);
    const entered = await fetch(`${origin}/enter`, {
      method: "POST",
      headers: { origin },
      body: hash.slice("#enter=".length),
    });
    const cookie = entered.headers.get("set-cookie")?.split(";")[0];
    if (cookie === undefined) throw new Error(`vmsig web let nobody in: ${await entered.text()}`);
    const page = new Page(new WebSocket(`ws://${host}/ws`, { headers: { origin, cookie } }));
    await page.#open;
    return page;
  }

  see(vms: readonly string[]): void {
    this.#socket.send(JSON.stringify({ op: "see", id: 0, vms }));
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

async function wall(): Promise<BenchResult[]> {
  await using owned = new AsyncDisposableStack();
  const guests: VgaGuest[] = [];
  let next = 0;
  const start = async () => {
    while (next < VMS) {
      next++;
      const guest = owned.use(await VgaGuest.start({ ramMiB: 16, qmpSockets: 2, memory: "none" }));
      await guest.setMode({ width: WIDTH, height: HEIGHT, bits: 32 });
      await guest.speckle(guests.length + 1, PICTURE_BANKS);
      guests.push(guest);
    }
  };
  await Promise.all([start(), start()]);
  const names = guests.map((_, i) => `vm${i}`);
  const places = await Promise.all(guests.map(async (guest) => {
    const [card] = await guest.cards();
    if (card === undefined) throw new Error("a guest has no card");
    const { pid, address } = await guest.place(card);
    return `${pid}:${address}`;
  }));
  const config = guests.map(({ vm }, i) =>
    `[[endpoint]]\nname = "${names[i]}"\nqmp = "${vm.qmpPaths[0]}"\nmemory = "none"\ndisplay = "vram"\n`
  ).join("");
  const daemon = owned.use(await DaemonProcess.start({ config }));
  const client = owned.use(await daemon.connect("bench"));
  await until(
    "all VMs are up",
    () => client.roster.list().filter(({ state }) => state === "up").length === VMS,
  );
  const command = owned.use(new WebCommand(daemon));
  using page = await Page.enter(await command.link());
  /** Each VM changes once a second, one after the other. */
  const change = async (seconds: number, how: Change) => {
    const began = performance.now();
    const all: Promise<void>[] = [];
    for (let i = 0; i < seconds * VMS; i++) {
      const wait = began + i * 1000 / VMS - performance.now();
      if (wait > 0) await pause(wait);
      all.push(how(guests[i % VMS] as VgaGuest, Math.floor(i / VMS)));
    }
    await Promise.all(all);
  };
  const floor = cFloor("wall_floor");
  const results: BenchResult[] = [];
  for (const [kind, how] of Object.entries(CHANGES)) {
    const figures = {
      web: [] as number[],
      daemon: [] as number[],
      all: [] as number[],
      floor: [] as number[],
    };
    // The first round is not counted: code is compiled in it, and memory touched for the first time.
    for (let round = 0; round <= ROUNDS; round++) {
      const idleMs = await spentIn([daemon.pid, command.pid], 3, () => change(3, how));
      page.seen.clear();
      page.see(names);
      const shown = change(2, how);
      await until("all pictures are there", () => page.seen.size === VMS);
      await shown;
      const atWorkMs = await spentIn([daemon.pid, command.pid], SECONDS, () => change(SECONDS, how));
      page.see([]);
      const [daemonMs = 0, webMs = 0] = atWorkMs.map((ms, i) => ms - (idleMs[i] as number));
      const args = ["4", "4", `${WIDTH}`, `${HEIGHT}`, ...places];
      const [[floorMs = 0]] = await Promise.all([numbersOf(floor, args), change(4, how)]);
      if (round === 0) continue;
      figures.daemon.push(daemonMs / 10);
      figures.web.push(webMs / 10);
      figures.all.push((daemonMs + webMs) / 10);
      figures.floor.push(floorMs / 10);
    }
    const unit = `% of a core, ${VMS} VMs`;
    const peer = "C, reads one row in four";
    results.push(
      resultOf(`web.wall.${kind}`, unit, "lower", figures.all, figures.floor, peer),
      resultOf(`web.wall.${kind}.daemon`, unit, "lower", figures.daemon, figures.floor, peer),
      resultOf(`web.wall.${kind}.web`, unit, "lower", figures.web, null, null),
    );
  }
  return results;
}

/** The wall. */
export const benches: readonly Bench[] = [
  {
    name: "web.wall.line",
    names: ["line", "scroll"].flatMap((kind) => ["", ".daemon", ".web"].map((of) => `web.wall.${kind}${of}`)),
    run: wall,
  },
];
