/**
 * Many of everything: 500 trigger files at once, 64 monitors that are up, 200 controls while endpoints come
 * and go. The bounds are wide, for a busy machine; `deno task bench scale.` and the text of a failure give
 * figures.
 * @module
 */
import { assertEquals, assertLess } from "@std/assert";
import type { Client } from "../../../src/client/client.ts";
import { RawControl } from "../../bench/raw_control.ts";
import { DaemonProcess, until } from "../../fixtures/daemon_process.ts";

const ENDPOINTS = 64;
const CONTROLS = 200;
/** A turn of the loop that takes so long hangs. */
const HANG_MS = 30_000;
/** Each monitor that is quiet is asked once a second whether it is there. */
const ASKED_A_SECOND = 1;
/** About 90 were seen. */
const TURNS_A_SECOND = 2.5 * ENDPOINTS;

/** Monitors that answer everything, each on a socket of its own. */
class FakeMonitors implements AsyncDisposable {
  /** How many commands have come. */
  asked = 0;
  readonly #listeners: Deno.Listener[] = [];
  readonly #connections = new Set<Deno.Conn>();
  readonly #tasks: Promise<void>[] = [];

  constructor(pathOf: (i: number) => string, count: number) {
    for (let i = 0; i < count; i++) {
      const listener = Deno.listen({ transport: "unix", path: pathOf(i) });
      this.#listeners.push(listener);
      this.#tasks.push(this.#accept(listener));
    }
  }

  async #accept(listener: Deno.Listener): Promise<void> {
    for await (const connection of listener) {
      this.#connections.add(connection);
      this.#tasks.push(this.#serve(connection));
    }
  }

  async #serve(connection: Deno.Conn): Promise<void> {
    const say = (value: unknown) =>
      connection.write(new TextEncoder().encode(`${JSON.stringify(value)}\r\n`));
    const buffer = new Uint8Array(65_536);
    const decoder = new TextDecoder();
    let text = "";
    try {
      await say({ QMP: { version: { qemu: { major: 7, minor: 2, micro: 0 } }, capabilities: [] } });
      for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
        const lines = (text + decoder.decode(buffer.subarray(0, n), { stream: true })).split("\n");
        text = lines.pop() ?? "";
        for (const line of lines) {
          this.asked++;
          const { id, execute } = JSON.parse(line) as { id?: unknown; execute: string };
          const value = execute === "query-status" ? { status: "running", running: true } : {};
          await say({ return: value, id });
        }
      }
    } catch (error) {
      if (!isEnd(error)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#connections) connection.close();
    await Promise.all(this.#tasks);
  }
}

function isEnd(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset;
}

/** Reads everything that a client gets: one that does not would be held up with its buffer full. */
async function readAll(client: Client): Promise<void> {
  for await (const _event of client.events());
}

const table = (name: string, folder: string) =>
  `name = "${name}"\nqmp = "${folder}/${name}.qmp"\nmemory = "none"\ninput = "qmp"\n`;

Deno.test("500 trigger files at once: 64 are attached, each other is told why not, and all go again", async () => {
  // Each one that is taken away makes room for the next: thousands of urgent events, and whoever reads them
  // shares the processors with other tests.
  await using daemon = await DaemonProcess.start({ config: "[daemon]\nqueue_events = 65536\n" });
  await using client = await daemon.connect("watch");
  readAll(client);
  for (let i = 0; i < 500; i++) daemon.drop(`vm${i}`, table(`vm${i}`, daemon.folder));
  const told = () =>
    daemon.logText.match(/cannot attach vm\d+ of file:vm\d+: all 64 endpoints are taken/g)?.length;
  await until(
    "all have settled",
    () => client.roster.list().length === ENDPOINTS && told() === 500 - ENDPOINTS,
  );
  for (let i = 0; i < 500; i++) daemon.take(`vm${i}`);
  await until("all are gone", () => client.roster.list().length === 0);
  assertEquals(told(), 500 - ENDPOINTS, "each is told once");
  const turns = await daemon.turns();
  assertLess(turns.maxMs, HANG_MS, JSON.stringify(turns));
});

Deno.test("64 monitors that are up cost next to nothing while nothing happens", async () => {
  await using daemon = await DaemonProcess.start();
  await using monitors = new FakeMonitors((i) => `${daemon.folder}/vm${i}.qmp`, ENDPOINTS);
  await using client = await daemon.connect("watch");
  readAll(client);
  for (let i = 0; i < ENDPOINTS; i++) daemon.drop(`vm${i}`, table(`vm${i}`, daemon.folder));
  await until("all are up", () => {
    return client.roster.list().filter(({ state }) => state === "up").length === ENDPOINTS;
  });
  // What asks again and again has no such time; what begins, compiles or collects for a while has.
  await until("a time in which little is asked and done", async () => {
    const [asked, turns, startMs] = [monitors.asked, await daemon.turns(), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const seconds = (performance.now() - startMs) / 1000;
    const turned = (await daemon.turns()).all - turns.all;
    return monitors.asked - asked <= ASKED_A_SECOND * ENDPOINTS * (seconds + 1) &&
      turned <= TURNS_A_SECOND * (seconds + 1);
  });
  await daemon.rests(0.5);
});

Deno.test("endpoints that come and go do not hold the loop up, however many controls there are", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("watch");
  readAll(client);
  // On one thread: each waiting client of the library holds a thread of Deno's pool.
  const others = Array.from({ length: CONTROLS }, () => new RawControl(daemon.socket));
  try {
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 20; i++) daemon.drop(`vm${i}`, table(`vm${i}`, daemon.folder));
      await until("they are there", () => client.roster.list().length === 20);
      for (let i = 0; i < 20; i++) daemon.take(`vm${i}`);
      await until("they are gone", () => client.roster.list().length === 0);
      for (const other of others) other.drain();
    }
    assertEquals(await daemon.metric("vmsig_controls"), CONTROLS + 1);
    const turns = await daemon.turns();
    assertLess(turns.maxMs, HANG_MS, JSON.stringify(turns));
  } finally {
    for (const other of others) other[Symbol.dispose]();
  }
});
