/**
 * A VM's console through the daemon beside socat on the same console of the same guest: bytes per second of a
 * flood, none lost, and how long an echo of one key takes. The guest writes 16 bytes at a time (hvc), so the
 * flood is as fast as a guest under TCG can be, not as a socket can: VMSIG_BENCH_CONSOLE_MB=50 takes minutes.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import type { ConsoleControl } from "../../src/client/console_control.ts";
import { listConsoles } from "../../src/client/console_control.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, median, resultOf } from "./bench.ts";
import { Socat } from "./socat_peer.ts";

const LINE_BYTES = 64;
const FLOOD_BYTES = Number(Deno.env.get("VMSIG_BENCH_CONSOLE_MB") ?? 5) * 1e6;
const KEYS = 400;
/** After so long without a byte a flood is over. */
const SILENCE_MS = 10_000;

async function run(): Promise<BenchResult[]> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  try {
    const paths = ["flood", "ours", "theirs"].map((name) => `${folder}/${name}.sock`);
    const [flood = "", , echo = ""] = paths;
    await using vm = await startGuest({
      programs: ["talker"],
      modules: ["virtio_pci", "virtio_console"],
      extraArgs: [
        "-device",
        "virtio-serial-pci",
        ...paths.flatMap((path, i) => [
          "-chardev",
          `socket,id=c${i},path=${path},server=on,wait=off`,
          "-device",
          `virtconsole,chardev=c${i}`,
        ]),
      ],
    });
    const config =
      `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\nmemory = "none"\ndisplay = "none"\n`;
    await using daemon = await DaemonProcess.start({ config });
    await using client = await daemon.connect("bench");
    await until("the console is up", async () => {
      return (await client.completeRoster())[0]?.seams.includes("console") === true;
    }, 60_000);
    const ports = await listConsoles(client, "vm");
    const port = (label: string) => ports.find((one) => one.label === label)?.number ?? -1;
    const lines = Math.ceil(FLOOD_BYTES / LINE_BYTES);
    const write = async (reading: Promise<number>) => {
      // What the guest says before QEMU has taken its client is dropped.
      await new Promise((resolve) => setTimeout(resolve, 500));
      const talker = await vm.agent.start("talker", "/dev/hvc0", "flood", `${lines}`);
      await talker.lineMatching(/^ready/);
      const ms = await reading;
      await talker.kill();
      return lines * LINE_BYTES / 1e6 / (ms / 1000);
    };
    const ours = await (async () => {
      await using console = await client.console("vm", { port: port("c0"), lossless: true });
      return await write(readAll(console, lines * LINE_BYTES));
    })();
    // QEMU serves one client: the daemon leaves it 5 s after the last reader.
    const isFree = async (label: string) => {
      await until("the console is free", async () => {
        return (await listConsoles(client, "vm")).every((one) => one.label !== label || !one.open);
      }, 60_000);
    };
    await isFree("c0");
    const theirs = await write(socatReads(flood, lines * LINE_BYTES));
    for (const hvc of ["/dev/hvc1", "/dev/hvc2"]) {
      const talker = await vm.agent.start("talker", hvc, "login");
      await talker.lineMatching(/^ready/);
    }
    const [ourEchoes, theirEchoes] = await (async () => {
      await using console = await client.console("vm", { port: port("c1") });
      await using socat = new Socat([`UNIX-CONNECT:${echo},retry=100,interval=0.1`, "STDIO"]);
      const decoder = new TextDecoder();
      return await echoes(async (key) => {
        await console.send(key);
        await console.expect(key);
      }, async (key) => {
        await socat.write(key);
        for (let text = ""; !text.includes(key);) text += decoder.decode(await socat.read());
      });
    })();
    return [
      resultOf("console.flood", "MB/s", "higher", [ours], [theirs], "socat on the same console"),
      {
        ...resultOf(
          "console.echo.p50",
          "ms",
          "lower",
          [median(ourEchoes ?? [])],
          [median(theirEchoes ?? [])],
          "socat",
        ),
        n: KEYS,
      },
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** How long it takes until so many bytes have come, from the first on, ms. */
async function readAll(console: ConsoleControl, bytes: number): Promise<number> {
  let startMs = 0;
  for (let got = 0; got < bytes;) {
    got += (await console.read()).length;
    if (startMs === 0) startMs = performance.now();
    if (console.lostBytes > 0) throw new Fault("refused", `${console.lostBytes} bytes were lost`);
  }
  return performance.now() - startMs;
}

/**
 * The same by socat. It may lose some (what the guest says while QEMU's side changes hands is dropped), and
 * then waits for ever: its rate is that of what came.
 */
async function socatReads(path: string, bytes: number): Promise<number> {
  await using socat = new Socat(["-u", `UNIX-CONNECT:${path},retry=100,interval=0.1`, "STDOUT"]);
  let startMs = 0;
  let lastMs = 0;
  let got = 0;
  while (got < bytes) {
    const silence = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => silence.resolve(undefined), SILENCE_MS);
    const piece = await Promise.race([socat.read(), silence.promise]);
    clearTimeout(timer);
    if (piece === undefined) break;
    got += piece.length;
    lastMs = performance.now();
    if (startMs === 0) startMs = lastMs;
  }
  if (got === 0) throw new Fault("refused", "socat was given nothing");
  return (lastMs - startMs) * bytes / got;
}

/** One key after another of each in turn, each awaited; the first ones do not count. */
async function echoes(
  ...presses: readonly ((key: string) => Promise<void>)[]
): Promise<number[][]> {
  const took: number[][] = presses.map(() => []);
  for (let i = 0; i < KEYS + 20; i++) {
    for (const [who, press] of presses.entries()) {
      if (i % 200 === 199) await press("\r");
      const startMs = performance.now();
      await press("abcdefgijkmpqrstuvwxyz"[i % 22] as string);
      if (i >= 20) took[who]?.push(performance.now() - startMs);
      // A person's pace, nearly: all are asleep in between.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  return took;
}

/** The benchmarks. */
export const benches: readonly Bench[] = [
  { name: "console.flood", names: ["console.flood", "console.echo.p50"], run },
];
