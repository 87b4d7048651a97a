/**
 * A hostile QEMU: a scripted monitor that sends whatever it likes, beside one that behaves. Its flood is
 * charged to its own seam; who steers the other VM notices nothing.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { SEAM_REASON, VM_STATE_NUMBER } from "../../src/event/body_number.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { ScriptedQmp } from "../fixtures/scripted_qmp.ts";
import { linesOf } from "./hostile_control.ts";

interface Scene {
  readonly daemon: DaemonProcess;
  readonly evil: ScriptedQmp;
  readonly good: ScriptedQmp;
}

/** A daemon with two monitors, both up. */
async function inScene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-flood-" });
  try {
    await using evil = new ScriptedQmp(`${folder}/evil.qmp`);
    await using good = new ScriptedQmp(`${folder}/good.qmp`);
    const endpoint = (name: string) =>
      `[[endpoint]]\nname = "${name}"\nqmp = "${folder}/${name}.qmp"\nmemory = "none"\nguest = "none"\n`;
    await using daemon = await DaemonProcess.start({ config: endpoint("evil") + endpoint("good") });
    await using waiter = await daemon.connect("waiter");
    await isUp(waiter, "evil");
    await isUp(waiter, "good");
    await body({ daemon, evil, good });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function stateOf(client: Client, name: string): string | undefined {
  return client.roster.list().find((entry) => entry.name === name)?.state;
}

async function isUp(client: Client, name: string): Promise<void> {
  await until(`${name} is up`, () => stateOf(client, name) === "up");
}

/** A control that reads all the time, and what it has read of one endpoint. */
class Reader implements AsyncDisposable {
  readonly states: number[] = [];
  readonly downs: number[] = [];
  readonly errors: string[] = [];
  ups = 0;
  /** How its stream ended before its time: its control was thrown off. */
  fault: unknown;
  readonly #end: () => Promise<void>;
  readonly #reading: Promise<void>;

  constructor(client: Client, endpoint: number) {
    const stream = client.events({ kinds: ["VM_LIFECYCLE", "SEAM_UP", "SEAM_DOWN", "ERROR"] });
    this.#end = () => stream[Symbol.asyncDispose]();
    this.#reading = (async () => {
      for await (const event of stream) {
        if (event.endpoint !== endpoint) continue;
        const state = event.as("VM_LIFECYCLE");
        if (state !== undefined) this.states.push(state.state);
        const down = event.as("SEAM_DOWN");
        if (down !== undefined) this.downs.push(down.reason);
        if (event.as("SEAM_UP") !== undefined) this.ups++;
        const error = event.as("ERROR");
        if (error !== undefined) this.errors.push(error.text);
      }
    })().catch((error) => this.fault = error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await this.#reading;
  }
}

function eventLine(name: string, data: object = {}): string {
  return JSON.stringify({ timestamp: { seconds: 1, microseconds: 2 }, event: name, data }) + "\r\n";
}

const RESET = eventLine("RESET", { guest: false, reason: "host-qmp-system-reset" });

Deno.test("5,000 RESETs in a burst: who steers another VM stays and keeps its leases; the flooding seam goes down, and comes again after a pause that grows", async () => {
  await inScene(async ({ daemon, evil }) => {
    await using operator = await daemon.connect("operator");
    await using power = await operator.acquire("good", "power");
    await using input = await operator.acquire("good", "input");
    await using reader = new Reader(operator, await operator.endpoint("evil"));
    evil.status = "paused";
    await evil.say(RESET.repeat(5000));
    await until("the seam is down", () => reader.downs.length > 0);
    assertEquals(reader.downs[0], SEAM_REASON.PROTOCOL_ERROR);
    await until("it is said why", () => reader.errors.includes("QEMU floods QMP with events"));
    assert(reader.errors.includes("event flood: only the newest are sent"));
    assert(reader.states.filter((state) => state === VM_STATE_NUMBER.RESET).length < 1000);
    await daemon.says(/QEMU floods QMP with events/);
    // It comes again, and the newest state with it.
    await until("the newest state arrives", () => reader.states.at(-1) === VM_STATE_NUMBER.PAUSED);
    for (let round = 0; round < 2; round++) {
      await isUp(operator, "evil");
      const downs = reader.downs.length;
      await evil.say(RESET.repeat(5000));
      await until(
        "down again",
        () => reader.downs.length > downs,
      );
    }
    assertEquals(reader.fault, undefined);
    assert(evil.connections <= 4, `a pause stands between, not ${evil.connections} connections`);
    assertEquals([operator.fault, power.owned, input.owned], [undefined, true, true]);
    await operator.vm("good", "stop");
    assertEquals((await operator.leaseStatus("good", "power")).busy, true);
    assertEquals(linesOf(daemon, /LEASE_REVOKED/), []);
  });
});

Deno.test("failed disk requests by the ten thousand are an honest QEMU's: nothing happens", async () => {
  await inScene(async ({ daemon, evil }) => {
    await using operator = await daemon.connect("operator");
    await using reader = new Reader(operator, await operator.endpoint("evil"));
    const failed = eventLine("BLOCK_IO_ERROR", {
      device: "d",
      operation: "write",
      action: "report",
      reason: "No space",
    });
    for (let i = 0; i < 20; i++) await evil.say(failed.repeat(500));
    await evil.event("STOP");
    await evil.event("RESUME");
    await operator.vm("evil", "stop");
    await until("its state is told", () => reader.states.length >= 2);
    // A test that gets no processor is a silent QEMU for a while.
    const downs = reader.downs.filter((reason) => reason !== SEAM_REASON.HEARTBEAT_STALE);
    assertEquals([downs, evil.connections], [[], 1]);
    await operator.vm("good", "cont");
  });
});

Deno.test("lines that are nested, long or of too many parts end the connection before they are read", async () => {
  const hostile: [string, string, RegExp][] = [
    ["nested", '{"event": "A", "data": ' + "[".repeat(60_000), /nested deeper/],
    ["nested by the hundred thousand", '{"event": "A", "data": ' + '{"a":'.repeat(500_000), /longer than/],
    ["of many parts", `{"event": "A", "data": {"a": [${"1,".repeat(20_000)}1]}}`, /values/],
    ["long", `{"event": "A", "data": {"a": "${"x".repeat(100_000)}"}}`, /longer than/],
  ];
  for (const [what, line, why] of hostile) {
    await inScene(async ({ daemon, evil }) => {
      await using operator = await daemon.connect("operator");
      await using reader = new Reader(operator, await operator.endpoint("evil"));
      await evil.say(line + "\r\n").catch((error) => {
        // The daemon has hung up in the middle.
        if (!(error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset)) {
          throw error;
        }
      });
      await until(`${what}: the seam is down`, () => reader.downs[0] === SEAM_REASON.PROTOCOL_ERROR);
      await daemon.says(why);
      await operator.vm("good", "cont");
      assertEquals(operator.fault, undefined);
    });
  }
});

Deno.test("the same line of the log again and again is written once a second, with its number", async () => {
  await inScene(async ({ daemon, good }) => {
    good.script = () => ({ error: "not now" });
    await using operator = await daemon.connect("operator");
    for (let i = 0; i < 500; i++) await operator.vm("good", "cont").catch(() => {});
    const said = () => linesOf(daemon, /QEMU refuses/);
    const told = () => said().reduce((sum, line) => sum + Number(/repeated=(\d+)/.exec(line)?.[1] ?? 1), 0);
    await until("all are counted", () => told() === 500);
    assert(said().length < 100, `${said().length} lines`);
  });
});
