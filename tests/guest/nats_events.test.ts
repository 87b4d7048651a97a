/**
 * Events over a real nats-server, from a publisher that does not wait: within the limits of the queues none
 * is lost and the order is kept; beyond them the reader is told how many, to the last one.
 */
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/mod.ts";
import { KIND } from "../../src/event/kind.ts";
import { DaemonProcess, join, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { natsProgram, NatsServer } from "../fixtures/nats_server.ts";

const BURST = 20_000;

const rules = (queueEvents: number): string =>
  `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\nqueue_events = ${queueEvents}\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\n`;

/** Publishes as fast as the socket takes it: numbers from `first` on. */
async function publish(daemon: DaemonProcess, first: number, count: number): Promise<void> {
  await using publisher = await daemon.connect("publisher", { sources: [] });
  await using asker = await daemon.connect("asker", { sources: ["CORE"] });
  const endpoint = await asker.endpoint("stub0");
  for (let i = first; i < first + count;) {
    try {
      publisher.publish(KIND.VGPU_STATUS, endpoint, ({ words }) => {
        words[0] = 2;
        words[1] = i;
      });
      i++;
    } catch (error) {
      if (!(error instanceof Fault && error.code === "busy")) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  await publisher.barrier();
}

/** Reads until the last number. */
function follow(client: Client, first: number, count: number) {
  const events = client.events({ kinds: ["VGPU_STATUS"] });
  const outcome = (async () => {
    let [got, told, missing, last] = [0, 0, 0, first - 1];
    for await (const event of events) {
      if (event.kind === KIND.OVERRUN) told += event.as("OVERRUN")?.lost ?? 0;
      else if (event.kind === KIND.VGPU_STATUS) {
        const id = event.view.getUint32(4, true);
        assert(id > last, `${id} came after ${last}`);
        [got, missing, last] = [got + 1, missing + id - last - 1, id];
        if (id === first + count - 1) break;
      }
    }
    return { got, told, missing };
  })();
  return outcome;
}

Deno.test("nats: a burst within the queues comes whole; beyond them what is lost is told", async () => {
  assert(
    natsProgram() !== "",
    "nats-server is missing: apt-get install nats-server (scripts/setup.sh guest)",
  );
  await using server = await NatsServer.start();
  const admin = ["--creds", server.creds("admin"), "--as", "admin"];
  const made = await vmsig(["join", server.url, "--create", ...admin]);
  assertEquals(made.code, 0, made.errors);
  for (const [queueEvents, burst] of [[2 * BURST, BURST], [128, 2 * BURST]] as const) {
    await using daemon = await DaemonProcess.start({ config: rules(queueEvents), stubs: 1 });
    await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
    // One that subscribes to nothing but the publisher's source hears of what was lost all the same.
    await using far = await join({
      name: "far",
      nats: server.options("alice"),
      sub: { sources: ["FRAME"] },
    });
    for (const first of [1, 1 + burst]) {
      const outcome = follow(far, first, burst);
      await far.barrier();
      await publish(daemon, first, burst);
      const { got, told, missing } = await outcome;
      assertEquals(got + missing, burst);
      // The audit of who came and went may be lost in the same queue, and is counted with it.
      assert(told >= missing, `${missing} are missing, and ${told} were told`);
      if (queueEvents > burst) assertEquals([missing, told], [0, 0], "a burst within the queues comes whole");
    }
    await far.close();
    assertEquals(await rack.stop(), 0);
  }
});
