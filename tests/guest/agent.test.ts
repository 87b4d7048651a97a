/**
 * Debian's real guest agent over the daemon: programs with their output and exit code, files there and back,
 * what it tells, and what is left when an owner goes, the agent restarts or is absent.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { AgentControl } from "../../src/client/agent_control.ts";
import { DaemonProcess, startVmsig, until, vmsig } from "../fixtures/daemon_process.ts";
import { AgentGuest, config, isUp } from "./agent_guest.ts";

const WORKER = "/bin/worker";
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  return await assertRejects(() => promise, Fault) as Fault;
}

Deno.test("agent: programs, files, what it tells; as a library and as commands", async () => {
  await using guest = await AgentGuest.start();
  await using daemon = await DaemonProcess.start({ config: config(guest.vm) });
  await until("the monitor is up", async () => {
    await using client = await daemon.connect("waits");
    return (await client.completeRoster())[0]?.state === "up";
  });
  await using client = await daemon.connect("asks");
  await using agent = await AgentControl.of(client, "vm");
  // Nobody has started it yet.
  const absent = await faultOf(agent.ping());
  assertStringIncludes(absent.message, "no agent runs in the guest");
  await guest.agent();
  await isUp(daemon);
  await agent.ping();
  assertMatch(JSON.stringify(await agent.info()), /"version":"7\.2/);
  assertMatch(JSON.stringify(await agent.network()), /"lo"/);
  assertMatch(JSON.stringify(await agent.os()), /kernel-release/);

  const said = await agent.exec(WORKER, ["echo", "a b", "-c", "ü"], { env: ["GREETING=hello"] });
  assertEquals([said.code, said.signal, text(said.out), text(said.err)], [0, 0, "a b\n-c\nü\nhello\n", ""]);
  const failed = await agent.exec(WORKER, ["exit", "7"]);
  assertEquals([failed.code, text(failed.err)], [7, "sorry\n"]);
  assertEquals((await agent.exec(WORKER, ["abort"])).signal, 6);
  const input = new TextEncoder().encode("to and fro\n");
  assertEquals(text((await agent.exec(WORKER, ["cat"], { input })).out), "to and fro\n");
  const spam = await agent.exec(WORKER, ["spam", "300000"]);
  assertEquals([spam.out.length, text(spam.out.subarray(0, 27))], [300_000, "abcdefghijklmnopqrstuvwxyza"]);
  assertEquals((await faultOf(agent.exec(WORKER, ["spam", "2000000"]))).code, "too-large");
  await agent.ping();
  const none = await faultOf(agent.exec("/bin/nosuch"));
  assertEquals(none.code, "refused");
  assertStringIncludes(none.message, "nosuch");

  // Files: there, and back the same.
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const large = new Uint8Array(500_000);
  for (let at = 0; at < large.length; at += bytes.length) large.set(bytes.subarray(0, large.length - at), at);
  await agent.writeFile("/tmp/large", [large]);
  assertEquals(await guest.vm.agent.read("/tmp/large"), large);
  let back = 0;
  for await (const piece of agent.readFile("/tmp/large")) {
    assertEquals(piece, large.subarray(back, back + piece.length));
    back += piece.length;
  }
  assertEquals(back, large.length);
  assertEquals((await faultOf(agent.readFile("/tmp/nosuch").next())).code, "refused");

  // As commands, while this client holds the lease: refused, and then not.
  const socket = ["--socket", daemon.socket];
  const busy = await vmsig(["exec", "vm", ...socket, "--", WORKER, "echo", "x"]);
  assertEquals([busy.code, busy.errors.includes("busy")], [1, true]);
  await agent[Symbol.asyncDispose]();
  const run = await vmsig(["exec", "vm", ...socket, "--", WORKER, "echo", "one", "two"]);
  assertEquals([run.code, run.text], [0, "one\ntwo\n"]);
  const exit = await vmsig(["exec", "vm", "--json", ...socket, "--", WORKER, "exit", "3"]);
  assertEquals([exit.code, JSON.parse(exit.text).err], [3, "sorry\n"]);
  const here = `${daemon.folder}/large`;
  const fetched = await vmsig(["cp", "vm:/tmp/large", here, ...socket]);
  assertEquals([fetched.code, fetched.errors], [0, ""]);
  assertEquals(await Deno.readFile(here), large);
  assertEquals((await vmsig(["cp", here, "vm:/tmp/again", ...socket])).code, 0);
  assertEquals(await guest.vm.agent.read("/tmp/again"), large);
  // Into a folder, there and here; a pipe is not replaced.
  assertEquals((await vmsig(["cp", here, "vm:/tmp/", ...socket])).code, 0);
  await Deno.mkdir(`${daemon.folder}/in`);
  assertEquals((await vmsig(["cp", "vm:/tmp/again", `${daemon.folder}/in`, ...socket])).code, 0);
  assertEquals(await Deno.readFile(`${daemon.folder}/in/again`), large);
  await new Deno.Command("mkfifo", { args: [`${daemon.folder}/fifo`] }).output();
  const pipe = await vmsig(["cp", "vm:/tmp/again", `${daemon.folder}/fifo`, ...socket]);
  assertEquals(pipe.code, 1);
  assertMatch(pipe.errors, /^vmsig: bad-argument: Cannot write .*fifo: it is not a plain file; - writes to/);
  await interrupted(guest, daemon);
  // Without a standard input, and with one that is closed at once.
  for (const stdin of ["<&-", "</dev/null"]) {
    const shell = ["sh", "-c", `exec "$0" "$@" ${stdin}`];
    const closed = await vmsig(["exec", "vm", "--stdin", ...socket, "--", WORKER, "cat"], shell);
    assertEquals([closed.code, closed.text, closed.errors], [0, "", ""], stdin);
  }
  const told = await vmsig(["agent", "vm", "ping", ...socket]);
  assertEquals([told.code, told.text], [0, "vm: its agent answers\n"]);
  // What was run is in the audit trail with its words.
  await until("the log tells it", () => /guest-exec \/bin\/worker echo one two/.test(daemon.logText));
});

/** Ctrl-C ends the wait, tells what the program became, and leaves the agent to the next one. */
async function interrupted({ vm }: AgentGuest, daemon: DaemonProcess): Promise<void> {
  const socket = ["--socket", daemon.socket];
  const waits = startVmsig(["exec", "vm", ...socket, "--", WORKER, "wait", "/tmp/go", "/tmp/started"]);
  await until("it runs", async () => (await vm.agent.list("/tmp")).includes("started"));
  // It asks how it goes once it knows what it started.
  const answers = () => daemon.metric('vmsig_events_total{kind="AGENT_REPLY"}');
  const before = await answers();
  await until("the command knows its process", async () => await answers() >= before + 3);
  waits.kill("SIGINT");
  const { code, stderr } = await waits.output();
  assertEquals(code, 130);
  const pid =
    /^vmsig: Cannot await \/bin\/worker on vm: interrupted; it goes on in the guest as process (\d+)\n$/
      .exec(text(stderr))?.[1];
  assertMatch(await vm.agent.cat(`/proc/${pid}/cmdline`), /worker/);
  await vm.agent.write("/tmp/go", new Uint8Array());
}

Deno.test("agent: without the lease nothing is done, and what an owner leaves is brought to rest", async () => {
  await using guest = await AgentGuest.start();
  await guest.agent();
  await using daemon = await DaemonProcess.start({ config: config(guest.vm) });
  await isUp(daemon);
  await using client = await daemon.connect("asks");
  {
    await using agent = await AgentControl.of(client, "vm");
    await agent.exec(WORKER, ["exit", "0"]);
    await using second = await daemon.connect("other");
    await using other = await AgentControl.of(second, "vm");
    await other.ping();
    assertEquals((await faultOf(other.exec(WORKER, ["exit", "0"]))).code, "busy");
  }
  // A file that a control has open is closed with it: the agent counts its handles up and would keep them.
  {
    await using leaves = await daemon.connect("leaves");
    await using agent = await AgentControl.of(leaves, "vm");
    const reader = agent.readFile("/bin/worker");
    await reader.next();
  }
  await using agent = await AgentControl.of(client, "vm");
  await agent.ping();
});

Deno.test("agent: one that restarts, is stopped, or owes an old answer comes into step again", async () => {
  await using guest = await AgentGuest.start(",id=port0");
  const first = await guest.agent();
  await using daemon = await DaemonProcess.start({ config: config(guest.vm) });
  await isUp(daemon);
  await using client = await daemon.connect("asks");
  await using agent = await AgentControl.of(client, "vm");
  await agent.ping();
  // Somebody else has asked something, and went before the answer came.
  await until("the channel is free", async () => {
    using other = await Deno.connect({ transport: "unix", path: guest.path });
    await other.write(new TextEncoder().encode('{"execute":"guest-info"}\n'));
    return true;
  });
  await agent.ping();
  first.kill();
  await isUp(daemon, false);
  assertStringIncludes((await faultOf(agent.ping())).message, "no agent runs in the guest");
  await guest.agent();
  await isUp(daemon);
  await agent.ping();
});

Deno.test("agent: one that answers garbage, late or twice ends its own command, and the next one is in step", async () => {
  await using guest = await AgentGuest.start(",id=port0");
  await using daemon = await DaemonProcess.start({ config: config(guest.vm) });
  await using client = await daemon.connect("asks");
  await until("the monitor is up", async () => (await client.completeRoster())[0]?.state === "up");
  const garbage: readonly (readonly [string, RegExp])[] = [
    ["garbage", /its answer is not JSON/],
    ["binary", /no agent answers|malformed answer|is not JSON|did not answer/],
    ["long", /larger than its limit|did not answer|no agent answers/],
    ["late", /did not answer in time/],
  ];
  for (const [how, words] of garbage) {
    const liar = await guest.vm.agent.start(WORKER, "liar", "/dev/vport0p1", how);
    await isUp(daemon);
    await using agent = await AgentControl.of(client, "vm");
    assertMatch((await faultOf(agent.info())).message, words, how);
    // Then it tells the truth, to whoever comes into step with it.
    await until(`${how}: it is in step`, async () => {
      try {
        return JSON.stringify(await agent.info()) === '{"version":"liar"}';
      } catch (error) {
        if (error instanceof Fault) return false;
        throw error;
      }
    });
    liar.kill();
    await isUp(daemon, false);
  }
  const twice = await guest.vm.agent.start(WORKER, "liar", "/dev/vport0p1", "twice");
  await isUp(daemon);
  await using agent = await AgentControl.of(client, "vm");
  for (let i = 0; i < 3; i++) assertEquals(await agent.info(), { version: "liar" });
  twice.kill();
});

Deno.test("agent: who is logged in, a reboot, and a guest that shuts itself down", async () => {
  await using guest = await AgentGuest.start(",id=port0");
  await guest.agent();
  await using daemon = await DaemonProcess.start({ config: config(guest.vm) });
  await isUp(daemon);
  const socket = ["--socket", daemon.socket];
  const users = await vmsig(["agent", "vm", "users", ...socket]);
  assertEquals([users.code, users.text], [0, "[]\n"]);
  await using client = await daemon.connect("watches", { sources: ["CORE", "VMHOST"] });
  const { boots } = guest.vm.agent;
  const reboot = await vmsig(["agent", "vm", "reboot", ...socket]);
  assertEquals([reboot.code, reboot.text, reboot.errors], [0, "vm: asked for reboot\n", ""]);
  await guest.vm.agent.ready(boots + 1);
  await guest.agent();
  await isUp(daemon);
  const off = await vmsig(["agent", "vm", "shutdown", ...socket]);
  assertEquals([off.code, off.text, off.errors], [0, "vm: asked for shutdown\n", ""]);
  await until("the VM has ended", () => client.roster.list()[0]?.state !== "up");
  assertMatch(daemon.logText, /guest-shutdown powerdown/);
});
