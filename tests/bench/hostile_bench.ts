/**
 * The bus while somebody who is not let in floods its door: an admitted control's ping-pong (that of
 * bus.pingpong, on one connection), quiet and under the flood in turn. As root: the flooder is another user.
 *
 *   hostile.pingpong.*         under a flood of HELLOs in order: connect, HELLO, read the REFUSED, close,
 *                              by four processes as fast as they can. Peer: quiet. The must: p99 <= 2 x
 *   hostile.contention.*       while the same flooder floods a C listener that only accepts and closes:
 *                              what the competition for processors costs by itself. Peer: quiet
 *   hostile.first.*            as hostile.pingpong, but the ping-pong's control runs before all ordinary
 *                              processes (SCHED_RR, as on a host that keeps a core for it). Peer: the
 *                              same, quiet
 *   hostile.firstContention.*  as hostile.contention with that control
 *   hostile.silent.p99         under connects that say nothing, a thousand of them kept open
 *   hostile.garbage.p99        under packets of random bytes
 *   hostile.giant.p99          under HELLOs in order with a name of 60 KB
 *
 * How to read it: pinger, flooder and daemon share the machine's cores, here two. With four flooders on two
 * cores an ordinary process waits for its turn like any other, whatever the daemon does: that is in
 * hostile.contention. The daemon's own share is what hostile.pingpong has above it; hostile.first has it
 * alone, without the scheduler's part. The peer's words say how many connects a second were turned away: a
 * daemon that takes fewer of them leaves more to its controls.
 * @module
 */
import { configText } from "../fixtures/daemon_process.ts";
import { attack, placeAttacker } from "../hostile/attacker.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor } from "./c_floor.ts";
import { Pinger, type Pings } from "./hostile_pinger.ts";
import { type Served, serveDoor, serveStubs } from "./served.ts";

/** Who is not let in; any numbers that are not ours. */
const STRANGER = 4242;
/** Somebody is, so that the socket is open to others. */
const SOMEBODY = 4243;
const ROUNDS = 5;
const PINGS = 20_000;
/** A round under a flood may not come to its end. */
const ROUND_SECONDS = 4;
/** The daemon's loop judges its load by the second: before a round, quiet or not, it has had one to do so. */
const SETTLE_MS = 1500;
const FLOODERS = Number(Deno.env.get("VMSIG_BENCH_FLOODERS") ?? 4);
/** A flood that nobody stops ends by itself. */
const FLOOD_SECONDS = 60;

interface Scene {
  readonly daemon: Served;
  readonly door: Served;
  /** Floods a socket while something is done; with how many attacks a second that was. */
  under<T>(mode: string, socket: string, run: () => Promise<T>): Promise<[T, number]>;
}

async function inScene<T>(run: (scene: Scene) => Promise<T>): Promise<T> {
  if (Deno.uid() !== 0) throw new Error("the flooder is another user: run it as root");
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-bench-hostile-" });
  try {
    Deno.chmodSync(folder, 0o755);
    const config = `${folder}/vmsigd.toml`;
    const rule = (uid: number): string => `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\n`;
    Deno.writeTextFileSync(config, configText(`${rule(0)}${rule(SOMEBODY)}`));
    const program = await placeAttacker("hello_flood", folder);
    await using daemon = await serveStubs(1, ["--config", config]);
    await using door = await serveDoor(cFloor("bus_floor"));
    for (const { socket } of [daemon, door]) Deno.chmodSync(folderOf(socket), 0o755);
    const under: Scene["under"] = async (mode, socket, what) => {
      const args = [socket, mode, `${FLOODERS}`, "0", `${FLOOD_SECONDS}`, "1"];
      await using flood = await attack(program, args, STRANGER);
      await pause(SETTLE_MS);
      const result = await what();
      const { sent, seconds } = await flood.stop();
      return [result, sent / seconds];
    };
    return await run({ daemon, door, under });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** The same rounds quiet and under each flood, in turn. */
interface Weather {
  readonly quiet: Pings[];
  readonly flood: Pings[];
  readonly bare: Pings[];
}

const weather = (): Weather => ({ quiet: [], flood: [], bare: [] });

function hello(): Promise<BenchResult[]> {
  return inScene(async ({ daemon, door, under }) => {
    const floor = cFloor("bus_floor");
    await using ordinary = await Pinger.join(floor, daemon.socket, ROUND_SECONDS, false);
    await using first = await Pinger.join(floor, daemon.socket, ROUND_SECONDS, true);
    const [plain, ahead] = [weather(), weather()];
    const [rates, bareRates]: [number[], number[]] = [[], []];
    const both = async (kind: keyof Weather): Promise<void> => {
      plain[kind].push(await ordinary.round(PINGS));
      ahead[kind].push(await first.round(PINGS));
    };
    // Once for warmth.
    await ordinary.round(PINGS);
    for (let round = 0; round < ROUNDS; round++) {
      await pause(SETTLE_MS);
      await both("quiet");
      rates.push((await under("hello", daemon.socket, () => both("flood")))[1]);
      await pause(SETTLE_MS);
      bareRates.push((await under("hello", door.socket, () => both("bare")))[1]);
    }
    const words = `quiet; ${rate(rates)} HELLOs/s from ${FLOODERS} processes`;
    const bareWords = `quiet; ${rate(bareRates)} connects/s at a bare C listener`;
    return [
      ...results("hostile.pingpong", plain.flood, plain.quiet, words),
      ...results("hostile.contention", plain.bare, plain.quiet, bareWords),
      ...results("hostile.first", ahead.flood, ahead.quiet, `${words}; pinger SCHED_RR`),
      ...results("hostile.firstContention", ahead.bare, ahead.quiet, `${bareWords}; pinger SCHED_RR`),
    ];
  });
}

function variant(mode: string): Promise<BenchResult[]> {
  return inScene(async ({ daemon, under }) => {
    await using pinger = await Pinger.join(cFloor("bus_floor"), daemon.socket, ROUND_SECONDS, false);
    const { quiet, flood } = weather();
    const rates: number[] = [];
    await pinger.round(PINGS);
    for (let round = 0; round < ROUNDS; round++) {
      await pause(SETTLE_MS);
      quiet.push(await pinger.round(PINGS));
      const [pings, each] = await under(mode, daemon.socket, () => pinger.round(PINGS));
      flood.push(pings);
      rates.push(each);
    }
    return results(`hostile.${mode}`, flood, quiet, `quiet; ${rate(rates)} connects/s`);
  });
}

function results(name: string, ours: readonly Pings[], peer: readonly Pings[], words: string): BenchResult[] {
  return (["p50", "p99"] as const).map((which) => {
    const [mine, theirs] = [ours, peer].map((rounds) => rounds.map((pings) => pings[which]));
    return resultOf(`${name}.${which}`, "us", "lower", mine as number[], theirs as number[], words);
  });
}

function rate(rates: readonly number[]): string {
  return Math.round(rates.reduce((sum, each) => sum + each, 0) / rates.length).toLocaleString("en");
}

function folderOf(socket: string): string {
  return socket.slice(0, socket.lastIndexOf("/"));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const both = (name: string): string[] => [`${name}.p50`, `${name}.p99`];

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  {
    name: "hostile.pingpong.p50",
    names: ["hostile.pingpong", "hostile.contention", "hostile.first", "hostile.firstContention"].flatMap(
      both,
    ),
    run: hello,
  },
  ...["silent", "garbage", "giant"].map((mode): Bench => ({
    name: `hostile.${mode}.p50`,
    names: both(`hostile.${mode}`),
    run: () => variant(mode),
  })),
];
