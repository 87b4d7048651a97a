/** Commands that await their answers: one timer for all, each with its own time. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { EndpointId } from "../../../src/base/ids.ts";
import { Fault } from "../../../src/base/fault.ts";
import { PendingCommands } from "../../../src/client/pending_commands.ts";

const VM = 0 as EndpointId;

Deno.test("each command is given up at its own time, whichever was sent first", async () => {
  const pending = new PendingCommands();
  const order: string[] = [];
  const wait = async (name: string, timeoutMs: number): Promise<void> => {
    const corr = pending.nextCorr();
    const fault = await assertRejects(() => pending.wait(corr, VM, name, timeoutMs, undefined), Fault);
    assertEquals([fault.code, fault.corr], ["timed-out", corr]);
    order.push(name);
  };
  const begun = performance.now();
  await Promise.all([wait("c", 120), wait("a", 20), wait("b", 60), wait("a2", 20)]);
  assertEquals(order, ["a", "a2", "b", "c"]);
  // Never before its time; how long after it depends on the machine.
  assert(performance.now() - begun >= 118);
  assertEquals(pending.size, 0);
});

Deno.test("what waits for ever does, and leaves no timer when nobody is asked any more", async () => {
  const pending = new PendingCommands();
  const endless = pending.wait(pending.nextCorr(), VM, "claim", Infinity, undefined);
  const soon = pending.wait(pending.nextCorr(), VM, "ask", 20, undefined);
  await assertRejects(() => soon, Fault, "no answer within 20 ms");
  assertEquals(pending.size, 1);
  const later = pending.wait(pending.nextCorr(), VM, "ask", 60_000, undefined);
  // The test's runner finds a timer that is left.
  pending.failAll(new Fault("unreachable", "the client was closed"));
  for (const each of [endless, later]) await assertRejects(() => each, Fault, "the client was closed");
});

Deno.test("a command that was never sent leaves nothing; a signal gives one up", async () => {
  const pending = new PendingCommands();
  const unsent = pending.nextCorr();
  void pending.wait(unsent, VM, "send", 60_000, undefined);
  pending.forget(unsent);
  const stop = new AbortController();
  const asked = pending.wait(pending.nextCorr(), VM, "ask", Infinity, stop.signal);
  stop.abort();
  const fault = await assertRejects(() => asked, Fault);
  assertEquals(fault.code, "interrupted");
  assertEquals(pending.size, 0);
});
