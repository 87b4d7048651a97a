/** What a model's seat is made of: the mapping of coordinates, the rate, key names, conditions, errors. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { faultOfCode } from "../../../src/client/command_fault.ts";
import { BURST, CallRate, CALLS_PER_SECOND, MOST_AT_ONCE } from "../../../src/mcp/call_rate.ts";
import { chordOf } from "../../../src/mcp/chord_words.ts";
import { changedPart, conditionOf } from "../../../src/mcp/screen_tools.ts";
import { toScreen, toView, viewOf } from "../../../src/mcp/screen_view.ts";
import type { Seat } from "../../../src/mcp/seat.ts";
import { TOOLS } from "../../../src/mcp/server.ts";
import { faultText } from "../../../src/mcp/tool_fault.ts";

Deno.test("mcp: a screenshot's pixels and the screen's", () => {
  assertEquals(viewOf(1280, 800, 1024), { screenWidth: 1280, screenHeight: 800, width: 1024, height: 640 });
  // Never larger than the screen; the longer side counts.
  assertEquals(viewOf(720, 400).width, 720);
  assertEquals(viewOf(800, 1600, 400), { screenWidth: 800, screenHeight: 1600, width: 200, height: 400 });
  assertEquals(viewOf(8192, 1, 64).height, 1);
  for (const [w, h, longest] of [[1280, 800, 1024], [1366, 768, 1000], [1, 1, 64], [3840, 2160, 1280]]) {
    const view = viewOf(w ?? 1, h ?? 1, longest);
    for (const x of [0, 1, view.width >> 1, view.width - 1]) {
      for (const y of [0, view.height - 1]) {
        if (x >= view.width) continue;
        const there = toScreen({ x, y }, view);
        assert(there.x < view.screenWidth && there.y < view.screenHeight);
        assertEquals(toView(there, view), { x, y });
      }
    }
  }
  const view = viewOf(1280, 800, 1024);
  for (const [x, y] of [[1024, 0], [0, 640], [-1, 0], [NaN, 0]]) {
    const error = assertThrows(() => toScreen({ x: x ?? 0, y: y ?? 0 }, view), Fault);
    assertEquals(error.code, "bad-argument");
  }
});

Deno.test("mcp: calls above the rate are refused, and the bucket fills again", () => {
  let nowMs = 0;
  const rate = new CallRate(() => nowMs);
  for (let i = 0; i < BURST; i++) {
    assertEquals(rate.begin(), undefined);
    rate.end();
  }
  assertStringIncludes(rate.begin()?.why ?? "", `in ${1000 / CALLS_PER_SECOND} ms`);
  nowMs += 1000;
  for (let i = 0; i < CALLS_PER_SECOND; i++) {
    assertEquals(rate.begin(), undefined);
    rate.end();
  }
  assert(rate.begin() !== undefined);
  nowMs += 3_600_000;
  for (let i = 0; i < MOST_AT_ONCE; i++) assertEquals(rate.begin(), undefined);
  assertStringIncludes(rate.begin()?.why ?? "", "under way");
  rate.end();
  assertEquals(rate.begin(), undefined);
});

Deno.test("mcp: key names as models write them", () => {
  assertEquals(chordOf("Return"), "enter");
  assertEquals(chordOf("ctrl+c"), "ctrl+c");
  assertEquals(chordOf("super+l"), "leftmeta+l");
  for (
    const good of ["ctrl+alt+Delete", "Page_Down", "BackSpace", "Escape", "F12", "Tab", "alt+F4", "Up", "a"]
  ) {
    assert(chordOf(good) !== "");
  }
  assertThrows(() => chordOf("ctrl+nokey"), Fault);
  assertThrows(() => chordOf("constructor"), Fault);
});

Deno.test("mcp: exactly one condition is waited for", () => {
  assertEquals(conditionOf({ still_ms: 100 }), { stillMs: 100 });
  assertEquals(conditionOf({ process: "sshd" }), { process: "sshd" });
  for (const bad of [{}, { text: "(" }, { text: "a", ready: true as const }, { image: "AAAA" }]) {
    assertEquals(assertThrows(() => conditionOf(bad), Fault).code, "bad-argument");
  }
});

Deno.test("mcp: a tool is offered where the limits and the grant have it", () => {
  const seat = (readOnly: boolean, caps: readonly string[]) =>
    ({
      limits: { readOnly, noPower: false, endpoints: [] },
      may: (cap: string) => caps.includes(cap),
    }) as unknown as Seat;
  const offered = (of: Seat) => TOOLS.filter((tool) => tool.isFor(of)).map(({ name }) => name);
  assertEquals(offered(seat(false, [])), []);
  assertEquals(offered(seat(true, ["ROSTER", "FRAME", "OBSERVE", "INPUT"])), [
    "list_vms",
    "screenshot",
    "wait",
    "ask_person",
  ]);
  const power = offered(seat(false, ["VM", "POWER"]));
  for (const name of ["vm_state", "power", "snapshot_list", "snapshot_load"]) {
    assert(power.includes(name), name);
  }
  const limits = { readOnly: false, noPower: true, endpoints: [] };
  const noPower = offered({ ...seat(false, ["VM", "POWER"]), limits } as unknown as Seat);
  assertEquals(noPower, ["vm_state", "snapshot_list"]);
  assert(offered(seat(false, ["INPUT"])).includes("type"));
  assertEquals(new Set(TOOLS.map(({ name }) => name)).size, TOOLS.length);
});

Deno.test("mcp: what changed between two screenshots", () => {
  const picture = (width: number, height: number, lit: readonly (readonly [number, number])[]) => {
    const rgba = new Uint8Array(width * height * 4);
    for (const [x, y] of lit) rgba[(y * width + x) * 4] = 255;
    return { width, height, rgba };
  };
  const before = picture(40, 50, [[3, 4]]);
  assertEquals(changedPart(before, picture(40, 50, [[3, 4]])), "nothing");
  assertEquals(changedPart(before, picture(40, 50, [[3, 4], [10, 20], [12, 40]])), {
    x: 10,
    y: 20,
    width: 3,
    height: 21,
  });
  assertEquals(changedPart(before, picture(39, 50, [])), { x: 0, y: 0, width: 39, height: 50 });
});

Deno.test("mcp: an error tells a code, and what to do", () => {
  assertEquals(
    faultText(new Fault("no-endpoint", "Cannot find x")),
    "no-endpoint: Cannot find x. Call list_vms to see which VMs there are.",
  );
  assertStringIncludes(faultText(new Fault("busy", "Cannot")), "lease_take");
  assertEquals(faultText(new Error("a\u001b[31mb")).includes("\u001b"), false);
});

Deno.test("mcp: what people are told to run is a tool for a model, or for the user to run", () => {
  const told = (text: string) => faultText(new Fault("refused", text));
  assertEquals(
    told('Cannot load x: the VM refused it: no snapshot has that name: see "vmsig vm web@64055 snapshots"'),
    "refused: Cannot load x: the VM refused it: no snapshot has that name: see snapshot_list",
  );
  for (
    const [said, tool] of [
      ["vmsig ls shows its seams, vmsig probe what the VM lacks", "list_vms shows its seams"],
      ["is it stopped or wedged? (vmsig vm query)", "(vm_state)"],
      ['"vmsig vm web@64055 query" tells what to do', "vm_state tells what to do"],
      ["acquire it first (vmsig lease)", "(lease_take)"],
      ["(vmsig lease ENDPOINT CLASS status tells whose it is)", "(list_vms tells whose it is)"],
      ["check it and the address space (vmsig mem)", "(read_memory)"],
      ["start it (vmsig serve)", "start it (vmsig serve (a command for the user))"],
    ] as const
  ) assertStringIncludes(told(`Cannot: ${said}`), tool);
  // Every code of the protocol, as the client library tells it.
  for (const code of Object.values(CODE)) {
    const text = faultText(faultOfCode("do it", code));
    assertEquals(/vmsig [a-z]+(?! \(a command for the user\))\b/.test(text), false, text);
    assertEquals(text.includes("--help"), false, text);
  }
});
