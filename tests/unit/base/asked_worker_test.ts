/** A Worker that is asked: when it starts and ends, and what becomes of questions that it does not answer. */
import { assertEquals } from "@std/assert";
import { AskedWorker } from "../../../src/base/asked_worker.ts";

interface Question {
  readonly id: number;
  readonly what: "answer" | "silence" | "throw";
}

const SOURCE = `self.onmessage = ({ data }) => {
  if (data === "stop") return self.close();
  if (data.what === "throw") throw new Error("on purpose");
  if (data.what === "answer") self.postMessage({ id: data.id });
};`;

class Scene implements Disposable {
  readonly said: string[] = [];
  starts = 0;
  readonly worker: AskedWorker<Question, { readonly id: number }>;
  #wake: () => void = () => {};

  constructor(times: { readonly limitMs?: number; readonly idleMs?: number }) {
    const say = (text: string): void => {
      this.said.push(text);
      this.#wake();
    };
    this.worker = new AskedWorker({
      start: () => {
        this.starts++;
        return new Worker(`data:text/javascript,${encodeURIComponent(SOURCE)}`, { type: "module" });
      },
      limitMs: 600_000,
      idleMs: 600_000,
      ...times,
      onAnswer: ({ id }) => say(`answered ${id}`),
      onFailed: (ids, why) => say(`failed ${ids.join(" ")}: ${why.split("\n", 1)[0]}`),
      onIdle: (worker) => {
        say("idle");
        worker.postMessage("stop");
      },
    });
  }

  async until(count: number): Promise<string[]> {
    while (this.said.length < count) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.said;
  }

  [Symbol.dispose](): void {
    this.worker[Symbol.dispose]();
  }
}

Deno.test("a Worker starts with the first question, and ends when none has come for a while", async () => {
  using scene = new Scene({ idleMs: 1 });
  assertEquals([scene.starts, scene.worker.isRunning], [0, false]);
  scene.worker.ask({ id: 1, what: "answer" });
  scene.worker.ask({ id: 2, what: "answer" });
  assertEquals([scene.starts, scene.worker.open], [1, 2]);
  // The idle timer does not keep a process, nor this test, waiting: something else does.
  const alive = setInterval(() => {}, 1000);
  assertEquals(await scene.until(3), ["answered 1", "answered 2", "idle"]);
  assertEquals(scene.worker.isRunning, false);
  scene.worker.ask({ id: 3, what: "answer" });
  assertEquals((await scene.until(4))[3], "answered 3");
  assertEquals(scene.starts, 2);
  clearInterval(alive);
});

Deno.test("a Worker that fails or does not answer is ended, and all its questions fail, once", async () => {
  using failing = new Scene({});
  failing.worker.ask({ id: 1, what: "silence" });
  failing.worker.ask({ id: 2, what: "throw" });
  assertEquals(await failing.until(1), ["failed 1 2: Uncaught Error: on purpose"]);
  failing.worker.ask({ id: 1, what: "answer" });
  assertEquals((await failing.until(2))[1], "answered 1");
  assertEquals(failing.starts, 2);
  using silent = new Scene({ limitMs: 1 });
  silent.worker.ask({ id: 7, what: "silence" });
  assertEquals(await silent.until(1), ["failed 7: no answer within 0.001 s"]);
  silent.worker.ask({ id: 8, what: "silence" });
  silent.worker[Symbol.dispose]();
  assertEquals([silent.worker.isRunning, silent.worker.open, silent.said.length], [false, 0, 1]);
});
