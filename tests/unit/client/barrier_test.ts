/** `client.barrier()` and what rests on it, with a daemon that knows it and with an older one. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../../../src/base/ids.ts";
import type { Client } from "../../../src/client/client.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { connect } from "../../../src/client/connect.ts";
import { ACT_ACK } from "../../../src/event/body_layout.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { FakeDaemon, type Peer, type Script } from "./fake_daemon.ts";

const BARRIER = 112;

/** A daemon that knows the barrier. */
function newer(script: Script = {}, held = 0): Script {
  return {
    ...script,
    welcome: { caps: ALL_CAPS, ...script.welcome, kinds: 113 },
    onCommand: (command, peer) => {
      if (command.kind === BARRIER) answer(command, peer, held);
      else script.onCommand?.(command, peer);
    },
  };
}

function answer(command: ClientEvent, peer: Peer, held: number): void {
  peer.send(KIND.ACT_ACK, (event) => {
    event.endpoint = NO_ENDPOINT;
    event.source = SOURCE.CORE;
    event.prio = 0;
    event.corr = command.corr;
    event.words[ACT_ACK.at.ok / 4] = 1;
    event.words[ACT_ACK.at.cmdKind / 4] = BARRIER;
    event.words[ACT_ACK.at.detail / 4] = held;
  });
}

async function withClient(
  script: Script,
  body: (client: Client, daemon: FakeDaemon) => Promise<void>,
): Promise<void> {
  await using daemon = new FakeDaemon(script);
  await using client = await connect({ socket: daemon.path, name: "tester" });
  await body(client, daemon);
}

Deno.test("a barrier: what came before its answer is in the streams, and held sources have their names", async () => {
  const script: Script = { endpoints: ["alpha"] };
  await withClient(newer(script, (1 << SOURCE.FRAME) | (1 << SOURCE.CORE)), async (client, daemon) => {
    const stream = client.events({ kinds: ["VM_LIFECYCLE"] });
    daemon.peer.send(
      KIND.VM_LIFECYCLE,
      (event) => (event.endpoint = (0) as EndpointId) as EndpointId,
    ) as EndpointId;
    assertEquals(await client.barrier(), ["FRAME", "CORE"]);
    assertEquals(stream.buffered, 1);
    assertEquals(
      daemon.peer.commands.map(({ kind, endpoint, inline }) => [kind, endpoint, inline.some(Boolean)]),
      [
        [BARRIER, NO_ENDPOINT, false],
      ],
    );
    await stream.return();
  });
  await withClient(newer(script), async (client) => assertEquals(await client.barrier(), []));
});

Deno.test("the roster is whole by one barrier, whatever the grant: nothing is asked of a VM", async () => {
  for (const caps of [ALL_CAPS, CAP.ROSTER]) {
    await withClient(newer({ endpoints: ["alpha", "beta"], welcome: { caps } }), async (client, daemon) => {
      assertEquals((await client.completeRoster()).map(({ name }) => name), ["alpha", "beta"]);
      assertEquals(daemon.peer.commands.map(({ kind }) => kind), [BARRIER]);
    });
  }
});

Deno.test("an older daemon is never sent the kind that would end the connection", async () => {
  await withClient(
    { endpoints: ["alpha"], onCommand: (command, peer) => peer.ack(command) },
    async (client, daemon) => {
      assertEquals(client.knowsKind(KIND.CMD_BARRIER), false);
      const fault = await assertRejects(() => client.barrier(), Fault) as Fault;
      assertEquals(fault.code, "not-supported");
      assertEquals((await client.completeRoster()).length, 1);
      assertEquals(daemon.peer.commands.map(({ kind }) => kind), [KIND.CMD_QUERY_INPUT]);
      assert(client.knowsKind(KIND.CMD_VM));
    },
  );
});

Deno.test("a barrier that is not answered: timed out; a daemon that goes: unreachable; one that refuses: its code", async () => {
  const silent: Script = { ...newer(), onCommand: () => {} };
  await withClient(silent, async (client, daemon) => {
    const late = await assertRejects(() => client.barrier({ timeoutMs: 20 }), Fault) as Fault;
    assertEquals(late.code, "timed-out");
    const gone = assertRejects(() => client.barrier(), Fault);
    daemon.drop(daemon.peer);
    assertEquals((await gone as Fault).code, "unreachable");
  });
  const busy: Script = { ...newer(), onCommand: (command, peer) => peer.ack(command, 18) };
  await withClient(busy, async (client) => {
    assertEquals((await assertRejects(() => client.barrier(), Fault) as Fault).code, "busy");
  });
});
