/** Why an endpoint has no memory context is kept for who comes later, for as long as it is so. */
import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { VM_STATE_NUMBER } from "../../../src/event/body_number.ts";
import { readText } from "../../../src/event/inline_text.ts";
import { KIND, type Kind } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { CoreRig } from "./core_rig.ts";
import type { FakeAdapter } from "./fake_adapter.ts";

function told(rig: CoreRig): string[] {
  rig.settle();
  return rig.join().of("ERROR").map(({ words, endpoint }) =>
    `${endpoint} ${words[0]} ${readText(new Uint8Array(new Uint32Array(words).buffer), 8, 40)}`
  );
}

function say(adapter: FakeAdapter, kind: number, first = 0): void {
  const event = adapter.at.event(kind as Kind);
  event.words[0] = first;
  adapter.at.emit(event);
}

Deno.test("the newest cause is kept, of that seam alone, without what says nothing of it", () => {
  const rig = new CoreRig();
  const [host, memory] = rig.attach(9, SOURCE.VMHOST, SOURCE.MEMCTX);
  assert(host !== undefined && memory !== undefined);
  host.at.emitError(CODE["seam-down"], 1, "the monitor");
  assertEquals(told(rig), []);
  memory.at.emitError(CODE["not-supported"], 0, "older");
  memory.at.emitError(CODE["not-supported"], 0, "newer");
  memory.at.emitError(CODE.dropped, 0, "a flood");
  assertEquals(told(rig), [`9 ${CODE["not-supported"]} newer`]);
  rig.core.forget(9 as EndpointId);
  assertEquals(told(rig), []);
  rig.end();
});

Deno.test("it ends with the seam, a context, or a reset of a VM whose memory can be looked at", () => {
  const rig = new CoreRig();
  const [host, memory] = rig.attach(9, SOURCE.VMHOST, SOURCE.MEMCTX);
  assert(host !== undefined && memory !== undefined);
  const ends: (() => void)[] = [
    () => say(memory, KIND.SEAM_DOWN),
    () => say(memory, KIND.SEAM_UP),
    () => say(memory, KIND.MEMCTX),
    () => say(host, KIND.VM_LIFECYCLE, VM_STATE_NUMBER.RESET),
  ];
  for (const end of ends) {
    memory.at.emitError(CODE["not-supported"], 0, "a cause");
    assertEquals(told(rig).length, 1);
    end();
    assertEquals(told(rig), []);
  }
  // RAM that is not shared is not shared after a reset either.
  say(memory, KIND.SEAM_DOWN);
  memory.at.emitError(CODE["not-supported"], 0, "RAM is not shared");
  say(host, KIND.VM_LIFECYCLE, VM_STATE_NUMBER.RESET);
  say(host, KIND.VM_LIFECYCLE, VM_STATE_NUMBER.RUNNING);
  assertEquals(told(rig).length, 1);
  rig.end();
});
