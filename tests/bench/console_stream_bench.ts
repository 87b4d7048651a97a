/**
 * What the daemon adds to a console: 50 MB out of it, none lost, and the echo of one key, each beside socat
 * on the same socket in the same run, in turn.
 *
 * A guest under TCG takes a millisecond for an echo and minutes for 50 MB (console_bench.ts), which hides
 * what lies between; and QEMU drops what a virtio console says faster than its client reads. So here another
 * program serves the socket that QEMU names, and waits for its reader, as a serial port does.
 * @module
 */
import { listConsoles } from "../../src/client/console_control.ts";
import { Fault } from "../../src/base/fault.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { startFirmware } from "../guest/qemu.ts";
import { type Bench, type BenchResult, median, resultOf } from "./bench.ts";
import { cFloor } from "./c_floor.ts";
import { Socat } from "./socat_peer.ts";

const BYTES = 50e6;
const ROUNDS = 5;
const KEYS = 300;
const KEYS_BEFORE = 20;
const BETWEEN_KEYS_MS = 5;
const PATTERN = Uint8Array.from({ length: 65_521 }, (_, i) => i * 167 >> 3);

/** Someone at the console. */
interface AtConsole {
  read(): Promise<Uint8Array>;
  send(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

async function run(): Promise<BenchResult[]> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  try {
    const path = `${folder}/console.sock`;
    await using vm = await startFirmware({
      extraArgs: [
        ...["-device", "virtio-serial-pci", "-chardev", `socket,id=c0,path=${path},server=on,wait=off`],
        ...["-device", "virtconsole,chardev=c0"],
      ],
    });
    await Deno.remove(path);
    await using _server = await ConsoleServer.start(path);
    const config =
      `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\nmemory = "none"\ndisplay = "none"\n`;
    await using daemon = await DaemonProcess.start({ config });
    await using client = await daemon.connect("bench");
    await until("the console is up", async () => {
      return (await client.completeRoster())[0]?.seams.includes("console") === true;
    }, 60_000);
    const port = (await listConsoles(client, "vm")).find(({ label }) => label === "c0")?.number ?? -1;
    await using console = await client.console("vm", { port, lossless: true });
    await using socat = new Socat([`UNIX-CONNECT:${path}`, "STDIO"]);
    const ours: AtConsole = {
      read: async () => {
        const bytes = await console.read();
        if (console.lostBytes > 0) throw new Fault("refused", `${console.lostBytes} bytes were lost`);
        return bytes;
      },
      send: (bytes) => console.send(bytes),
    };
    const theirs: AtConsole = { read: () => socat.read(), send: (bytes) => socat.write(bytes) };
    const took = { ours: [] as number[], theirs: [] as number[] };
    for (let i = -KEYS_BEFORE; i < KEYS; i++) {
      for (const [at, who] of [["ours", ours], ["theirs", theirs]] as const) {
        // A person's pace, nearly: all are asleep in between.
        await new Promise((resolve) => setTimeout(resolve, BETWEEN_KEYS_MS));
        const ms = await echo(who, 0x61 + (i + KEYS_BEFORE) % 26);
        if (i >= 0) took[at].push(1000 * ms);
      }
    }
    const rates = { ours: [] as number[], theirs: [] as number[] };
    for (let i = 0; i < ROUNDS; i++) {
      rates.theirs.push(await flood(theirs));
      rates.ours.push(await flood(ours));
    }
    return [
      resultOf("console.stream", "MB/s", "higher", rates.ours, rates.theirs, "socat on the same socket"),
      {
        ...resultOf(
          "console.stream.key",
          "us",
          "lower",
          [median(took.ours)],
          [median(took.theirs)],
          "socat on the same socket",
        ),
        n: KEYS,
      },
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** One key and its echo, ms. */
async function echo(at: AtConsole, key: number): Promise<number> {
  const startMs = performance.now();
  await at.send(Uint8Array.of(key));
  const bytes = await at.read();
  if (bytes.length !== 1 || bytes[0] !== key) throw new Fault("refused", "the echo is not the key");
  return performance.now() - startMs;
}

/** All bytes of a flood, looked at afterwards; MB/s from the first piece on. */
async function flood(at: AtConsole): Promise<number> {
  const command = new Uint8Array(5);
  command[0] = 1;
  new DataView(command.buffer).setUint32(1, BYTES, true);
  const all = new Uint8Array(BYTES);
  await at.send(command);
  let got = 0;
  let startMs = 0;
  while (got < BYTES) {
    const piece = await at.read();
    if (startMs === 0) startMs = performance.now();
    all.set(piece, got);
    got += piece.length;
  }
  const ms = performance.now() - startMs;
  for (let from = 0; from < BYTES; from += PATTERN.length) {
    const part = all.subarray(from, from + PATTERN.length);
    if (part.some((byte, i) => byte !== PATTERN[i])) throw new Fault("refused", "not what was sent came");
  }
  return BYTES / 1e6 / (ms / 1000);
}

/** The program at the other end. */
class ConsoleServer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  static async start(path: string): Promise<ConsoleServer> {
    const args = ["--pdeathsig", "KILL", cFloor("console_server"), path];
    const child = new Deno.Command("setpriv", { args, stdout: "piped" }).spawn();
    const reader = child.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (done) throw new Fault("refused", "the console's server has ended");
    return new ConsoleServer(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** The benchmarks. */
export const benches: readonly Bench[] = [
  { name: "console.stream", names: ["console.stream", "console.stream.key"], run },
];
