/**
 * Hosts and readers of different versions, each spoken to on the wire as an older or a newer one speaks: what
 * is added is left out, what cannot be understood is told with both versions, and nobody waits for nothing.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CODE } from "../../src/base/codes.ts";
import type { EndpointId } from "../../src/base/ids.ts";
import { Fault } from "../../src/base/fault.ts";
import { DIR } from "../../src/event/defaults.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { type Envelope, FATE, OP, type Op, opened, sealed } from "../../src/nats/wire/envelope.ts";
import { ackFrame, madeFrame } from "../../src/nats/wire/made_frames.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { requestSubject, sessionInbox } from "../../src/nats/wire/subjects.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { DaemonProcess, join, until, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { NatsServer } from "../fixtures/nats_server.ts";

const rules = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\n`;
const json = (value: object): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));
const number = (n: number): string => `${n}`.padStart(32, "0");
const VM = 0 as EndpointId;
/** A kind that is not there yet. */
const NEWER_KIND = 40_000;

async function start(): Promise<NatsServer> {
  const server = await NatsServer.start();
  await server.create();
  return server;
}

Deno.test("nats: a host and readers that are older and newer", async () => {
  await using server = await start();
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
  await using alice = await NatsLink.open(server.options("alice"), "test");
  const session = (n: number) => {
    const heard: Envelope[] = [];
    const inbox = sessionInbox("alice", number(0), number(n), "rack1");
    alice.on(inbox, ({ data }) => {
      const envelope = opened(new Uint8Array(data));
      if (envelope !== undefined) heard.push(envelope);
    });
    const say = (bytes: Uint8Array) =>
      alice.publish(requestSubject("rack1", "alice", number(n)), bytes, inbox);
    const text = (op: Op) => new TextDecoder().decode(heard.find((each) => each.op === op)?.body);
    return { heard, say, text, has: (op: Op) => heard.some((each) => each.op === op) };
  };
  const open = { v: 1, vmsig: "9.9.9", name: "test", ttlMs: 60_000 };

  // Another version of the envelope, older and newer.
  for (const version of [0, 2]) {
    const { say, text, has } = session(10 + version);
    const bytes = sealed(OP.OPEN, {}, json({ ...open, v: version }));
    bytes[0] = version;
    say(bytes);
    await until("it is refused", () => has(OP.REFUSED));
    assertMatch(
      text(OP.REFUSED),
      /protocol-error.*does not use version 1 of the requests; use the same version of vmsig/,
    );
  }

  // A newer one of this version: keys, operations and commands that the host does not know.
  {
    const { say, has, heard } = session(1);
    say(sealed(OP.OPEN, {}, json({ ...open, wishes: ["x"], deeper: { a: 1 } })));
    await until("it is open", () => has(OP.OPENED));
    say(sealed(63 as Op, { seq: 1 }, json({})));
    const atMs = Math.max(...heard.map((each) => each.atMs)) + 3_600_000;
    const frame = ackFrame({ endpoint: VM, corr: 5, code: CODE.ok });
    const view = new DataView(frame.buffer);
    view.setUint16(FRAME.kind, NEWER_KIND, true);
    view.setUint8(FRAME.dir, DIR.DOWN);
    say(sealed(OP.COMMAND, { seq: 1, atMs, life: 1 }, frame));
    await until("the command is answered", () => has(OP.ANSWER));
    const answer = heard.find(({ op }) => op === OP.ANSWER);
    assertEquals(
      new DataView(new Uint8Array(answer?.body ?? []).buffer).getUint32(FRAME.inline + 4, true),
      CODE["not-supported"],
    );
    const words = heard.filter(({ op }) => op === OP.EVENT)
      .map(({ body }) =>
        new TextDecoder().decode(body.subarray(FRAME.inline + 8, FRAME.body)).replaceAll("\0", "")
      );
    assertMatch(words.join(""), new RegExp(`vmsig \\S+ does not know command ${NEWER_KIND}; update it`));
    say(sealed(OP.ALIVE, {}));
    await until("the session goes on", () => has(OP.ALIVE));
  }

  // An older one, that says less.
  {
    const { say, has } = session(2);
    say(sealed(OP.OPEN, {}, json({ name: "old" })));
    await until("it is open", () => has(OP.OPENED));
  }
  assertEquals(await rack.stop(), 0);
});

Deno.test("nats: a reader and hosts that are older and newer", async () => {
  await using server = await start();
  await using rack = await NatsLink.open(server.options("rack1"), "a host");
  const endpoint = {
    ...{ endpoint: 0, life: 1, name: "vm", state: "up", seams: ["input", "hologram"], pid: 1, vmid: 0 },
    ...{ run: "running", display: "", leases: {} },
  };
  const entry = (more: object) => {
    const value = {
      ...{ v: 1, vmsig: "9.9.9", host: "rack1", run: "r", machine: "m", pid: 1, isUp: true },
      ...{ endpoints: [{ ...endpoint, smell: "rose" }], weather: { rain: true }, ...more },
    };
    rack.publish("$KV.vmsig_roster.rack1", json(value));
  };
  // A newer host, of which keys, seams and kinds are not known here.
  let speaks = 1;
  let frames = 0;
  let isMute = false;
  rack.on("vmsig.rack1.req.>", ({ data, reply }) => {
    const envelope = opened(data);
    if (envelope === undefined || reply === undefined) return;
    const { op, seq, body } = envelope;
    const answer = (bytes: Uint8Array) => {
      bytes[0] = speaks;
      rack.publish(reply, bytes);
    };
    if (op === OP.OPEN) answer(sealed(OP.OPENED, { atMs: 1 }, json({ v: speaks, vmsig: "9.9.9", more: 1 })));
    else if (op === OP.ALIVE) answer(sealed(OP.ALIVE, { atMs: 1 }));
    else if (op === OP.COMMAND) {
      frames++;
      if (isMute) return;
      const corr = new DataView(new Uint8Array(body).buffer).getUint32(FRAME.corr, true);
      // What it says beside the answer in words of its own.
      answer(sealed(120 as Op, { seq, atMs: 1 }, json({})));
      answer(sealed(OP.ANSWER, { seq, atMs: 1 }, ackFrame({ endpoint: VM, corr, code: CODE.ok })));
    } else if (op === OP.ASK) answer(sealed(OP.FATE, { seq, atMs: 1 }, Uint8Array.of(FATE.LOST + 40)));
  });
  rack.on("vmsig.=all.want.*", ({ reply }) => {
    if (reply !== undefined) rack.publish(`${reply}.rack1`, new Uint8Array(0));
  });
  entry({});
  await rack.flush();
  const listed = await vmsig(["ls", "--wide", ...server.args("alice")]);
  assertMatch(listed.text, /^rack1\/vm +up +running +input,hologram .* 9\.9\.9$/m);
  {
    await using client = await join({ name: "far", nats: server.options("alice") });
    await client.completeRoster();
    await client.vm("rack1/vm", "stop", { timeoutMs: 60_000 });
    // What became of one that it does not answer: a fate that is not known here.
    isMute = true;
    const fault = await assertRejects(() => client.vm("rack1/vm", "cont", { timeoutMs: 1000 }), Fault);
    assertEquals((await client.outcome(fault.corr, { timeoutMs: 60_000 })).is, "unknown");
    isMute = false;
    const events = client.events({ kinds: ["VM_LIFECYCLE"] });
    await client.barrier({ timeoutMs: 60_000 });
    const event = madeFrame(
      { kind: KIND.VM_LIFECYCLE, endpoint: VM },
      (inline) => inline.setUint32(0, 1, true),
    );
    event[FRAME.source] = SOURCE.VMHOST;
    const newer = event.slice();
    new DataView(newer.buffer).setUint16(FRAME.kind, NEWER_KIND, true);
    rack.publish("vmsig.rack1.vm.VMHOST.HOLOGRAM", newer);
    rack.publish("vmsig.rack1.vm.VMHOST.VM_LIFECYCLE", event);
    const { value } = await events.next();
    assertEquals(
      value?.kind,
      KIND.VM_LIFECYCLE,
      "the one that is not known is left out, and the stream goes on",
    );
  }

  // One that answers in another version than its entry says.
  speaks = 7;
  {
    await using client = await join({ name: "far", nats: server.options("alice") });
    await assertRejects(
      () => client.vm("rack1/vm", "stop", { timeoutMs: 60_000 }),
      Fault,
      "uses version 7 of the requests",
    );
  }
  // One whose entry says so, older and newer: nothing is sent.
  frames = 0;
  for (const [v, remedy] of [[0, "update the host"], [2, "update this one"]] as const) {
    entry({ v });
    await rack.flush();
    const { code, errors } = await vmsig(["vm", "rack1/vm", "stop", ...server.args("alice")]);
    assertEquals(code, 1, errors);
    assertMatch(errors, new RegExp(`not-supported: .*its vmsig 9\\.9\\.9 uses version ${v} .*; ${remedy}`));
    assertMatch((await vmsig(["ls", "--wide", ...server.args("alice")])).text, /^rack1\/vm +up/m);
  }
  assertEquals(frames, 0);
});
