/**
 * The testing library as a test author uses it: a VM booted for the test, its console from the first byte,
 * its screen's text and pictures, typing and clicking, processes; and what a failing step leaves behind.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { crop } from "../../src/vgpu/picture.ts";
import { decodePng, Fault, machine, MachineFault, scratchMachine } from "../../src/testing/mod.ts";
import { until } from "../fixtures/daemon_process.ts";
import { exists } from "./content_cache.ts";
import { scratchDemo } from "./scratch_demo.ts";

/** Reached by a hang alone. */
const timeoutMs = 180_000;
/** How long the longest of the waits in vain is. */
const LONGEST_MS = 60_000;

Deno.test("testing: a scratch VM is seen, typed into, waited for; a failing step shows the screen", async () => {
  const artifacts = await Deno.makeTempDir({ prefix: "vmsig-artifacts-" });
  try {
    await using scratch = await scratchDemo({ timeoutMs, artifacts });
    const vm = scratch.machine;
    const early = await vm.console.expect(/Linux version \d+\.\d+/);
    assertEquals(early.before.includes("Kernel panic"), false);
    await vm.screen.text("guest#");
    await vm.ready();

    await vm.type("echo one two\n");
    const found = await vm.screen.text(/^one two$/m);
    assertEquals(found.column, 0);
    // Nobody else writes on its screen: neither the kernel nor the guest's first process.
    let written: string[] = [];
    await until("the next prompt", async () => {
      written = (await vm.screenText()).lines.map((line) => line.trimEnd()).filter((line) => line !== "");
      return written.at(-1) === "guest#";
    });
    assertEquals(written.slice(1), ["guest# echo one two", "one two", "guest#"]);
    assert(await vm.process("console") > 0);
    assert((await vm.processes()).some(({ name }) => name === "console"));

    // A picture of what is on the screen is found there, from pixels and from a file.
    await vm.screen.still(300, { area: { x: 0, y: 0, width: 80, height: 16 } });
    const whole = await vm.screen.picture();
    const area = { x: 0, y: 16 * found.row, width: 8 * "one two".length, height: 16 };
    const needle = crop(whole, area);
    const there = await vm.screen.image(needle, { area });
    assertEquals([there.x, there.y, there.score], [area.x, area.y, 1]);
    const area96 = { ...area, match: 0.96, margin: 50, clickPoint: { x: 1, y: 2 } };
    const named = { name: "one-two", tags: [], properties: [], picture: whole, excluded: [], leftOut: 0 };
    const matched = await vm.screen.needle({ ...named, areas: [area96] });
    assertEquals([matched.needle.name, matched.areas[0]?.x, matched.areas[0]?.y], [
      "one-two",
      area.x,
      area.y,
    ]);
    await vm.click({ needle: { ...named, areas: [area96] } });
    const upside = { ...named, picture: { ...whole, rgba: whole.rgba.toReversed() }, areas: [area96] };
    await missing((limitMs) => vm.screen.needle(upside, { timeoutMs: limitMs }), /alike by \d/);
    await vm.click({ image: needle });
    await vm.click({ text: "one two" }, { count: 2 });
    await vm.click({ x: whole.width - 1, y: whole.height - 1 }, { button: "right" });

    // What cannot be, and what does not come.
    const outside = await assertRejects(() => vm.click({ x: whole.width, y: 0 }), Fault);
    assertEquals(outside.code, "bad-argument");
    const untypable = await assertRejects(() => vm.type("größe"), Fault, "on the US layout");
    assertEquals(untypable.code, "bad-argument");
    const missed = await missing(
      (limitMs) => vm.screen.text("no such text", { timeoutMs: limitMs }),
      /one two/,
    );
    assertEquals(missed.code, "timed-out");
    assert(missed.screenLines?.includes("one two"));
    const picture = decodePng(await Deno.readFile(missed.pictureFile ?? ""));
    assertEquals([picture.width, picture.height], [whole.width, whole.height]);
    assertStringIncludes(
      await Deno.readTextFile((missed.pictureFile ?? "").replace(".png", ".txt")),
      "one two",
    );

    // The keyboard is this test's until it gives it back; whoever comes meanwhile is told, or waits.
    const { socket } = scratch;
    {
      await using other = await machine("scratch", { socket, artifacts, timeoutMs });
      assertEquals((await assertRejects(() => other.key("a"), Fault)).code, "busy");
      await using patient = await machine("scratch", { socket, artifacts, timeoutMs, whenOwned: "wait" });
      const waiting = patient.type("# patient\n");
      await vm.release();
      await waiting;
      await patient.screen.text("# patient");
    }
    await vm.power("stop");
    await vm.state("paused");
    await missing((limitMs) => vm.screen.text("never there", { timeoutMs: limitMs }), /the VM is paused/);
    await vm.power("cont");

    await using hurried = await machine("scratch", { socket, artifacts, deadlineMs: 1 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertStringIncludes((await assertRejects(() => hurried.key("a"), Fault)).message, "deadline");
    const { qemuPid } = scratch;
    await scratch[Symbol.asyncDispose]();
    assertEquals(await exists(`/proc/${qemuPid}/exe`), false);
  } finally {
    await Deno.remove(artifacts, { recursive: true });
  }
});

Deno.test("testing: QEMU's own words when it does not start, and a program that there is not", async () => {
  const refused = await assertRejects(() => scratchMachine({ args: ["-device", "nonsense"] }), Fault);
  assertEquals(refused.code, "refused");
  assertStringIncludes(refused.message, "nonsense");
  const missing = await assertRejects(() => scratchMachine({ qemu: "/nonexistent/qemu" }), Fault);
  assertEquals(missing.code, "missing");
  const none = await assertRejects(() => machine("web", { socket: "/nonexistent/control.sock" }), Fault);
  assertEquals(none.code, "unreachable");
  const layout = await assertRejects(() => machine("web", { layout: "xx" }), Fault);
  assertEquals(layout.code, "bad-argument");
});

/**
 * The fault of a step that waits in vain. What it tells is what it had seen when its time was up, so that it
 * has more time until that is there.
 */
async function missing(step: (limitMs: number) => Promise<unknown>, telling: RegExp): Promise<MachineFault> {
  for (let limitMs = 500;; limitMs *= 2) {
    const fault = await assertRejects(() => step(limitMs), MachineFault);
    if (telling.test(fault.message) || limitMs > LONGEST_MS) {
      assertMatch(fault.message, telling);
      return fault;
    }
  }
}
