/**
 * The end of a migration: QEMU tells of it (MIGRATION, completed) a moment before its run state is the last
 * one, and of that change it tells nothing.
 */
import { assertEquals } from "@std/assert";
import { VmhostAdapter } from "../../../../src/adapters/vmhost/vmhost_adapter.ts";
import { MIGRATION_WAY, VM_STATE_NUMBER } from "../../../../src/event/body_number.ts";
import { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { type ScriptedCommand, ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

Deno.test("migration: a VM that has left is told so, when its run state says it only after the event", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-qmp-" });
  try {
    const path = `${dir}/qmp.sock`;
    await using peer = new ScriptedQmp(path);
    peer.script = ({ execute }) => ({ value: execute === "query-migrate" ? { status: "completed" } : {} });
    using rig = new AdapterRig((loop) => new VmhostAdapter(new QmpLink({ path, loop })));
    rig.open();
    await rig.event("SEAM_UP");
    peer.status = "finish-migrate";
    await peer.event("STOP");
    await peer.event("MIGRATION", { status: "completed" });
    await rig.event("MIGRATION");
    // Asked again and again while it is behind.
    const asked = () => peer.commands.filter(({ execute }) => execute === "query-status").length;
    const before = asked();
    while (asked() < before + 3) await rig.forMs(20);
    peer.status = "postmigrate";
    const ways = () => rig.of("VM_LIFECYCLE").map(({ fields }) => [fields["state"], fields["migration"]]);
    while (ways().at(-1)?.[1] !== MIGRATION_WAY.LEFT) await rig.forMs(20);
    assertEquals(ways().at(-1), [VM_STATE_NUMBER.PAUSED, MIGRATION_WAY.LEFT]);
    await rig.forMs(300);
    const settled = asked();
    await rig.forMs(300);
    assertEquals(asked(), settled, "and is not asked any more");
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("migration: one that goes on while the end of the last is still checked is followed further", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-qmp-" });
  try {
    const path = `${dir}/qmp.sock`;
    await using peer = new ScriptedQmp(path);
    using rig = new AdapterRig((loop) => new VmhostAdapter(new QmpLink({ path, loop })));
    rig.open();
    await rig.event("SEAM_UP");
    // From now on the test answers both questions itself, in the order that it needs.
    const held: ScriptedCommand[] = [];
    let status = "completed";
    peer.scriptsStatus = true;
    peer.script = (command) => {
      if (command.execute === "query-migrate" && status === "completed") return { value: { status } };
      held.push(command);
      return undefined;
    };
    const heldOne = async (name: string): Promise<ScriptedCommand> => {
      while (held.at(-1)?.execute !== name) await rig.forMs(20);
      return held.at(-1)!;
    };
    const answer = (command: ScriptedCommand, value: object) =>
      peer.say(JSON.stringify({ return: value, id: command.id }) + "\r\n");
    await peer.event("MIGRATION", { status: "completed" });
    const runState = await heldOne("query-status");
    status = "active";
    await peer.event("MIGRATION", { status: "active" });
    const progress = await heldOne("query-migrate");
    await answer(runState, { status: "finish-migrate", running: false });
    while (rig.of("VM_LIFECYCLE").at(-1)?.fields["migration"] !== MIGRATION_WAY.OUTGOING) await rig.forMs(20);
    const before = held.length;
    await answer(progress, { status: "active", ram: { transferred: 1, total: 3, remaining: 2 } });
    while (held.length === before) await rig.forMs(20);
    assertEquals(
      held.slice(before).map(({ execute }) => execute),
      ["query-migrate"],
      "its progress is asked",
    );
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
