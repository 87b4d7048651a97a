/**
 * The monitor's input driver and a reset while it asks whether the guest uses its tablet: the answer
 * describes the system before the reset, and decides nothing.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { InputAdapter } from "../../../src/adapters/input/input_adapter.ts";
import { QmpInputDriver } from "../../../src/adapters/input/qmp_input_driver.ts";
import { CODE } from "../../../src/base/codes.ts";
import { INPUT_KIND } from "../../../src/event/body_number.ts";
import { QmpLink } from "../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../fixtures/adapter_rig.ts";
import { type ScriptedCommand, ScriptedQmp } from "../../fixtures/scripted_qmp.ts";

const TABLET = { name: "QEMU HID Tablet", index: 3, absolute: true, current: true };
const MOUSE = { name: "QEMU PS/2 Mouse", index: 2, absolute: false, current: true };

Deno.test("an answer about the tablet that was asked for before a reset does not count after it", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-tablet-" });
  try {
    const path = `${dir}/qmp.sock`;
    await using peer = new ScriptedQmp(path);
    const asked: ScriptedCommand[] = [];
    peer.script = (command) => {
      if (command.execute !== "query-mice") return { value: {} };
      asked.push(command);
      return undefined;
    };
    const answer = async (i: number, value: unknown): Promise<void> =>
      await peer.say(JSON.stringify({ return: value, id: asked[i]?.id }) + "\r\n");
    using rig = new AdapterRig((loop) => new InputAdapter(new QmpInputDriver(new QmpLink({ path, loop }))));
    rig.open();
    await rig.event("SEAM_UP");
    const ticket = rig.input({ kind: INPUT_KIND.ABS, code: 0, value: 100 });
    await rig.until("the question", () => asked.length === 1);
    await peer.event("RESET");
    await answer(0, [TABLET]);
    await rig.until("the second question", () => asked.length === 2 || rig.answer(ticket) !== undefined);
    await answer(1, [MOUSE]);
    const { code, words } = await rig.answered(ticket);
    assertEquals(code, CODE.refused);
    assertMatch(words, /no tablet/);
    assertEquals(peer.commands.filter(({ execute }) => execute === "input-send-event").length, 0);
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
