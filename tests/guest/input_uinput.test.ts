/**
 * The uinput driver against a real kernel: in a guest, because a test host seldom has the device. The shim,
 * the driver and the adapter run there under Deno, and evdev reads back what they made.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { INPUT_KIND } from "../../src/event/body_number.ts";
import type { InputRecord } from "../fixtures/adapter_rig.ts";
import { GUEST_DENO } from "./deno_payload.ts";
import { startGuest } from "./qemu.ts";

const { ABS, REL, BTN, KEY, SCROLL } = INPUT_KIND;

Deno.test("uinput makes a keyboard, a pointer and a mouse that evdev reads, and releases what is held", async () => {
  const letters = Array.from({ length: 100 }, (_, i) => 16 + (i * 7) % 10);
  const taps = letters.flatMap((code): InputRecord[] => [
    { kind: KEY, code, value: 1 },
    { kind: KEY, code, value: 0 },
  ]);
  const frames: InputRecord[][] = [
    [{ kind: ABS, code: 0, value: 100 }, { kind: ABS, code: 1, value: 0x7fff }],
    [{ kind: BTN, code: 0x110, value: 1 }, { kind: REL, code: 0, value: -3 }, {
      kind: BTN,
      code: 0x110,
      value: 0,
    }],
    [{ kind: SCROLL, code: 0, scroll: 0.5 }],
    [{ kind: SCROLL, code: 0, scroll: 0.5 }, { kind: SCROLL, code: 1, scroll: -2 }],
    taps,
    [{ kind: KEY, code: 0x120, value: 1 }],
    [{ kind: KEY, code: 600, value: 1 }, { kind: KEY, code: 29, value: 1 }],
  ];
  await using vm = await startGuest({
    kernel: "generic",
    programs: ["evrec"],
    modules: ["uinput", "evdev"],
    deno: ["src", "ffi", "shim", "tests/fixtures", "tests/guest/uinput_session.ts", "deno.json"],
    smp: 2,
    ramMiB: 1200,
    files: { "/frames.json": JSON.stringify(frames) },
  });
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording/);
  const session = await vm.agent.start(...GUEST_DENO, "/repo/tests/guest/uinput_session.ts", "/frames.json");
  const first = await session.line();
  assertEquals(first, "SEAM_UP 0", session.text);
  // The recorder tells of those that it finds together in any order.
  const device: Record<string, string> = {};
  for (let i = 0; i < 3; i++) {
    const [, node = "", role = ""] = await recorder.lineMatching(/^device (event\d+) vmsig test (\w+)/);
    device[role] = node;
  }
  assertEquals(Object.keys(device).sort(), ["keyboard", "mouse", "pointer"]);
  await session.write("go\n");
  await session.lineMatching(/^done/);
  assertEquals(session.text.match(/verdict \d+/g), [0, 0, 0, 0, 0, 7, 0].map((code) => `verdict ${code}`));
  const gone = new Set<string>();
  while (gone.size < 3) gone.add((await recorder.lineMatching(/^gone (event\d+)/))[1] ?? "");
  assertEquals([...gone].sort(), Object.values(device).sort());
  const of = (role: string) =>
    [...recorder.text.matchAll(new RegExp(`^${device[role]} (\\d+) (\\d+) (-?\\d+)$`, "gm"))]
      .map(([, type, code, value]) => `${type}:${code}:${value}`).join(" ");
  assertEquals(of("pointer"), "3:0:100 3:1:32767 0:0:0 1:272:1 0:0:0 1:272:0 0:0:0");
  assertEquals(
    of("mouse"),
    "2:0:-3 0:0:0 2:11:60 0:0:0 2:11:60 2:8:1 0:0:0 2:12:-240 2:6:-2 0:0:0",
  );
  const typed = letters.map((code) => `1:${code}:1 0:0:0 1:${code}:0 0:0:0`).join(" ");
  assertEquals(of("keyboard"), `${typed} 1:600:1 0:0:0 1:29:1 0:0:0 1:600:0 1:29:0 0:0:0`);
  assertStringIncludes(session.text, "done");
});
