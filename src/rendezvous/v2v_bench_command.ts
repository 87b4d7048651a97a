/**
 * The implementation of `vmsig v2v bench`: the v2v figures on this machine, between two threads that map the
 * region separately. Where memcpy is a fair comparison, its figure from the same run is given; C baselines
 * are in tests/bench.
 * @module
 */
import type { BenchAnswer, BenchOrder } from "./bench_worker.ts";
import { type StartOther, V2V_MEASURES, type V2vMeasure } from "./v2v_bench.ts";

/** One line of the output (tests/bench/bench.ts). */
export interface V2vFigure {
  /** The benchmark's name. */
  readonly name: string;
  /** Unit of the figures. */
  readonly unit: string;
  /** Which way is better. */
  readonly better: "lower" | "higher";
  /** Median of our rounds. */
  readonly ours: number;
  /** Median of the peer's rounds in the same run, null where there is none. */
  readonly peer: number | null;
  /** What the peer is. */
  readonly peerName: string | null;
  /** ours / peer. */
  readonly ratio: number | null;
  /** Rounds. */
  readonly n: number;
}

/** Options of the benchmarks. */
export interface V2vBenchOptions {
  /** Only these names or prefixes of names; by default all. */
  readonly names?: readonly string[];
  /** Number of rounds; 5 by default. */
  readonly rounds?: number;
  /** Ends it between two rounds; its reason is thrown. */
  readonly signal?: AbortSignal;
}

const COPY_BLOCK_BYTES = 65_536, COPY_BUFFER_BYTES = 64 * 1024 * 1024, COPY_BYTES = 1024 * 1024 * 1024;

/**
 * Runs the benchmarks, and yields each figure when it is ready. It makes a folder of its own and removes it.
 */
export async function* v2vBench(options: V2vBenchOptions = {}): AsyncGenerator<V2vFigure> {
  const chosen = V2V_MEASURES.filter(({ name }) =>
    options.names === undefined || options.names.length === 0 ||
    options.names.some((wanted) => name.startsWith(wanted))
  );
  const dir = await Deno.makeTempDir({ prefix: "vmsig-v2v-bench-" });
  try {
    for (const measure of chosen) yield await rounds(dir, measure, options);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function rounds(dir: string, measure: V2vMeasure, options: V2vBenchOptions): Promise<V2vFigure> {
  const copies = measure.unit === "GB/s";
  const ours: number[] = [], peer: number[] = [];
  for (let i = 0; i < (options.rounds ?? 5); i++) {
    options.signal?.throwIfAborted();
    ours.push(await measure.round(dir, startWorker));
    if (copies) peer.push(copyRate());
  }
  const { name, unit, better } = measure;
  const mine = median(ours), theirs = copies ? median(peer) : null;
  return {
    name,
    unit,
    better,
    ours: mine,
    peer: theirs,
    peerName: copies ? "memcpy of 64 KiB blocks" : null,
    ratio: theirs === null ? null : mine / theirs,
    n: ours.length,
  };
}

const startWorker: StartOther = async (runtimeDir, prefix, words) => {
  const worker = new Worker(new URL("./bench_worker.ts", import.meta.url).href, { type: "module" });
  try {
    const answer = await new Promise<BenchAnswer>((resolve, reject) => {
      worker.onmessage = (message: MessageEvent<BenchAnswer>) => resolve(message.data);
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
      const order: BenchOrder = { runtimeDir, prefix, words };
      worker.postMessage(order);
    });
    if (answer !== "") throw new Error(answer);
  } finally {
    worker.terminate();
  }
};

/** GB/s of copying 64 KiB blocks between two buffers larger than the caches. */
function copyRate(): number {
  const from = new Uint8Array(COPY_BUFFER_BYTES).fill(1), to = new Uint8Array(COPY_BUFFER_BYTES).fill(2);
  const startedMs = performance.now();
  for (let done = 0, at = 0; done < COPY_BYTES; done += COPY_BLOCK_BYTES) {
    to.set(from.subarray(at, at + COPY_BLOCK_BYTES), at);
    at = (at + COPY_BLOCK_BYTES) % COPY_BUFFER_BYTES;
  }
  return COPY_BYTES / 1e6 / (performance.now() - startedMs);
}

function median(figures: number[]): number {
  return figures.sort((a, b) => a - b)[figures.length >> 1] ?? NaN;
}
