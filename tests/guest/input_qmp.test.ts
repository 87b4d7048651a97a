/**
 * The INPUT adapter over QMP on a real Linux guest whose evdev records what arrives.
 * @module
 */
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { InputAdapter } from "../../src/adapters/input/input_adapter.ts";
import { QmpInputDriver } from "../../src/adapters/input/qmp_input_driver.ts";
import { QCODE_OF_KEY } from "../../src/adapters/input/qmp_keys.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import { CODE } from "../../src/base/codes.ts";
import { INPUT_KIND, LEASE_CLASS } from "../../src/event/body_number.ts";
import { KIND } from "../../src/event/kind.ts";
import { AdapterRig, type InputRecord } from "../fixtures/adapter_rig.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { GuestOptions, Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { LEGACY_INPUT_MODULES } from "./build.ts";

const { ABS, REL, BTN, KEY, SCROLL } = INPUT_KIND;

/** What a keyboard reports beside its keys: scan codes (MSC), lights (LED) and its repeat rate (REP). */
const OF_THE_KEYBOARD: ReadonlySet<string> = new Set(["4", "17", "20"]);

interface Recording {
  readonly rig: AdapterRig;
  readonly vm: Qemu;
  readonly link: QmpLink;
  readonly recorder: GuestProcess;
}

async function withGuest(
  options: GuestOptions,
  body: (recording: Recording) => Promise<void>,
  ...words: string[]
): Promise<void> {
  await using vm = await startSavedGuest({ programs: ["evrec"], ...options });
  const recorder = await vm.agent.start("evrec", ...words);
  await recorder.lineMatching(/^recording/);
  let link: QmpLink | undefined;
  using rig = new AdapterRig((loop) => {
    link = new QmpLink({ path: vm.qmpPath, loop });
    return new InputAdapter(new QmpInputDriver(link));
  });
  rig.open();
  await rig.event("SEAM_UP");
  assert(link !== undefined);
  await body({ rig, vm, link, recorder });
  await rig.close();
}

/** What evdev reported since `from`: "TYPE CODE VALUE" without the device, one text a SYN_REPORT. */
function frames(recorder: GuestProcess, from: number): string[] {
  const out: string[] = [];
  let frame: string[] = [];
  for (const line of recorder.text.slice(from).split("\n")) {
    const match = line.match(/^event\d+ (\d+) (\d+) (-?\d+)$/);
    if (match === null) continue;
    const [, type, code, value] = match;
    assert(!(type === "0" && code === "3"), "the recorder keeps up");
    if (type === "0" && code === "0") {
      if (frame.length > 0) out.push(frame.join(" "));
      frame = [];
    } else if (!OF_THE_KEYBOARD.has(type ?? "") && !(type === "1" && value === "2")) {
      frame.push(`${type}:${code}:${value}`);
    }
  }
  return out;
}

async function sent(
  { rig, recorder }: Recording,
  records: readonly InputRecord[],
  expected: readonly string[],
): Promise<void> {
  const from = recorder.text.length;
  const answer = await rig.answered(rig.input(...records));
  assertEquals(answer.code, CODE.ok);
  await rig.until(`${expected.length} frames`, () => frames(recorder, from).length >= expected.length);
  assertEquals(frames(recorder, from), expected);
}

function tap(code: number): InputRecord[] {
  return [{ kind: KEY, code, value: 1 }, { kind: KEY, code, value: 0 }];
}

Deno.test("input by QMP reaches a virtio keyboard and tablet: keys, chords, abs, buttons, wheel", async () => {
  await withGuest({ devices: ["virtio-input"] }, async (recording) => {
    const { rig, recorder } = recording;
    await sent(recording, tap(30), ["1:30:1", "1:30:0"]);
    // Not ctrl-alt-delete: the kernel would reboot.
    const chord = [29, 56, 45];
    await sent(
      recording,
      [
        ...chord.map((code) => ({ kind: KEY, code, value: 1 })),
        ...chord.toReversed().map((code) => ({ kind: KEY, code, value: 0 })),
      ],
      ["1:29:1", "1:56:1", "1:45:1", "1:45:0", "1:56:0", "1:29:0"],
    );
    await sent(recording, [{ kind: ABS, code: 0, value: 100 }, { kind: ABS, code: 1, value: 0x7fff }], [
      "3:0:100 3:1:32767",
    ]);
    await sent(recording, [
      { kind: ABS, code: 0, value: 5 },
      { kind: BTN, code: 0x110, value: 1 },
      { kind: ABS, code: 0, value: 6 },
      { kind: ABS, code: 0, value: 7 },
      { kind: BTN, code: 0x110, value: 0 },
    ], ["3:0:5", "1:272:1", "3:0:6", "3:0:7", "1:272:0"]);
    await sent(recording, [{ kind: SCROLL, code: 0, scroll: 2 }, { kind: SCROLL, code: 0, scroll: -1 }], [
      "2:8:1",
      "2:8:1",
      "2:8:-1",
    ]);
    // Fractions add up; what is less than a notch waits.
    await sent(recording, [{ kind: SCROLL, code: 0, scroll: 0.5 }], []);
    await sent(recording, [{ kind: SCROLL, code: 0, scroll: 0.75 }], ["2:8:1"]);
    // Each key of the table is the key it says, apart from the three that switch the machine off.
    const keys = QCODE_OF_KEY.flatMap((name, code) => name === undefined ? [] : [code])
      .filter((code) => ![116, 142, 143].includes(code));
    assertGreaterOrEqual(keys.length, 140);
    for (let at = 0; at < keys.length; at += 100) {
      const part = keys.slice(at, at + 100);
      await sent(recording, part.flatMap(tap), part.flatMap((code) => [`1:${code}:1`, `1:${code}:0`]));
    }
    await sent(recording, [{ kind: KEY, code: 42, value: 1 }, { kind: KEY, code: 30, value: 1 }], [
      "1:42:1",
      "1:30:1",
    ]);
    const held = await rig.answered(rig.command(KIND.CMD_QUERY_INPUT, () => {}));
    assertEquals(held.reply?.fields["entries"], [{ kind: KEY, code: 42 }, { kind: KEY, code: 30 }]);
    const from = recorder.text.length;
    let done = 0;
    rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done++);
    await rig.until("the release", () => done > 0 && frames(recorder, from).length > 0);
    assertEquals([done, frames(recorder, from)], [1, ["1:42:0 1:30:0"]]);
  });
});

Deno.test("1,000 characters typed by QMP all arrive once and in order", async () => {
  await withGuest({ devices: ["virtio-input"] }, async ({ rig, recorder }) => {
    const letters = Array.from({ length: 1000 }, (_, i) => 16 + (i * 7) % 10);
    const from = recorder.text.length;
    const startedMs = performance.now();
    const tickets: number[] = [];
    for (let at = 0; at < letters.length; at += 100) {
      tickets.push(rig.input(...letters.slice(at, at + 100).flatMap(tap)));
    }
    for (const ticket of tickets) assertEquals((await rig.answered(ticket, 180_000)).code, CODE.ok);
    const seconds = (performance.now() - startedMs) / 1000;
    await rig.until("all keys", () => frames(recorder, from).length >= 2000, 180_000);
    assertEquals(frames(recorder, from), letters.flatMap((code) => [`1:${code}:1`, `1:${code}:0`]));
    console.log(`typed ${Math.round(1000 / seconds)} characters a second`);
  }, "--late");
});

Deno.test("input by QMP reaches a PS/2 keyboard and mouse and a USB tablet", async () => {
  await withGuest({
    kernel: "generic",
    modules: [...LEGACY_INPUT_MODULES],
    extraArgs: ["-device", "qemu-xhci", "-device", "usb-tablet"],
  }, async (recording) => {
    for (const name of ["keyboard", "mouse", "Tablet"]) {
      const device = new RegExp(`^device event\\d+ .*${name}`, "im");
      await recording.rig.until(name, () => device.test(recording.recorder.text));
    }
    // QEMU gives a tablet's moves to this one, once its driver in the guest has set it up.
    const { link } = recording;
    const isCurrent = async () => {
      let mice = "";
      link.hmp("info mice", (reply) => mice = reply.outcome === "text" ? reply.text : "none", 60e9);
      await recording.rig.until("the mice", () => mice !== "");
      return /^\* .*HID Tablet/m.test(mice);
    };
    while (!await isCurrent()) await recording.rig.forMs(50);
    // The mouse's driver shows it before it has told it to speak.
    await recording.rig.forMs(2000);
    await sent(recording, tap(30), ["1:30:1", "1:30:0"]);
    await sent(recording, [...tap(105), ...tap(28), ...tap(96)], [
      "1:105:1",
      "1:105:0",
      "1:28:1",
      "1:28:0",
      "1:96:1",
      "1:96:0",
    ]);
    await sent(recording, [{ kind: ABS, code: 0, value: 1000 }, { kind: ABS, code: 1, value: 2000 }], [
      "3:0:1000 3:1:2000",
    ]);
    await sent(recording, [{ kind: REL, code: 0, value: 10 }, { kind: REL, code: 1, value: -5 }], [
      "2:0:10 2:1:-5",
    ]);
    // Twenty key-ups are more than the keyboard's queue in QEMU holds.
    const { rig, recorder } = recording;
    const codes = Array.from({ length: 20 }, (_, i) => 2 + i).filter((code) => code !== 14 && code !== 15);
    await sent(
      recording,
      codes.map((code) => ({ kind: KEY, code, value: 1 })),
      codes.map((code) => `1:${code}:1`),
    );
    const from = recorder.text.length;
    let done = false;
    rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done = true);
    await rig.until("the release", () => done && frames(recorder, from).length >= codes.length);
    assertEquals(frames(recorder, from), codes.map((code) => `1:${code}:0`));
  });
});
