/**
 * The INPUT adapter on QEMUs without a system: QEMU's verdicts, resets, stops, and what a killed daemon
 * leaves behind. What a guest receives is input_qmp.test.ts's.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { HeldFile } from "../../src/adapters/input/held_file.ts";
import { InputAdapter } from "../../src/adapters/input/input_adapter.ts";
import { QmpInputDriver } from "../../src/adapters/input/qmp_input_driver.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import { CODE } from "../../src/base/codes.ts";
import { SILENT } from "../../src/base/log.ts";
import { INPUT_KIND, LEASE_CLASS, SEAM_REASON } from "../../src/event/body_number.ts";
import { KIND } from "../../src/event/kind.ts";
import { AdapterRig, type InputRecord } from "../fixtures/adapter_rig.ts";
import { type Qemu, startFirmware } from "./qemu.ts";

const { ABS, REL, BTN, KEY, SCROLL } = INPUT_KIND;

interface Inputs {
  readonly rig: AdapterRig;
  readonly link: QmpLink;
}

function inputOf(vm: Qemu, socket: number, heldPath?: string): Inputs {
  let link: QmpLink | undefined;
  const rig = new AdapterRig((loop) => {
    link = new QmpLink({ path: vm.qmpPaths[socket] ?? "", loop });
    const store = heldPath === undefined ? undefined : new HeldFile(heldPath, SILENT);
    return new InputAdapter(new QmpInputDriver(link), store);
  }).open();
  assert(link !== undefined);
  return { rig, link };
}

async function code(rig: AdapterRig, ...records: InputRecord[]): Promise<number> {
  return (await rig.answered(rig.input(...records))).code;
}

function held(rig: AdapterRig): unknown {
  return rig.answer(rig.command(KIND.CMD_QUERY_INPUT, () => {}))?.reply?.fields["count"];
}

async function tell({ rig, link }: Inputs, command: string): Promise<void> {
  let done = false;
  link.execute(command, undefined, () => done = true, { timeoutNs: 1e10 });
  await rig.until(command, () => done);
}

async function finalized(rig: AdapterRig): Promise<void> {
  let done = false;
  rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done = true);
  await rig.until("the release", () => done);
}

const SHIFT: InputRecord = { kind: KEY, code: 42, value: 1 };

Deno.test("QEMU's verdict on input: no tablet is refused, a mouse and a keyboard are there", async () => {
  await using vm = await startFirmware();
  using rig = inputOf(vm, 0).rig;
  assertEquals((await rig.event("SEAM_UP")).fields["pid"], vm.pid);
  assertEquals(await code(rig, { kind: ABS, code: 0, value: 1 }), CODE.refused);
  // The whole frame is refused before its first key goes.
  assertEquals(
    await code(rig, SHIFT, { kind: ABS, code: 0, value: 1 }, { kind: KEY, code: 30, value: 1 }),
    CODE.refused,
  );
  assertEquals(held(rig), 0);
  assertEquals(await code(rig, { kind: REL, code: 0, value: 1 }), CODE.ok);
  assertEquals(await code(rig, { kind: BTN, code: 0x111, value: 1 }), CODE.ok);
  assertEquals(await code(rig, { kind: SCROLL, code: 1, scroll: 3 }), CODE.ok);
  assertEquals(await code(rig, { kind: KEY, code: 183, value: 1 }), CODE["bad-argument"], "QEMU has no F13");
  assertEquals(held(rig), 1);
  await rig.close();
});

Deno.test("a tablet that the guest does not use is an error and not silence, USB and virtio; so is none", async () => {
  const move: InputRecord = { kind: ABS, code: 0, value: 1 };
  for (
    const [args, words] of [
      [[], /no tablet.*-device virtio-tablet-pci/],
      [["-usb", "-device", "usb-tablet"], /guest does not use its tablet/],
      [["-device", "virtio-tablet-pci"], /guest does not use its tablet/],
    ] as const
  ) {
    await using vm = await startFirmware({ extraArgs: [...args] });
    using rig = inputOf(vm, 0).rig;
    await rig.event("SEAM_UP");
    const answer = await rig.answered(rig.input(move));
    assertEquals(answer.code, CODE.refused, args.join(" "));
    assertMatch(answer.words, words);
    await rig.close();
  }
});

Deno.test("a key while the VM is paused: the answer has QEMU's words", async () => {
  await using vm = await startFirmware();
  const inputs = inputOf(vm, 0);
  using rig = inputs.rig;
  await rig.event("SEAM_UP");
  await tell(inputs, "stop");
  const answer = await rig.answered(rig.input(SHIFT));
  assertEquals([answer.code, answer.words], [CODE.refused, "VM not running"]);
  await rig.close();
});

Deno.test("a VM that stands still refuses input; what is held is released when it runs", async () => {
  await using vm = await startFirmware();
  const inputs = inputOf(vm, 0);
  using rig = inputs.rig;
  await rig.event("SEAM_UP");
  assertEquals(await code(rig, SHIFT), CODE.ok);
  await tell(inputs, "stop");
  assertEquals(await code(rig, { kind: KEY, code: 42, value: 0 }), CODE.refused);
  await finalized(rig);
  assertEquals(held(rig), 1);
  await tell(inputs, "cont");
  await rig.until("the release", () => held(rig) === 0);
  // Released before the stop: nothing is left for later.
  assertEquals(await code(rig, SHIFT), CODE.ok);
  let stopped = false;
  rig.adapter.beforeStop?.(() => stopped = true);
  await rig.until("the release", () => stopped);
  assertEquals(held(rig), 0);
  await rig.close();
});

Deno.test("a reset releases what is held; the death of QEMU forgets it", async () => {
  await using vm = await startFirmware();
  const inputs = inputOf(vm, 0);
  using rig = inputs.rig;
  await rig.event("SEAM_UP");
  assertEquals(await code(rig, SHIFT), CODE.ok);
  await tell(inputs, "system_reset");
  await rig.until("the release", () => held(rig) === 0);
  assertEquals(await code(rig, SHIFT), CODE.ok);
  vm.kill("SIGKILL");
  assertEquals((await rig.event("SEAM_DOWN")).fields["reason"], SEAM_REASON.PROCESS_GONE);
  await finalized(rig);
  assertEquals(await code(rig, SHIFT), CODE["seam-down"]);
  await rig.close();
});

Deno.test("the next daemon releases what a killed one held", async () => {
  await using vm = await startFirmware({ qmpSockets: 2 });
  const path = `${vm.dir}/held.bin`;
  // A monitor of its own stands for the killed daemon: it is never closed.
  const killed = inputOf(vm, 0, path);
  await killed.rig.event("SEAM_UP");
  assertEquals(await code(killed.rig, SHIFT, { kind: KEY, code: 30, value: 1 }), CODE.ok);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  const next = inputOf(vm, 1, path);
  assertEquals(held(next.rig), 2);
  await next.rig.event("SEAM_UP");
  await next.rig.until("the release", () => held(next.rig) === 0);
  await next.rig.close();
  next.rig[Symbol.dispose]();
  const third = inputOf(vm, 1, path);
  assertEquals(held(third.rig), 0, "the record is empty now");
  await third.rig.event("SEAM_UP");
  await third.rig.close();
  third.rig[Symbol.dispose]();
  await killed.rig.close();
  killed.rig[Symbol.dispose]();
});

Deno.test("a full frame is acknowledged once all of it is, and twenty keys are released at once", async () => {
  await using vm = await startFirmware();
  using rig = inputOf(vm, 0).rig;
  await rig.event("SEAM_UP");
  const many = Array.from(
    { length: 256 },
    (_, i): InputRecord => ({ kind: KEY, code: 30, value: 1 - i % 2 }),
  );
  assertEquals(await code(rig, ...many), CODE.ok);
  const twenty = Array.from({ length: 20 }, (_, i): InputRecord => ({ kind: KEY, code: 2 + i, value: 1 }));
  assertEquals(await code(rig, ...twenty), CODE.ok);
  const answer = rig.answer(rig.command(KIND.CMD_QUERY_INPUT, () => {}));
  assertEquals([answer?.reply?.fields["count"], answer?.reply?.fields["flags"]], [10, 1]);
  await finalized(rig);
  assertEquals(held(rig), 0);
  await rig.close();
});
