/**
 * What is said of a server that does not let anybody in: with one that says only that.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { NatsLink } from "../../../src/nats/wire/nats_link.ts";

/** A server that answers who comes by one error, and hangs up. */
async function refusal(words: string): Promise<Fault> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using peer = await listener.accept();
    const info = { server_id: "X", version: "2.9.10", proto: 1, max_payload: 1_048_576, headers: true };
    const say = (line: string) => peer.write(new TextEncoder().encode(`${line}\r\n`));
    await say(`INFO ${JSON.stringify(info)}`);
    await peer.read(new Uint8Array(4096));
    await say(`-ERR '${words}'`);
  })();
  const { port } = listener.addr as Deno.NetAddr;
  const fault = await assertRejects(
    () => NatsLink.open({ url: `nats://127.0.0.1:${port}`, as: "alice" }, "test"),
    Fault,
  );
  await serving;
  return fault;
}

Deno.test("who was too slow to say who they are is told so, and not that they are not let in", async () => {
  const slow = await refusal("Authentication Timeout");
  assertEquals(slow.code, "unreachable");
  assertEquals(
    slow.message.replace(/:\d{2,}/, ""),
    "Cannot join NATS at nats://127.0.0.1: the server did not get the credentials in time; try again",
  );
  assertEquals((await refusal("Authorization Violation")).code, "not-admitted");
});
