/**
 * Who asks for a console, or for the guest's agent, of a VM that has just appeared: its monitor tells in a
 * moment, and until then the question waits; it is refused as soon as it is known that nothing will come.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { AgentAdapter } from "../../../../src/adapters/agent/agent_adapter.ts";
import { EarlyRequests, MAX_EARLY_REQUESTS } from "../../../../src/adapters/channel/early_requests.ts";
import { ConsoleAdapter } from "../../../../src/adapters/console/console_adapter.ts";
import { NEVER, SECOND } from "../../../../src/base/clock.ts";
import { CODE } from "../../../../src/base/codes.ts";
import type { ControlId } from "../../../../src/base/ids.ts";
import type { Adapter } from "../../../../src/core/adapter_port.ts";
import { AGENT_OP } from "../../../../src/event/agent_op.ts";
import { AGENT_REQUEST, CONSOLE_REQUEST } from "../../../../src/event/body_layout.ts";
import { CONSOLE_OP } from "../../../../src/event/body_number.ts";
import { KIND } from "../../../../src/event/kind.ts";
import { EventPool } from "../../../../src/event/transfer_event.ts";
import { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

class Scene implements AsyncDisposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "vmsig-early-" });
  readonly rig: AdapterRig;
  peer: ScriptedQmp | undefined;

  constructor(make: (link: QmpLink) => Adapter, isThere: boolean) {
    const path = `${this.folder}/qmp`;
    if (isThere) this.peer = new ScriptedQmp(path);
    this.rig = new AdapterRig((loop) => make(new QmpLink({ path, loop })));
    this.rig.open();
  }

  list(control: number): number {
    return this.rig.command(KIND.CMD_CONSOLE, (event) => {
      event.origin = control as ControlId;
      event.words[CONSOLE_REQUEST.at.op / 4] = CONSOLE_OP.LIST;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig.close();
    this.rig[Symbol.dispose]();
    await this.peer?.[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

const consoles = (link: QmpLink) => new ConsoleAdapter(link, false);

Deno.test("console: what is asked before the monitor is up is answered when it has told", async () => {
  await using scene = new Scene(consoles, true);
  const { rig } = scene;
  const tickets = [scene.list(1), scene.list(2)] as const;
  const gone = scene.list(3);
  rig.adapter.controlGone?.(3 as ControlId);
  const kinds = [];
  for (const ticket of tickets) kinds.push((await rig.answered(ticket)).reply?.kind);
  assertEquals(kinds, ["CONSOLE_LIST", "CONSOLE_LIST"]);
  assertEquals(rig.answer(gone), undefined, "nobody waits for it");
  // From then on there is nothing to wait for.
  assertEquals(rig.answer(scene.list(1))?.reply?.kind, "CONSOLE_LIST");
});

Deno.test("console: it is refused at once where no monitor is, and in the end where one says nothing", async () => {
  {
    await using scene = new Scene(consoles, false);
    assertEquals((await scene.rig.answered(scene.list(1))).code, CODE["seam-down"]);
    // That it is down is known by then.
    const ticket = scene.list(1);
    const { code, words } = await scene.rig.answered(ticket);
    assertEquals(code, CODE["seam-down"]);
    assertMatch(words, /^there is no QMP socket at its path: /);
  }
  await using scene = new Scene(consoles, true);
  assert(scene.peer !== undefined);
  scene.peer.greets = false;
  const { code, words } = await scene.rig.answered(scene.list(1));
  assertEquals(code, CODE["seam-down"]);
  assertMatch(words, /^no QMP greeting: .*; it is used as soon as it is free$/);
});

Deno.test("agent: a question waits for the monitor, and one without a monitor says nothing of channels", async () => {
  const ping = (rig: AdapterRig, control = 1) =>
    rig.command(KIND.CMD_AGENT, (event) => {
      event.origin = control as ControlId;
      event.words[AGENT_REQUEST.at.op / 4] = AGENT_OP.PING;
    });
  {
    await using scene = new Scene((link) => new AgentAdapter(link), true);
    const { code, words } = await scene.rig.answered(ping(scene.rig));
    assertEquals(code, CODE["not-supported"]);
    assertMatch(words, /no channel for a guest agent/);
  }
  {
    await using scene = new Scene((link) => new AgentAdapter(link), true);
    const { rig } = scene;
    const gone = ping(rig, 3);
    const kept = ping(rig, 1);
    rig.adapter.controlGone?.(3 as ControlId);
    assertEquals((await rig.answered(kept)).code, CODE["not-supported"]);
    assertEquals(rig.answer(gone), undefined, "nobody waits for it");
  }
  await using scene = new Scene((link) => new AgentAdapter(link), false);
  const { code, words } = await scene.rig.answered(ping(scene.rig));
  assertEquals(code, CODE["seam-down"]);
  assertMatch(words, /^there is no QMP socket at its path: /);
});

Deno.test("early requests: no more than a bound, each once, released when it is taken out", () => {
  const pool = new EventPool();
  const early = new EarlyRequests();
  const events = Array.from({ length: MAX_EARLY_REQUESTS + 1 }, (_, i) => {
    const event = pool.acquire();
    event.ticket = i + 1;
    event.origin = (i % 2) as ControlId;
    return event;
  });
  assertEquals(early.deadlineNs, NEVER);
  const kept = events.map((event, i) => early.keep(event, i * SECOND));
  assertEquals(kept.indexOf(false), MAX_EARLY_REQUESTS);
  for (const event of events) event.release();
  assertEquals(pool.live, MAX_EARLY_REQUESTS, "what waits is kept by a reference of its own");
  const taken: number[] = [];
  early.takeDue(early.deadlineNs, ({ ticket }) => taken.push(ticket));
  early.drop(({ origin }) => origin === 0);
  early.takeAll(({ ticket }) => taken.push(ticket));
  early.takeAll(() => assert(false, "each is taken once"));
  assertEquals(taken.slice(0, 3), [1, 2, 4]);
  assertEquals([taken.length, pool.live, early.deadlineNs], [1 + MAX_EARLY_REQUESTS / 2, 0, NEVER]);
});
