/**
 * Waiting for a VM that is not there yet, through a real daemon.
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { Fault } from "../../../src/base/fault.ts";
import { waitFor } from "../../../src/client/wait.ts";
import { DaemonProcess, startVmsig, until, vmsig } from "../../fixtures/daemon_process.ts";
import { ScriptedQmp } from "../../fixtures/scripted_qmp.ts";

Deno.test("wait --ready: a daemon that is not there yet is waited for, and said", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-wait-" });
  try {
    const socket = ["--socket", `${folder}/control.sock`];
    const limited = vmsig(["wait", "stub0", "--ready", "--timeout", "360000", ...socket]);
    const patient = startVmsig(["wait", "stub0", "--ready", ...socket]);
    const errors = patient.stderr.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "" } = await errors.read();
    assertMatch(value, /there is no such socket.*; waiting until it comes \(--timeout MS gives up\)\n$/);
    await using _daemon = await DaemonProcess.start({ stubs: 1, folder });
    const { code, text, errors: none } = await limited;
    assertEquals([code, none], [0, ""]);
    assertMatch(text, /^stub0: ready/);
    assertEquals((await patient.status).code, 0);
    await errors.cancel();
    await patient.stdout.cancel();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("wait --ready: a daemon that was killed leaves its socket, and is waited for as well", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-wait-" });
  try {
    const path = `${folder}/control.sock`;
    // Bound, and nobody listens there any more.
    listenUnix(path, SOCKET.SEQPACKET).close();
    const patient = startVmsig(["wait", "stub0", "--ready", "--socket", path]);
    const errors = patient.stderr.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "" } = await errors.read();
    assertMatch(
      value,
      /no daemon listens there any more.*; waiting until it comes \(--timeout MS gives up\)\n$/,
    );
    await using _daemon = await DaemonProcess.start({ stubs: 1, folder });
    assertEquals((await patient.status).code, 0);
    await errors.cancel();
    await patient.stdout.cancel();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ready: a VM that is not there yet is waited for; another wait says that there is none", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("waiter");
  assertEquals((await waitFor(client, "stub0", { ready: true }, { timeoutMs: 60_000 })).name, "stub0");
  const none = await assertRejects(() => waitFor(client, "late", { state: "running" }), Fault);
  assertEquals(none.code, "no-endpoint");
  const told: string[] = [];
  const onAbsent = (text: string) => told.push(text);
  // A busy machine may need longer than the first waits to know the roster.
  for (let timeoutMs = 30; told.length === 0; timeoutMs *= 4) {
    const never = await assertRejects(
      () => waitFor(client, "late", { ready: true }, { timeoutMs, onAbsent }),
      Fault,
    );
    assertEquals(never.code, "timed-out");
    if (told.length === 0) continue;
    assertEquals(
      never.message,
      `Cannot wait for late to be ready: not within ${timeoutMs} ms, in which there was no endpoint late; there are: 0 stub0`,
    );
  }
  assertEquals(told, ["there was no endpoint late; there are: 0 stub0"]);
  const coming = waitFor(client, "late", { ready: true }, { timeoutMs: 60_000 });
  await using _qemu = new ScriptedQmp(`${daemon.folder}/late.qmp`);
  daemon.drop(
    "late",
    `name = "late"\nqmp = "${daemon.folder}/late.qmp"\nmemory = "none"\ndisplay = "none"\n`,
  );
  assertEquals((await coming).name, "late");
});

Deno.test("state: a VM whose monitor is not up yet is waited for", async () => {
  await using daemon = await DaemonProcess.start({});
  await using client = await daemon.connect("waiter");
  const path = `${daemon.folder}/late.qmp`;
  daemon.drop("late", `name = "late"\nqmp = "${path}"\nmemory = "none"\ndisplay = "none"\n`);
  await until("it is attaching", async () => (await client.completeRoster()).length === 1);
  const down = await assertRejects(() => client.vmState("late"), Fault);
  assertEquals(down.code, "seam-down");
  const coming = waitFor(client, "late", { state: "running" }, { timeoutMs: 360_000 });
  // A question that came behind the wait's own: that one has its answer by then.
  await assertRejects(() => client.vmState("late"), Fault);
  await using qemu = new ScriptedQmp(path);
  const found = await coming;
  assertEquals([found.what, found.what === "state" && found.state], ["state", "running"]);
  assertEquals(qemu.connections, 1);
});
