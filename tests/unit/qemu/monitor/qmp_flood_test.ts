/**
 * A monitor that floods, against the link and the connection alone: down with reason 3, up again after a
 * pause that grows, and never more of the loop's time than its share.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ReadingBudget } from "../../../../src/qemu/monitor/reading_budget.ts";
import { QmpLink, type QmpLinkUser } from "../../../../src/qemu/monitor/qmp_link.ts";
import { FLOOD, type QmpLoss } from "../../../../src/qemu/monitor/qmp_loss.ts";
import { MS, SECOND } from "../../../../src/base/clock.ts";
import { SEAM_REASON } from "../../../../src/event/body_number.ts";
import type { QmpEvent } from "../../../../src/qemu/protocol/qmp_message.ts";
import { VmhostAdapter } from "../../../../src/adapters/vmhost/vmhost_adapter.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

/** Counts what a link tells. */
class Counter implements QmpLinkUser {
  ups = 0;
  readonly losses: QmpLoss[] = [];
  readonly events: string[] = [];

  onLinkUp(): void {
    this.ups++;
  }
  onLinkDown(loss: QmpLoss): void {
    this.losses.push(loss);
  }
  onQmpEvent(event: QmpEvent): void {
    this.events.push(event.name);
  }
}

function line(name: string): string {
  return JSON.stringify({ timestamp: { seconds: 1, microseconds: 2 }, event: name }) + "\r\n";
}

Deno.test("a monitor that floods is ended with reason 3, and comes again; failed disk requests are no flood", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-qmp-" });
  try {
    const path = `${dir}/qmp.sock`;
    await using peer = new ScriptedQmp(path);
    const counter = new Counter();
    let link: QmpLink | undefined;
    using rig = new AdapterRig((loop) => new VmhostAdapter(link = new QmpLink({ path, loop })));
    rig.open();
    await rig.event("SEAM_UP");
    link!.use(counter);
    await rig.until("it to be told that it is up", () => counter.ups > 0);
    assertEquals(counter.ups, 1);
    // Writing waits for reading, which the rig does meanwhile, however long that takes.
    const say = async (text: string) => {
      let isSaid = false;
      const saying = peer.say(text).finally(() => isSaid = true);
      await rig.until("the peer to have said it", () => isSaid);
      await saying;
    };
    for (let i = 0; i < 10; i++) await say(line("BLOCK_IO_ERROR").repeat(1000));
    await say(line("STOP") + line("RESUME"));
    const has = (name: string, count: number) =>
      counter.events.filter((event) => event === name).length === count;
    await rig.until("the last event", () => has("RESUME", 1));
    assert(has("BLOCK_IO_ERROR", 10_000) && has("STOP", 1) && has("RESUME", 1));
    assertEquals(counter.losses, []);
    const flooding = peer.say(line("SUSPEND").repeat(20_000)).catch(() => {});
    await rig.until("the loss", () => counter.losses.length > 0);
    assertEquals(counter.losses.map(({ reason, text }) => [reason, text]), [[
      SEAM_REASON.PROTOCOL_ERROR,
      FLOOD.text,
    ]]);
    assert(counter.events.filter((event) => event === "SUSPEND").length < 10_000);
    await rig.until("it to come again", () => counter.ups >= 2);
    assertEquals(counter.ups, 2, "it comes again");
    await flooding;
    link!.leave(counter);
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("reading takes a slice a turn and a share for good; after some quiet all is there again", () => {
  const budget = new ReadingBudget();
  let nowNs = SECOND;
  let readNs = 0;
  // Reads of 0.3 ms each, as many as it lets, for ten seconds.
  while (nowNs < 11 * SECOND) {
    budget.begin(nowNs);
    const startNs = nowNs;
    do nowNs += 0.3 * MS; while (!budget.isSliceOver(nowNs));
    assert(nowNs - startNs <= 1.3 * MS);
    readNs += nowNs - startNs;
    const resumeNs = budget.end(nowNs);
    nowNs = Math.max(nowNs + 0.1 * MS, resumeNs);
  }
  assert(readNs > 0.5 * SECOND && readNs < 1.2 * SECOND, `${readNs / SECOND} s of ten`);
  nowNs += SECOND;
  budget.begin(nowNs);
  nowNs += 2 * MS;
  assertEquals(budget.end(nowNs), 0);
});
