/** Who shows a VM's screen asks for pictures when the roster says that they can be had, and no more often. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Client } from "../../../src/client/client.ts";
import { DisplayPatience } from "../../../src/client/display_patience.ts";
import { RosterView } from "../../../src/client/roster_view.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { Fault } from "../../../src/base/fault.ts";

/** A roster that tells of each change, as a client's streams do. */
class FakeClient {
  readonly roster = new RosterView();
  /** Streams that are open. */
  open = 0;
  fault: Fault | undefined;
  #wake = Promise.withResolvers<boolean>();

  events() {
    if (this.fault !== undefined) throw this.fault;
    this.open++;
    const ended = Promise.withResolvers<boolean>();
    return {
      end: () => ended.resolve(false),
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: !(await Promise.race([this.#wake.promise, ended.promise])), value: {} }),
      }),
      [Symbol.asyncDispose]: () => {
        this.open--;
        return Promise.resolve();
      },
    };
  }

  /** The VM is so from now on. */
  tell(state: string, seams: string[] = []): void {
    this.roster.put({ endpoint: 1 as EndpointId, name: "vm", state, seams, pid: 0, vmid: 1 });
    const wake = this.#wake;
    this.#wake = Promise.withResolvers<boolean>();
    wake.resolve(true);
  }
}

function patienceOf(client: FakeClient): DisplayPatience {
  return new DisplayPatience(client as unknown as Client, "vm");
}

Deno.test("display patience: waits for the FRAME seam, and says once what is missing", async () => {
  const client = new FakeClient();
  const patience = patienceOf(client);
  const { signal } = new AbortController();
  const told: string[] = [];
  const waitFor = () => patience.untilThere(signal, (why) => told.push(why));
  let isThere = false;
  const waiting = waitFor().then(() => isThere = true);
  client.tell("attaching");
  client.tell("up", ["vmhost", "input"]);
  assert(!isThere);
  client.tell("up", ["vmhost", "frame"]);
  await waiting;
  assertEquals(told.length, 1);
  assertMatch(told[0] ?? "", /no endpoint vm/);
  // It is there: nothing is waited for, and no stream opened.
  await waitFor();
  assertEquals([told.length, client.open], [1, 0]);
  client.tell("attaching");
  const again = waitFor();
  assertMatch(told[1] ?? "", /^Cannot show the screen of vm: the VM is attaching$/);
  client.tell("up", ["frame"]);
  await again;
  client.tell("up", ["vmhost"]);
  const ending = new AbortController();
  const left = patience.untilThere(ending.signal, (why) => told.push(why));
  assertMatch(told[2] ?? "", /it has no display$/);
  ending.abort();
  await left;
  assertEquals(client.open, 0);
});

Deno.test("display patience: a rest ends with its time, with the seam's coming or going, and with who rests", async () => {
  const client = new FakeClient();
  const patience = patienceOf(client);
  const { signal } = new AbortController();
  client.tell("up", ["frame"]);
  // Two failures: the first rest takes its time, the second one would take twice as long.
  await patience.rest(signal);
  const second = patience.rest(signal);
  client.tell("down");
  await second;
  const third = patience.rest(signal);
  client.tell("up", ["frame"]);
  await third;
  const ending = new AbortController();
  const fourth = patience.rest(ending.signal);
  ending.abort();
  await fourth;
  // Without a connection nothing is told: it rests all the same, and does not fail.
  client.fault = new Fault("unreachable", "Cannot go on: the daemon has gone");
  patience.onPicture();
  await patience.rest(signal);
  assertEquals(client.open, 0);
});
