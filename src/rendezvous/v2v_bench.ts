/**
 * The v2v benchmarks: one end here, the other wherever the caller starts it: in a Worker for `vmsig v2v
 * bench`, in a process for `deno task bench`. The measurement is the same; each figure is that of one round.
 * @module
 */
import type { ListenOptions } from "./process_listener.ts";
import { ProcessListener } from "./process_listener.ts";
import { consume, drainStream, pingPong } from "./bench_load.ts";
import type { Channel } from "../v2v/channel.ts";

/**
 * Starts the other end, which connects to the prefix and runs the load (bench_load.ts); resolves when it is
 * done.
 */
export type StartOther = (runtimeDir: string, prefix: string, words: readonly string[]) => Promise<void>;

/** One benchmark. */
export interface V2vMeasure {
  /** Its name, as `deno task bench` has it. */
  readonly name: string;
  /** Unit of its figure. */
  readonly unit: string;
  /** Which way is better. */
  readonly better: "lower" | "higher";
  /** Measures once. */
  readonly round: (runtimeDir: string, start: StartOther) => Promise<number>;
}

/** How long a wait polls before it sleeps in the fast ping-pong. */
const SPIN_NS = 2_000_000;
const SMALL: Load = { bytes: 64, count: 4_000_000, order: 4, batch: 128 };
const LARGE: Load = { bytes: 65_536, count: 30_000, order: 8, batch: 1 };
const ROUND_TRIPS = 5000, WARM_UP = 1000;
const STREAM_BYTES = 1536 * 1024 * 1024, STREAM_ORDER = 8;

/** Messages sent at full speed. */
interface Load {
  /** Size of a message, bytes. */
  readonly bytes: number;
  /** Number of messages. */
  readonly count: number;
  /** Order of the ring. */
  readonly order: number;
  /** Messages per send. */
  readonly batch: number;
}

/** The benchmarks, in the order of the output. */
export const V2V_MEASURES: readonly V2vMeasure[] = [
  {
    name: "v2v.msg64",
    unit: "messages/s",
    better: "higher",
    round: (dir, start) => throughput(dir, start, SMALL),
  },
  {
    name: "v2v.msg64k",
    unit: "GB/s",
    better: "higher",
    round: async (dir, start) => await throughput(dir, start, LARGE) * LARGE.bytes / 1e9,
  },
  { name: "v2v.pingpong", unit: "us", better: "lower", round: (dir, start) => latency(dir, start, false) },
  { name: "v2v.pingpongFast", unit: "us", better: "lower", round: (dir, start) => latency(dir, start, true) },
  { name: "v2v.stream", unit: "GB/s", better: "higher", round: streaming },
];

/** Messages per second, each copied in and out, and checked. */
function throughput(dir: string, start: StartOther, load: Load): Promise<number> {
  const { bytes, count, order, batch } = load;
  const words = ["produce", String(bytes), String(count), String(batch)];
  return withOther(dir, start, words, { prodOrder: 0, consOrder: order }, (channel) => {
    channel.waitReceive(10_000);
    const startedMs = performance.now();
    consume(channel, bytes, count);
    return count / ((performance.now() - startedMs) / 1000);
  });
}

/** The median round trip in us. */
function latency(dir: string, start: StartOther, fast: boolean): Promise<number> {
  const words = ["echo", String(WARM_UP + ROUND_TRIPS), fast ? "fast" : "slow"];
  return withOther(dir, start, words, { tuning: { spinNs: SPIN_NS } }, (channel) => {
    const times = pingPong(channel, WARM_UP + ROUND_TRIPS, fast).subarray(WARM_UP).sort();
    return times[times.length >> 1] ?? NaN;
  });
}

function streaming(dir: string, start: StartOther): Promise<number> {
  const words = ["stream", String(STREAM_BYTES)];
  return withOther(dir, start, words, { prodOrder: 0, consOrder: STREAM_ORDER }, (channel) => {
    channel.waitReceive(10_000);
    const startedMs = performance.now();
    return drainStream(channel) / 1e6 / (performance.now() - startedMs);
  });
}

async function withOther(
  dir: string,
  start: StartOther,
  words: readonly string[],
  options: ListenOptions,
  measure: (channel: Channel) => number,
): Promise<number> {
  using listener = new ProcessListener(dir, "bench", options);
  const other = start(dir, "bench", words);
  const channel = await Promise.race([
    listener.acceptAsync(20_000),
    other.then(() => Promise.reject(new Error("the other end of the benchmark ended before it began"))),
  ]);
  const figure = measure(channel);
  await channel.disconnectAsync(5000);
  await other;
  return figure;
}
