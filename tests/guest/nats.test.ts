/**
 * Hosts on a real nats-server, with a real guest: what a person elsewhere sees and does, under the rules of
 * the guest's host; a fight for the keyboard; a server that is killed; names that are taken; users who
 * publish where they may not.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { jetstream } from "@nats-io/jetstream";
import { Fault } from "../../src/base/fault.ts";
import { VM_STATE_NUMBER } from "../../src/event/body_number.ts";
import { KIND } from "../../src/event/kind.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { keyRecord, takeInput, waitFor } from "../../src/client/mod.ts";
import { OP, opened, sealed } from "../../src/nats/wire/envelope.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { AUDIT_STREAM, requestSubject } from "../../src/nats/wire/subjects.ts";
import { DaemonProcess, join, until, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { freePort, NatsServer } from "../fixtures/nats_server.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Reached by a hang alone. */
const timeoutMs = 60_000;
const SESSION = "0123456789abcdef0123456789abcdef";
const SILENT_SESSION = "fedcba9876543210fedcba9876543210";

const rules = (alicePrio: number): string => {
  const rule = (who: string, prio: number, more = "") =>
    `[[admission]]\n${who}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n${more}\n`;
  return rule(`uid = ${Deno.uid()}`, 20, 'speaks_for = ["nats:*"]') + rule('nats = "alice"', alicePrio);
};

const command = async (server: NatsServer, ...words: string[]) => {
  const outcome = await vmsig([...words, ...server.args("alice")]);
  assertEquals(outcome.code, 0, outcome.errors);
  return outcome.text;
};

Deno.test({
  name: "nats: a guest on another host is seen, steered, fought for; the server dies and comes back",
  fn: async () => {
    await using vm = await startSavedGuest({
      append: "quiet console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
      devices: ["virtio-input"],
      programs: ["evrec", "console"],
      ramMiB: 256,
      extraArgs: ["-vga", "std"],
    });
    const recorder = await vm.agent.start("evrec");
    await recorder.lineMatching(/^recording/);
    const config = `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n${rules(10)}`;
    await using daemon = await DaemonProcess.start({ config });
    await using server = await NatsServer.start();
    await server.create();
    await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });

    // The roster, from a host's entry alone.
    await until("the VM is in the roster", async () => {
      return /^rack1\/vm +up +running +\S*frame \((auto|vram)\)/m.test(await command(server, "ls", "--wide"));
    });
    await using client = await join({ name: "far", nats: server.options("alice") });
    const [vmEntry] = await client.completeRoster();
    assertEquals([vmEntry?.name, vmEntry?.state], ["rack1/vm", "up"]);

    // Watched and steered.
    const states = client.events({ kinds: ["VM_LIFECYCLE"] });
    await client.barrier();
    await client.vm("rack1/vm", "stop");
    assertEquals((await client.vmState("rack1/vm")).state, "paused");
    await client.vm("rack1/vm", "cont");
    const seen: number[] = [];
    for await (const event of states) {
      seen.push(event.as("VM_LIFECYCLE")?.state ?? -1);
      assertEquals(client.roster.nameOf(event.endpoint), "rack1/vm");
      if (seen.length === 2) break;
    }
    assertEquals(seen, [VM_STATE_NUMBER.PAUSED, VM_STATE_NUMBER.RUNNING]);
    assertMatch(await command(server, "type", "rack1/vm", "echo far away"), /13 characters|9 characters/);
    await command(server, "key", "rack1/vm", "enter");
    await waitFor(client, "rack1/vm", { text: /^far away$/m }, { timeoutMs });

    // Its screen: pixels, text, each change.
    await using watching = await join({
      name: "looks",
      nats: server.options("alice"),
      sub: { sources: ["CORE", "FRAME"] },
    });
    const frame = await watching.frame("rack1/vm");
    assert(frame.width >= 640 && frame.bytes.length >= frame.width * frame.height * 2);
    assert((await watching.screenText("rack1/vm")).lines.includes("far away"));
    const frames = watching.frames("rack1/vm", { perSecond: 10 });
    const first = (await frames.next()).value;
    await command(server, "key", "rack1/vm", "x");
    const second = (await frames.next()).value;
    assert(first && second && second.frameId !== first.frameId);
    await frames.return();
    assertMatch(await command(server, "mem", "rack1/vm", "ps"), /^ *\d+ .*evrec/m);

    // A local person of a higher rank takes the keyboard: what was held is released, late commands refused.
    const far = await takeInput(client, "rack1/vm");
    const from = recorder.text.length;
    const keys = () =>
      [...recorder.text.slice(from).matchAll(/^event\d+ 1 (\d+) ([01])$/gm)].map(([, code, value]) =>
        `${code}:${value}`
      );
    await far.frame([keyRecord(42, true)]);
    await until("shift is down", () => keys().includes("42:1"), timeoutMs);
    const local = await daemon.connect("local person");
    await using mine = await local.acquire("vm", "input");
    assertEquals(await far.lease.lost, "preempted");
    await until("shift is released", () => keys().includes("42:0"), timeoutMs);
    await assertRejects(() => far.key("a"), Fault);
    await assertRejects(() => takeInput(client, "rack1/vm"), Fault, "owns it");
    assert(mine.token > far.lease.token, "tokens grow");
    await mine.release();
    await local.close();

    // A program that ends leaves nothing held.
    const mark = recorder.text.length;
    {
      await using other = await join({ name: "ends", nats: server.options("alice") });
      await (await takeInput(other, "rack1/vm")).frame([keyRecord(56, true)]);
      await until("alt is down", () => /^event\d+ 1 56 1$/m.test(recorder.text.slice(mark)), timeoutMs);
    }
    await until("alt is released", () => /^event\d+ 1 56 0$/m.test(recorder.text.slice(mark)), timeoutMs);

    // The server dies: commands say so. It comes back: everything is as before, and nothing was done twice.
    const events = client.events({ kinds: ["VM_LIFECYCLE"] });
    await client.barrier();
    await server.kill();
    await until(
      "it is noticed",
      () => client.vm("rack1/vm", "query" as never, { timeoutMs: 1000 }).then(() => false, () => true),
    );
    await server.up();
    await until(
      "commands go again",
      () => client.vmState("rack1/vm", { timeoutMs: 1000 }).then(() => true, () => false),
    );
    await client.barrier();
    await client.vm("rack1/vm", "stop");
    const { value: stopped } = await events.next();
    assertEquals(stopped?.as("VM_LIFECYCLE")?.state, VM_STATE_NUMBER.PAUSED);
    await client.vm("rack1/vm", "cont");
    await until("the host has told it", () => /disconnected from the NATS server/.test(rack.text));

    // The audit is kept, by name.
    await using auditor = await NatsLink.open(server.options("auditor"), "test");
    const consumer = await jetstream(auditor.nc).consumers.get(
      AUDIT_STREAM,
      { deliver_policy: "all" } as never,
    );
    const decoder = new TextDecoder();
    await until("the audit names who did it", async () => {
      let named = 0;
      for await (const { data } of await consumer.fetch({ max_messages: 500, expires: 2000 })) {
        assertEquals(new DataView(data.buffer, data.byteOffset).getUint16(FRAME.kind, true), KIND.AUDIT);
        if (decoder.decode(data.subarray(FRAME.body)).includes("nats:alice")) named++;
      }
      return named > 0;
    });
    await client.close();
  },
});

Deno.test("nats: who may not, a name that is taken, an old session, a redelivered request", async () => {
  await using daemon = await DaemonProcess.start({ config: rules(10), stubs: 1 });
  await using server = await NatsServer.start({ port: freePort() });
  // Without the bucket a host says what to do.
  const early = await JoinHost.start({ server, socket: daemon.socket, host: "rack1", waits: false });
  const { code, text } = await early.ended();
  assertEquals(code, 3, text);
  assertMatch(text, /--create/);
  await server.create();
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });

  // A second host of the name waits, sees that the first lives, and goes.
  const twin = await JoinHost.start({ server, socket: daemon.socket, host: "rack1", waits: false });
  const ended = await twin.ended();
  assertEquals(ended.code, 1, ended.text);
  assertMatch(ended.text, /busy: Cannot join as rack1: another host of this name has joined/);

  // Bob has no rule at the daemon; eve no credentials; alice no right to speak as bob.
  const refused = await vmsig(["vm", "rack1/stub0", "query", ...server.args("bob")]);
  assertMatch(refused.errors, /not-admitted: .*no \[\[admission\]\] admits nats:bob/);
  const stranger = await vmsig(["ls", "--nats", server.url]);
  assertEquals([stranger.code, /not-admitted/.test(stranger.errors)], [1, true], stranger.errors);
  await using alice = await NatsLink.open(server.options("alice"), "test");
  const refusals: string[] = [];
  alice.listen({ onRefusal: (said) => refusals.push(said) });
  const inbox = "_INBOX.alice.test.x";
  const heard: Uint8Array[] = [];
  alice.on(`${inbox}.>`, ({ data }) => heard.push(new Uint8Array(data)));
  const say = (user: string, bytes: Uint8Array, reply = `${inbox}.rack1`, session = SESSION) =>
    alice.publish(requestSubject("rack1", user, session), bytes, reply);
  const opening = (ttlMs: number) =>
    new TextEncoder().encode(JSON.stringify({ v: 1, vmsig: "0", name: "test", ttlMs }));
  // As long as a session may be silent: a busy machine's pause does not end it.
  const open = opening(60_000);
  say("bob", sealed(OP.OPEN, {}, open));
  await until("the server refuses it", () => refusals.some((said) => said.includes("req.bob")));
  // An answer elsewhere than to the asker's own inbox is not given.
  say("alice", sealed(OP.OPEN, {}, open), "vmsig.rack1.audit");
  // Another version, and what is nothing at all.
  say("alice", Uint8Array.of(9, 9, 9));
  await until("it is told of the version", () => heard.some((bytes) => opened(bytes)?.op === OP.REFUSED));
  heard.length = 0;
  say("alice", sealed(OP.OPEN, {}, open));
  await until("the session is open", () => heard.some((bytes) => opened(bytes)?.op === OP.OPENED));
  await until("its entry is there", () => heard.length > 0);

  // One request delivered three times, and one that comes late, and out of order.
  const nowMs = Math.max(...heard.map((bytes) => opened(bytes)?.atMs ?? 0));
  const frame = (corr: number) => {
    const bytes = new Uint8Array(96);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x31475356, true);
    view.setUint16(FRAME.kind, KIND.CMD_VM, true);
    view.setUint8(FRAME.dir, 1);
    view.setUint32(FRAME.corr, corr, true);
    return bytes;
  };
  heard.length = 0;
  const answersOf = (seq: number) =>
    heard.map((bytes) => opened(bytes)).filter((each) => each?.op === OP.ANSWER && each.seq === seq);
  const fates = () =>
    heard.map((bytes) => opened(bytes)).filter((each) => each?.op === OP.FATE).map((each) =>
      `${each?.seq}:${each?.body[0]}`
    );
  const atMs = nowMs + 3_600_000;
  for (let i = 0; i < 3; i++) say("alice", sealed(OP.COMMAND, { seq: 5, atMs, life: 1 }, frame(1)));
  say("alice", sealed(OP.COMMAND, { seq: 6, atMs: Math.max(0, nowMs - 1), life: 1 }, frame(2)));
  say("alice", sealed(OP.COMMAND, { seq: 3, atMs, life: 1 }, frame(3)));
  say("alice", sealed(OP.ASK, { seq: 9 }));
  say("alice", sealed(OP.COMMAND, { seq: 9, atMs, life: 1 }, frame(4)));
  // One that comes again before the answer is told that it is under way, one that comes later the answer.
  const toldOf5 = () => answersOf(5).length + fates().filter((each) => each === "5:1").length;
  await until("each of the three is answered", () => answersOf(5).length >= 1 && toldOf5() >= 3);
  const answered = answersOf(5).length;
  say("alice", sealed(OP.ASK, { seq: 5 }));
  await until(
    "all is told",
    () =>
      answersOf(5).length > answered && answersOf(6).length === 1 &&
      fates().filter((each) => each === "9:2").length === 2,
  );
  assertEquals(new Set(answersOf(5).map((each) => each?.body.join())).size, 1, "the same answer each time");
  const late = new DataView(new Uint8Array(answersOf(6)[0]?.body as Uint8Array).buffer);
  assertEquals(late.getUint32(FRAME.inline + 4, true), 11, "timed-out");
  assert(fates().includes("3:2"), "what comes after a later one is not done");
  assert(!heard.some((bytes) => opened(bytes)?.op === OP.ENDED), "it is open still");
  // Silence ends one.
  say("alice", sealed(OP.OPEN, {}, opening(2000)), `${inbox}.rack1`, SILENT_SESSION);
  await until("the session is over", () => heard.some((bytes) => opened(bytes)?.op === OP.ENDED));

  // A host that leaves is gone at once; its entry was nobody else's.
  assertEquals(await rack.stop(), 0);
  assertMatch((await vmsig(["ls", ...server.args("alice")])).text, /no hosts/);
});
