/**
 * Messages that nobody should send, on every subject that a person may use: the host goes on, counts them,
 * and nothing stays held or owned. VMSIG_TEST_COUNTS=full sends a hundred thousand (the nightly run).
 */
import { assert, assertEquals } from "@std/assert";
import { OP, sealed } from "../../src/nats/wire/envelope.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { requestSubject, wantSubject } from "../../src/nats/wire/subjects.ts";
import { countOf } from "../fixtures/counts.ts";
import { DaemonProcess, join, until, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { natsProgram, NatsServer } from "../fixtures/nats_server.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";

const COUNT = countOf({ gate: 2000, full: 100_000 });
/** The gate sends the same messages each time. */
const SEED = COUNT === 2000 ? 1464454477 : Math.floor(Math.random() * 2 ** 31);

const rules = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\n`;

async function metric(path: string, name: string): Promise<number> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return Number(new RegExp(`^vmsig_join_${name} (\\d+)`, "m").exec(text)?.[1] ?? NaN);
}

Deno.test("nats: whatever is sent on whatever subject, the host goes on, and nothing is held or owned", async () => {
  assert(
    natsProgram() !== "",
    "nats-server is missing: apt-get install nats-server (scripts/setup.sh guest)",
  );
  const seed = Number(Deno.env.get("VMSIG_SEED") ?? SEED);
  console.log(`VMSIG_SEED=${seed}`);
  const random = new SeededRandom(seed);
  await using server = await NatsServer.start();
  const admin = ["--creds", server.creds("admin"), "--as", "admin"];
  const made = await vmsig(["join", server.url, "--create", ...admin]);
  assertEquals(made.code, 0, made.errors);
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  const metrics = `${server.folder}/join.prom`;
  await using rack = await JoinHost.start({
    server,
    socket: daemon.socket,
    host: "rack1",
    more: ["--metrics", metrics],
  });
  await using client = await join({ name: "far", nats: server.options("alice") });
  const works = () =>
    until(
      "commands are answered",
      () => client.leaseStatus("rack1/stub0", "input", { timeoutMs: 30_000 }).then(() => true, () => false),
    );
  await works();
  await using hostile = await NatsLink.open(server.options("alice"), "hostile");
  const bytes = (most: number): Uint8Array<ArrayBuffer> =>
    Uint8Array.from({ length: random.below(most) }, () => random.below(256));
  const open = new TextEncoder().encode(JSON.stringify({ v: 1, vmsig: "0", name: "x", ttlMs: 2000 }));
  const ops = Object.values(OP);
  const inbox = "_INBOX.alice.x.y.rack1";
  for (let i = 0; i < COUNT; i++) {
    const session = `${"0123456789abcdef".slice(0, 15)}${"abc"[random.below(3)]}`;
    const reply = random.below(8) === 0 ? "vmsig.rack1.audit" : inbox;
    const op = ops[random.below(ops.length)] as typeof OP.COMMAND;
    switch (random.below(5)) {
      case 0:
        hostile.publish(requestSubject("rack1", "alice", session), bytes(200), reply);
        break;
      case 1:
        hostile.publish(wantSubject("alice", "rack1"), bytes(120), reply);
        break;
      case 2:
        hostile.publish(requestSubject("rack1", "alice", session), sealed(OP.OPEN, {}, open), reply);
        break;
      default: {
        const frame = bytes(260);
        if (random.below(2) === 0 && frame.length >= 96) {
          const view = new DataView(frame.buffer);
          view.setUint32(0, 0x31475356, true);
          view.setUint16(4, random.below(160), true);
        }
        const head = { seq: random.below(500), atMs: random.below(2) * 1e9, life: random.below(3) };
        hostile.publish(requestSubject("rack1", "alice", session), sealed(op, head, frame), reply);
      }
    }
    if (i % 500 === 499) await hostile.flush();
  }
  await hostile.flush();
  await works();
  await until("each is counted", async () => await metric(metrics, "requests_total") > COUNT / 2);
  await until("what is not understood, too", async () => await metric(metrics, "not_understood_total") > 0);
  // The sessions fall silent, and with them goes whatever they got.
  await using local = await daemon.connect("local");
  for (const cls of ["input", "power"] as const) {
    await until(`nobody owns ${cls}`, async () => !(await local.leaseStatus("stub0", cls)).busy);
  }
  assertEquals((await local.held("stub0")).entries, []);
  await client.close();
  assertEquals(await rack.stop(), 0);
});
