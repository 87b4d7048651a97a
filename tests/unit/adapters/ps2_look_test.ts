/**
 * How often the room of a PS/2 keyboard is looked at: a look goes by the same monitor, and the key after it
 * has to wait for its answer.
 * @module
 */
import { assertEquals } from "@std/assert";
import { InputAdapter } from "../../../src/adapters/input/input_adapter.ts";
import { QmpInputDriver } from "../../../src/adapters/input/qmp_input_driver.ts";
import { CODE } from "../../../src/base/codes.ts";
import { INPUT_KIND } from "../../../src/event/body_number.ts";
import { QmpLink } from "../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../fixtures/adapter_rig.ts";
import { ScriptedQmp } from "../../fixtures/scripted_qmp.ts";

const KEY_A = 30;

Deno.test("keys that are sent one at a time fill the PS/2 queue further before it is looked at", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-ps2-" });
  try {
    const path = `${dir}/qmp.sock`;
    await using peer = new ScriptedQmp(path);
    // No byte waits: the guest has read all.
    peer.script = ({ execute }) => ({
      value: execute === "human-monitor-command" ? "portb[0x0064] = 0x1c\r\n" : {},
    });
    const looks = () => peer.commands.filter(({ execute }) => execute === "human-monitor-command").length;
    using rig = new AdapterRig((loop) => new InputAdapter(new QmpInputDriver(new QmpLink({ path, loop }))));
    rig.open();
    await rig.event("SEAM_UP");
    await rig.until("the first look", () => looks() === 1);
    // A press is one byte, a release two; sixteen fit, and eight transitions are twelve.
    for (let i = 0; i < 16; i++) {
      const ticket = rig.input({ kind: INPUT_KIND.KEY, code: KEY_A, value: 1 - i % 2 });
      assertEquals((await rig.answered(ticket)).code, CODE.ok);
    }
    await rig.until("the last look", () => looks() >= 3);
    assertEquals(looks(), 3);
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
