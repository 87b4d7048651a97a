/**
 * Rounds of a memory watch that cannot be kept, by a clock of the test's own: they are left out, counted and
 * told, and nothing is made up for later.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { EndpointId } from "../../../src/base/ids.ts";
import { MemoryPoller, type PolledGuest } from "../../../src/client/memory_poller.ts";
import { MAX_WAITING_BATCHES, SHARED, type WatchReport } from "../../../src/client/memory_watch_messages.ts";

const HZ = 100;
const PERIOD_MS = 1000 / HZ;
const ENDPOINT = 3 as EndpointId;

type Rate = Extract<WatchReport, { what: "rate" }>;

/** A guest in which something changes at every look, and a clock that looking and sleeping alone move. */
class World {
  nowMs = 5000;
  /** What a look takes. */
  lookMs = 0;
  /** Whether the reader takes its batches. */
  isRead = true;
  readonly looksMs: number[] = [];
  readonly reports: { readonly atMs: number; readonly report: WatchReport }[] = [];
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * SHARED.words));
  readonly #poller: MemoryPoller;
  #sent = 0;
  #untilMs = 0;
  #reached = Promise.withResolvers<void>();

  constructor() {
    this.#poller = new MemoryPoller(this.#words.buffer, HZ, (report) => this.#onReport(report), {
      open: () => this.#guest(),
      nowMs: () => this.nowMs,
      sleep: (_words, _seen, ms) => this.#pass(ms),
    });
    this.#send({ what: "context", endpoint: ENDPOINT, epoch: 1, ...NOTHING });
  }

  /** Lets so much time pass. */
  async run(ms: number): Promise<void> {
    this.#untilMs = this.nowMs + ms;
    this.#reached = Promise.withResolvers();
    // A message that changes nothing: the rounds go on.
    this.#send({ what: "end", endpoint: 99 as EndpointId });
    await this.#reached.promise;
  }

  /** What was told of the rate since a moment. */
  rates(sinceMs: number): Rate[] {
    return this.reports.flatMap(({ atMs, report }) =>
      atMs > sinceMs && report.what === "rate" ? [report] : []
    );
  }

  /** Ends the rounds. */
  end(): void {
    this.#send({ what: "stop" });
    assertEquals(this.reports.at(-1)?.report, { what: "closed" });
  }

  #send(order: Parameters<MemoryPoller["take"]>[0]): void {
    Atomics.store(this.#words, SHARED.posted, this.#sent += 1);
    this.#poller.take(order);
  }

  #guest(): PolledGuest {
    return {
      endpoint: ENDPOINT,
      epoch: 1,
      look: (tsNs) => {
        this.looksMs.push(this.nowMs);
        this.#pass(this.lookMs);
        const found = {
          ids: Int32Array.of(0),
          words: BigUint64Array.of(BigInt(this.looksMs.length)),
          others: [],
        };
        return { what: "batch", endpoint: ENDPOINT, epoch: 1, tsNs, ...found };
      },
      findAbsent: () => {},
      [Symbol.dispose]: () => {},
    };
  }

  /** A message that waits takes the rounds back to their event loop: so the test gets its turn. */
  #pass(ms: number): void {
    this.nowMs += ms;
    if (this.nowMs < this.#untilMs || this.#untilMs === 0) return;
    this.#untilMs = 0;
    Atomics.store(this.#words, SHARED.posted, this.#sent + 1);
    this.#reached.resolve();
  }

  #onReport(report: WatchReport): void {
    this.reports.push({ atMs: this.nowMs, report });
    if (report.what === "batch" && this.isRead) Atomics.add(this.#words, SHARED.taken, 1);
  }
}

/** Of a context: what the test's own guest does not ask for. */
const NOTHING = { name: "web", fds: [], body: new Uint8Array(0), kcr3: 0, guestOs: 0, values: [] };

Deno.test("looks that take longer than their gap are left out and told, and none is made up for", async () => {
  const world = new World();
  world.lookMs = 3.5 * PERIOD_MS;
  await world.run(4000);
  const slow = world.rates(0);
  assert(slow.length >= 3, "each second tells");
  for (const rate of slow) {
    assertEquals(rate.because, "looking");
    // One look in four gaps.
    assert(Math.abs(rate.reachedHz - HZ / 4) < 1, `${rate.reachedHz} looks a second`);
    assert(Math.abs(rate.missed - 3 * HZ / 4) <= 3, `${rate.missed} left out in a second`);
  }
  const batches = world.reports.filter(({ report }) => report.what === "batch");
  assertEquals(batches.length, world.looksMs.length, "a look gives one batch, with what is there then");
  // Fast again: the gaps are as asked, and what was left out stays so.
  world.lookMs = 0.1 * PERIOD_MS;
  const [fromMs, from] = [world.nowMs, world.looksMs.length];
  await world.run(3000);
  const gaps = world.looksMs.slice(from + 1).map((ms, i) => ms - (world.looksMs[from + i] as number));
  assert(gaps.length >= 2.9 * HZ && gaps.length <= 3 * HZ, `${gaps.length} looks in three seconds`);
  for (const gap of gaps) assert(Math.abs(gap - PERIOD_MS) < 1e-6, `a gap of ${gap} ms`);
  // The second in which it became fast still tells of those before.
  assertEquals(world.rates(fromMs + 1000), []);
  world.end();
});

Deno.test("looks that just fit their gap are all made, and nothing is told", async () => {
  const world = new World();
  world.lookMs = 0.99 * PERIOD_MS;
  await world.run(3000);
  assertEquals(world.rates(0), []);
  assert(world.looksMs.length >= 3 * HZ, `${world.looksMs.length} looks in three seconds`);
  world.end();
});

Deno.test("a reader that takes nothing is told what it has missed, and is sent no more than fits", async () => {
  const world = new World();
  world.isRead = false;
  await world.run(3000);
  assertEquals(world.looksMs.length, MAX_WAITING_BATCHES);
  const missed = world.rates(0);
  assert(missed.length >= 2 && missed.every(({ because }) => because === "reader"));
  assertEquals(missed.at(-1)?.reachedHz, 0);
  assertEquals(missed.at(-1)?.missed, HZ);
  world.end();
});
