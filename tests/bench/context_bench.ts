/**
 * The transfer context alone: what one submit and one next cost, and how much garbage they leave. Run in a
 * process of its own, so that the heap is the context's.
 * @module
 */
import type { Prio } from "../../src/event/priority.ts";
import { TransferContext } from "../../src/context/transfer_context.ts";
import { DIR } from "../../src/event/defaults.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { EventPool } from "../../src/event/transfer_event.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const EVENTS = 200_000;
const DEPTH = 16;

/** One round: `EVENTS` events, 16 at a time, of three sources and all classes. */
function round(context: TransferContext, pool: EventPool): void {
  for (let done = 0; done < EVENTS; done += DEPTH) {
    for (let i = 0; i < DEPTH; i++) {
      const event = pool.acquire();
      event.kind = KIND.ACT_ACK;
      event.source = i % 3 === 0 ? SOURCE.VMHOST : i % 3 === 1 ? SOURCE.INPUT : SOURCE.MEMCTX;
      event.prio = (i & 3) as Prio;
      event.corr = i;
      context.submit(DIR.UP, event, done);
    }
    for (let i = 0; i < DEPTH; i++) context.next(DIR.UP, done)?.release();
  }
}

function measure(): BenchResult[] {
  const pool = new EventPool();
  const context = new TransferContext({ onDrop: () => {}, onRoom: () => {} });
  for (let warm = 0; warm < 5; warm++) round(context, pool);
  const costs: number[] = [];
  const garbage: number[] = [];
  for (let i = 0; i < 7; i++) {
    const before = Deno.memoryUsage().heapUsed;
    const started = performance.now();
    round(context, pool);
    costs.push(((performance.now() - started) * 1e6) / EVENTS);
    // A collection in between would make it negative: that is none of ours.
    garbage.push(Math.max(0, Deno.memoryUsage().heapUsed - before) / EVENTS);
  }
  return [
    resultOf("context.submitNext", "ns", "lower", costs, null, null),
    resultOf("context.garbage", "bytes an event", "lower", garbage, null, null),
  ];
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "context.submitNext", names: ["context.submitNext", "context.garbage"], run: measure },
];
