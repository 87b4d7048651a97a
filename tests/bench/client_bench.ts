/**
 * The client's own work: what an event costs a stream that is full, where one is dropped for each that comes.
 * @module
 */
import { CLIENT_BUFFER_MAX_EVENTS } from "../../src/base/limits.ts";
import { ClientEvent } from "../../src/client/client_event.ts";
import { EventStream } from "../../src/client/event_stream.ts";
import { KIND } from "../../src/event/kind.ts";
import { PRIO } from "../../src/event/priority.ts";
import { madeFrame } from "../../src/nats/wire/made_frames.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const EVENTS = 50_000;
const NOBODY = { onRoom: () => {}, onStreamEnd: () => {} };

function eventOf(prio: typeof PRIO.NORMAL | typeof PRIO.HIGH): ClientEvent {
  const frame = madeFrame({ kind: KIND.VGPU_STATUS, prio }, () => {});
  return new ClientEvent(new DataView(frame.buffer), 0);
}

function measure(): BenchResult {
  // Nothing of the lowest class waits: a search would go to the end each time.
  const events = [eventOf(PRIO.NORMAL), eventOf(PRIO.HIGH)] as const;
  const costs: number[] = [];
  for (let round = 0; round < 7; round++) {
    const stream = new EventStream(NOBODY, {});
    for (let i = 0; i < CLIENT_BUFFER_MAX_EVENTS; i++) stream.push(events[i & 1] as ClientEvent);
    const started = performance.now();
    for (let i = 0; i < EVENTS; i++) stream.push(events[i & 1] as ClientEvent);
    costs.push((performance.now() - started) * 1e6 / EVENTS);
  }
  return resultOf("client.overload", "ns an event", "lower", costs, null, null);
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [{ name: "client.overload", run: measure }];
