/**
 * What a benchmark is. Each file with `_bench` in its name in this folder exports `benches`; `main.ts` runs
 * them and prints them.
 * @module
 */

/** One measured figure, beside its peer's from the same run. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  readonly better: "lower" | "higher";
  /** Median of our rounds. */
  readonly ours: number;
  /** Median of the peer's rounds, null where there is none. */
  readonly peer: number | null;
  readonly peerName: string | null;
  /** ours / peer, null where there is no peer. */
  readonly ratio: number | null;
  /** Rounds. */
  readonly n: number;
}

/** A benchmark; it may yield several results that come from one set-up. */
export interface Bench {
  /** The name of its result, or of its first one. */
  readonly name: string;
  /** Names of all results when there are several. */
  readonly names?: readonly string[];
  run(): Promise<BenchResult | BenchResult[]> | BenchResult | BenchResult[];
}

/** The median of some figures. */
export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle] as number
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** A result from the rounds of both sides. */
export function resultOf(
  name: string,
  unit: string,
  better: "lower" | "higher",
  ours: readonly number[],
  peer: readonly number[] | null,
  peerName: string | null,
): BenchResult {
  const ourMedian = median(ours);
  const peerMedian = peer === null ? null : median(peer);
  const ratio = peerMedian === null || peerMedian === 0 ? null : ourMedian / peerMedian;
  return { name, unit, better, ours: ourMedian, peer: peerMedian, peerName, ratio, n: ours.length };
}
