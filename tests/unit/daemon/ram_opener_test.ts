// Who opens RAM on threads that may wait: each request is answered once, whatever a thread does, and what
// comes too late is closed.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { MAX_RAM_OPENERS } from "../../../src/base/limits.ts";
import { SILENT } from "../../../src/base/log.ts";
import type { RamCall } from "../../../src/daemon/scan_client.ts";
import { RamOpener, type RamWorkerSays } from "../../../src/daemon/ram_opener.ts";
import { until } from "../../fixtures/daemon_process.ts";

/** A thread that does what the test says. */
class FakeWorker {
  onmessage: ((event: { data: RamWorkerSays }) => void) | null = null;
  onerror: ((event: { message: string; preventDefault: () => void }) => void) | null = null;
  readonly got: RamCall[] = [];
  ended = false;

  postMessage(call: RamCall): void {
    assert(!this.ended, "a worker that was ended is asked nothing");
    this.got.push(call);
    if (this.got.length === 1) this.onmessage?.({ data: "ready" });
  }

  terminate(): void {
    this.ended = true;
  }

  /** Answers the last request with a descriptor. */
  opens(fd: number): void {
    const { id } = this.got.at(-1) as RamCall;
    this.onmessage?.({
      data: {
        id,
        answer: {
          outcome: "open",
          ram: { pid: 7, started: "1", backends: [], fds: [fd], pieces: [], missing: [] },
        },
      },
    });
  }

  dies(): void {
    this.onerror?.({ message: "it died", preventDefault: () => {} });
  }
}

class Bench implements Disposable {
  readonly workers: FakeWorker[] = [];
  /** Answers by request: its outcome, or the code of its failure. */
  readonly answers: [id: number, outcome: string][] = [];
  readonly closed: number[] = [];
  readonly opener: RamOpener;
  #id = 0;

  constructor(limitMs: number, idleMs = 60_000) {
    this.opener = new RamOpener({
      answer: ({ id, answer }) => {
        this.answers.push([id, answer.outcome === "failed" ? answer.code : answer.outcome]);
      },
      closeRam: (fds) => this.closed.push(...fds),
      log: SILENT,
      limitMs,
      idleMs,
      makeWorker: () => {
        const worker = new FakeWorker();
        this.workers.push(worker);
        return worker as unknown as Worker;
      },
    });
  }

  ask(name: string): number {
    const id = ++this.#id;
    const request = {
      name,
      pid: 7,
      monitorUid: 0,
      flatView: "",
      devices: [],
      blocks: [],
      wanted: "auto",
    } as const;
    this.opener.take({ id, request });
    return id;
  }

  answered(count: number): Promise<void> {
    return until(`${count} answers`, () => this.answers.length >= count);
  }

  [Symbol.dispose](): void {
    this.opener[Symbol.dispose]();
  }
}

Deno.test("one thread opens one VM after the other, and goes when there has been nothing to do for a while", async () => {
  using bench = new Bench(60_000, 20);
  bench.ask("a");
  bench.ask("b");
  const [worker] = bench.workers;
  assertEquals([bench.workers.length, worker?.got.length], [1, 1]);
  worker?.opens(10);
  worker?.opens(11);
  assertEquals(bench.answers, [[1, "open"], [2, "open"]]);
  await until("it has gone", () => bench.opener.workers === 0);
  assert(worker?.ended);
  bench.ask("a");
  assertEquals(bench.workers.length, 2);
});

Deno.test("a thread that hangs is answered for, another one takes its place, and what it opens in the end is closed", async () => {
  using bench = new Bench(2000);
  bench.ask("slow");
  bench.ask("good");
  const [hung] = bench.workers;
  await until("the good one has a thread of its own", () => bench.workers.length === 2);
  bench.workers[1]?.opens(20);
  await bench.answered(2);
  // Which of both comes first is up to the machine.
  assertEquals(bench.answers.toSorted(), [[1, "timed-out"], [2, "open"]]);
  assert(!hung?.ended, "a call in the kernel cannot be ended");
  // The same VM is not asked again while it hangs, another one is.
  bench.ask("slow");
  assertEquals(bench.answers.at(-1), [3, "timed-out"]);
  bench.ask("good");
  assertEquals(bench.workers[1]?.got.length, 2);
  bench.workers[1]?.opens(21);
  assertEquals(bench.closed, []);
  hung?.opens(30);
  assertEquals(bench.closed, [30]);
  assert(hung?.ended);
  assertEquals(bench.answers.map(([id]) => id).toSorted(), [1, 2, 3, 4], "each once");
  bench.ask("slow");
  bench.workers[1]?.opens(22);
  assertEquals(bench.answers.at(-1), [5, "open"]);
});

Deno.test("a VM's requests go one after the other, and those behind one that hangs are answered with it", async () => {
  using bench = new Bench(300);
  const ids = [bench.ask("slow"), bench.ask("slow"), bench.ask("slow")];
  await bench.answered(3);
  assertEquals(bench.answers, ids.map((id) => [id, "timed-out"]));
  assertEquals(bench.workers.map(({ got }) => got.length), [1]);
});

Deno.test("when too many hang, nobody new waits; when one lets go, the next is opened", async () => {
  using bench = new Bench(200);
  for (let i = 0; i < MAX_RAM_OPENERS; i++) {
    bench.ask(`slow${i}`);
    await bench.answered(i + 1);
  }
  bench.ask("good");
  assertEquals(bench.answers.at(-1), [MAX_RAM_OPENERS + 1, "timed-out"]);
  assertEquals(bench.workers.length, MAX_RAM_OPENERS);
  bench.workers[3]?.opens(40);
  bench.ask("good");
  bench.workers.at(-1)?.opens(41);
  assertEquals(bench.answers.at(-1), [MAX_RAM_OPENERS + 2, "open"]);
  assertEquals(bench.closed, [40]);
});

Deno.test("a thread that dies is replaced, and its request is answered", () => {
  using bench = new Bench(60_000);
  bench.ask("a");
  bench.ask("b");
  bench.workers[0]?.dies();
  assertEquals(bench.answers, [[1, "refused"]]);
  bench.workers[1]?.opens(50);
  assertEquals(bench.answers, [[1, "refused"], [2, "open"]]);
});

Deno.test("what is opened after the end is closed", () => {
  const bench = new Bench(60_000);
  bench.ask("a");
  const [worker] = bench.workers;
  bench[Symbol.dispose]();
  worker?.opens(60);
  assertEquals([bench.closed, bench.answers], [[60], []]);
  assert(worker?.ended);
});
