/**
 * A histogram of durations in powers of two: constant memory, one increment per sample.
 * @module
 */
import { assert } from "../base/assert.ts";

const BUCKETS = 40;
/** Limit above which a turn of the loop counts as late, ns. */
const LATE_NS = 5_000_000;

/** Counts of durations: bucket i has those in [2^(i-1), 2^i) ns. */
export class Histogram {
  /** Counts by bucket. */
  readonly counts: Float64Array = new Float64Array(BUCKETS);
  /** The longest so far, ns. */
  maxNs = 0;
  /** The sum, ns. */
  sumNs = 0;
  /** How many were longer than {@linkcode LATE_NS}, which lies within a bucket. */
  late = 0;

  /** Adds one duration. */
  note(ns: number): void {
    assert(!Number.isNaN(ns), "a duration is a number");
    const whole = ns < 1 ? 0 : ns;
    const bucket = whole >= 2 ** 31 ? 63 - Math.clz32(whole / 2 ** 31) : 32 - Math.clz32(whole);
    this.counts[bucket < BUCKETS ? bucket : BUCKETS - 1]!++;
    this.sumNs += whole;
    if (whole > LATE_NS) this.late++;
    if (whole > this.maxNs) this.maxNs = whole;
  }

  /** Number of samples. */
  get count(): number {
    let count = 0;
    for (const n of this.counts) count += n;
    return count;
  }

  /** An upper bound of the p-quantile (p from 0 to 1), ns: the upper edge of its bucket. */
  quantileNs(p: number): number {
    const wanted = this.count * p;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.counts[bucket] as number;
      if (seen >= wanted && seen > 0) return 2 ** bucket;
    }
    return this.maxNs;
  }
}
