/** Questions about memory go to a thread: its faults come back, and nobody waits for one that ended. */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { MemoryThread } from "../../../src/client/cli/mem_thread.ts";
import { FakeDaemon } from "../client/fake_daemon.ts";

const question = { user: "alice", name: "nats alice: test", endpoint: "web" };

Deno.test("what is wrong with a question is told by its thread, one after the other", async () => {
  using thread = new MemoryThread("/nowhere/control.sock");
  const bad = await assertRejects(() => thread.ask({ ...question, body: { words: [] } }), Fault);
  assertEquals(bad.code, "protocol-error");
  const away = await assertRejects(
    () => thread.ask({ ...question, body: { words: ["ps"], options: {} } }),
    Fault,
  );
  assertEquals(away.code, "unreachable");
  const both = await Promise.allSettled(
    ["find", "dump"].map((word) => thread.ask({ ...question, body: { words: [word, "x"], options: {} } })),
  );
  assertEquals(both.map((each) => each.status === "rejected" && each.reason.code), [
    "not-supported",
    "not-supported",
  ]);
});

Deno.test("a host that leaves answers what is open, and a thread that ended begins anew", async () => {
  await using daemon = new FakeDaemon({ mute: true });
  const thread = new MemoryThread(daemon.path);
  const asked = assertRejects(() => thread.ask({ ...question, body: { words: ["ps"], options: {} } }), Fault);
  while (daemon.peers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  thread[Symbol.dispose]();
  assertEquals((await asked).code, "timed-out");
  const again = await assertRejects(() => thread.ask({ ...question, body: {} }), Fault);
  assertEquals(again.code, "protocol-error");
  thread[Symbol.dispose]();
});
