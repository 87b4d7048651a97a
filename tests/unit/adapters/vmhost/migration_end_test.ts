/**
 * The end of a migration: QEMU tells of it (MIGRATION, completed) a moment before its run state is the last
 * one, and of that change it tells nothing.
 */
import { assertEquals } from "@std/assert";
import { VmhostAdapter } from "../../../../src/adapters/vmhost/vmhost_adapter.ts";
import { MIGRATION_WAY, VM_STATE_NUMBER } from "../../../../src/event/body_number.ts";
import { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

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
