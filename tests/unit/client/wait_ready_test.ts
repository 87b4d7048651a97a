/**
 * Waiting for a VM that is not there yet, through a real daemon.
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { waitFor } from "../../../src/client/wait.ts";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";
import { ScriptedQmp } from "../../fixtures/scripted_qmp.ts";

Deno.test("ready: a VM that is not there yet is waited for; another wait says that there is none", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("waiter");
  assertEquals((await waitFor(client, "stub0", { ready: true }, { timeoutMs: 60_000 })).name, "stub0");
  const none = await assertRejects(() => waitFor(client, "late", { state: "running" }), Fault);
  assertEquals(none.code, "no-endpoint");
  const told: string[] = [];
  const onAbsent = (text: string) => told.push(text);
  const never = await assertRejects(
    () => waitFor(client, "late", { ready: true }, { timeoutMs: 30, onAbsent }),
    Fault,
  );
  assertEquals([never.code, never.message], [
    "timed-out",
    "Cannot wait for late to be ready: not within 30 ms, in which there was no endpoint late; there are: 0 stub0",
  ]);
  assertEquals(told, ["there was no endpoint late; there are: 0 stub0"]);
  const coming = waitFor(client, "late", { ready: true }, { timeoutMs: 60_000 });
  await using _qemu = new ScriptedQmp(`${daemon.folder}/late.qmp`);
  daemon.drop(
    "late",
    `name = "late"\nqmp = "${daemon.folder}/late.qmp"\nmemory = "none"\ndisplay = "none"\n`,
  );
  assertEquals((await coming).name, "late");
});
