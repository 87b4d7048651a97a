/**
 * Runs inside a guest, whose kernel has uinput: the INPUT adapter with its uinput driver carries out a list
 * of frames. One line a frame, "verdict CODE"; at the end "done". What arrives is read back by evrec in the
 * same guest.
 * @module
 */
import { InputAdapter } from "../../src/adapters/input/input_adapter.ts";
import { UinputDriver } from "../../src/adapters/input/uinput_driver.ts";
import { LEASE_CLASS } from "../../src/event/body_number.ts";
import { AdapterRig, type InputRecord } from "../fixtures/adapter_rig.ts";

const frames = JSON.parse(Deno.readTextFileSync(Deno.args[0] ?? "")) as InputRecord[][];
using rig = new AdapterRig(() => new InputAdapter(new UinputDriver()));
rig.open();
console.log(
  rig.events.map((event) => `${event.kind} ${event.fields["reason"] ?? event.fields["text"]}`).join(" "),
);
// The recorder opens the devices when it hears of them; the host says when it has.
await Deno.stdin.read(new Uint8Array(16));
for (const records of frames) {
  const answer = await rig.answered(rig.input(...records), 180_000);
  console.log(`verdict ${answer.code}`);
}
let neutral = false;
rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => neutral = true);
await rig.until("the release", () => neutral);
await rig.close();
console.log("done");
