/**
 * A memory that cannot be looked at: the cause that the daemon told is told at once, whatever the time that
 * one would wait.
 */
import type { EndpointId } from "../../../src/base/ids.ts";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { Client } from "../../../src/client/client.ts";
import { connect } from "../../../src/client/connect.ts";
import { GuestView } from "../../../src/client/guest_view.ts";
import { ROSTER_STATE, SEAM_REASON, VM_STATE_NUMBER } from "../../../src/event/body_number.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { FakeDaemon, type Peer, type Script } from "./fake_daemon.ts";

const NOT_SUPPORTED = CODE["not-supported"];
const WITHOUT_MEMORY = (1 << SOURCE.VMHOST) | (1 << SOURCE.INPUT);
/** Longer than anybody waits for a test: what ends before it was not waited for. */
const FOR_EVER_MS = 3_600_000;

const script: Script = { endpoints: ["alpha"], onCommand: (command, peer) => peer.ack(command) };

async function withClient(
  body: (client: Client, peer: Peer) => Promise<void>,
  more: Script = {},
): Promise<void> {
  await using daemon = new FakeDaemon({ ...script, ...more });
  await using client = await connect({ socket: daemon.path, name: "tester" });
  await body(client, daemon.peer);
}

async function refusal(client: Client, timeoutMs = FOR_EVER_MS): Promise<[string, string]> {
  const fault = await assertRejects(() => GuestView.open(client, "alpha", { timeoutMs }), Fault);
  return [fault.code, fault.message];
}

async function heard(client: Client, peer: Peer): Promise<void> {
  const next = client.next({ kinds: ["CURSOR_STATE"] });
  peer.send(KIND.CURSOR_STATE);
  (await next)[Symbol.dispose]();
}

Deno.test("a seam that the endpoint has not is told without waiting", async () => {
  await withClient(async (client, peer) => {
    peer.roster(0, "alpha", 2, WITHOUT_MEMORY);
    await heard(client, peer);
    const [code, text] = await refusal(client);
    assertEquals(code, "seam-down");
    assertMatch(text, /memory seam is down: vmsig probe/);
  });
});

Deno.test("no capability for memory is told without waiting", async () => {
  await withClient(async (client) => {
    assertEquals((await refusal(client))[0], "no-capability");
  }, { welcome: { caps: ALL_CAPS & ~CAP.MEMCTX } });
});

Deno.test("what the daemon says of the cause is told: when it was said before, when it is said meanwhile", async () => {
  await withClient(async (client, peer) => {
    const waiting = refusal(client);
    peer.error(0, NOT_SUPPORTED, 0, "not supported: Linux 5.10", SOURCE.MEMCTX);
    assertMatch((await waiting)[1], /alpha: not supported: Linux 5\.10 /);
    assertEquals((await refusal(client))[0], "not-supported");
    // That a flood is folded is no cause; what another seam says is none either.
    peer.error(0, CODE.dropped, 0, "many events", SOURCE.MEMCTX);
    peer.error(0, NOT_SUPPORTED, 0, "of the keyboard", SOURCE.INPUT);
    await heard(client, peer);
    assertMatch((await refusal(client))[1], /Linux 5\.10/);
  });
});

Deno.test("a cause is over when the seam comes or goes, the VM is reset, or a context comes", async () => {
  const ends: ((peer: Peer) => void)[] = [
    (peer) => peer.send(KIND.SEAM_UP, (event) => event.source = SOURCE.MEMCTX),
    (peer) => peer.send(KIND.SEAM_DOWN, (event) => event.source = SOURCE.MEMCTX),
    (peer) => peer.send(KIND.VM_LIFECYCLE, (event) => event.words[0] = VM_STATE_NUMBER.RESET),
    (peer) => peer.send(KIND.MEMCTX),
    (peer) => peer.roster(0, "alpha", 0),
  ];
  for (const end of ends) {
    await withClient(async (client, peer) => {
      peer.error(0, NOT_SUPPORTED, 0, "not supported: Linux 5.10", SOURCE.MEMCTX);
      await heard(client, peer);
      assertEquals(client.memory.trouble(0 as EndpointId), {
        code: "not-supported",
        text: "not supported: Linux 5.10",
        isOfMonitor: false,
      });
      end(peer);
      await heard(client, peer);
      assertEquals(client.memory.trouble(0 as EndpointId), undefined);
    });
  }
  await withClient(async (client, peer) => {
    await heard(client, peer);
    assertMatch((await refusal(client, 50))[1], /may still be starting/);
    peer.send(KIND.MEMCTX);
    await heard(client, peer);
    assertEquals(client.memory.hasContext(0 as EndpointId), true);
    peer.send(KIND.MEMCTX_INVALIDATED);
    await heard(client, peer);
    assertEquals(client.memory.hasContext(0 as EndpointId), false);
  });
});

Deno.test("a monitor that is not there is told without waiting, until the VM is up", async () => {
  await withClient(async (client, peer) => {
    const lost = () =>
      peer.error(0, CODE["seam-down"], SEAM_REASON.PROCESS_GONE, "nobody listens", SOURCE.MEMCTX);
    peer.roster(0, "alpha", ROSTER_STATE.ATTACHING);
    lost();
    await heard(client, peer);
    const words =
      'Cannot examine the memory of alpha: nobody listens; "vmsig vm alpha query" tells what to do';
    assertEquals(await refusal(client), ["seam-down", words]);
    peer.roster(0, "alpha", ROSTER_STATE.UP);
    await heard(client, peer);
    assertEquals(client.memory.trouble(0 as EndpointId), undefined);
    // What the daemon has kept from before comes behind the roster.
    lost();
    await heard(client, peer);
    assertEquals(client.memory.trouble(0 as EndpointId), undefined);
  });
});
