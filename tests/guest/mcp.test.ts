/**
 * `vmsig mcp` on a real guest, as a model's client drives it: it sees, types, clicks and waits; what it may
 * not is not offered; another control takes its keyboard away, and it waits for its turn; what it held down
 * when it was killed is released.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Fault, machine, type ScratchMachine } from "../../src/testing/mod.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { scratchDemo } from "./scratch_demo.ts";
import { McpProcess, textOf, type ToolResult } from "./mcp_client.ts";

/** Reached by a hang alone. */
const timeoutMs = 180_000;

Deno.test("mcp: a model's client drives a guest", async (t) => {
  const artifacts = await Deno.makeTempDir({ prefix: "vmsig-mcp-" });
  try {
    await using scratch = await scratchDemo({ timeoutMs, artifacts });
    await scratch.machine.console.expect(/Linux version/);
    await prompt(scratch);
    await t.step("sees, types, clicks, waits over stdio", () => drives(scratch));
    await t.step("bad arguments are told in words, with a code", () => refuses(scratch));
    await t.step("what it may not is not offered", () => offersLess(scratch));
    await t.step(
      "a person takes keyboard and mouse, and gives them back",
      () => preempted(scratch, artifacts),
    );
    await t.step("killed with a key held: it is released", () => killed(scratch));
  } finally {
    await Deno.remove(artifacts, { recursive: true });
  }
});

/** Until the prompt is on the screen; a picture that comes too late on a busy machine is asked for anew. */
async function prompt({ machine: vm }: ScratchMachine): Promise<void> {
  for (;;) {
    try {
      await vm.screen.text("guest#");
      return;
    } catch (error) {
      if (!(error instanceof Fault) || !error.message.includes("no picture was made in time")) {
        throw error;
      }
    }
  }
}

/** Calls a tool that looks at the screen, anew while a busy machine makes no picture in time. */
async function look(mcp: McpProcess, name: string, args: object): Promise<ToolResult> {
  for (;;) {
    const answer = await mcp.call(name, args);
    if (!textOf(answer).includes("no picture was made in time")) return answer;
  }
}

async function drives({ socket }: ScratchMachine): Promise<void> {
  await using mcp = new McpProcess(["--socket", socket]);
  const { result } = await mcp.open();
  assertEquals(result.serverInfo.name, "vmsig");
  assertStringIncludes(result.instructions, "list_vms");
  const tools = await mcp.tools();
  for (const name of ["list_vms", "screenshot", "wait", "click", "drag", "type", "lease_take"]) {
    assert(tools.includes(name), `${name} of ${tools.join(" ")}`);
  }
  assertStringIncludes(textOf(await mcp.call("list_vms")), '"name":"scratch"');
  const vm = "scratch";
  const typed = await mcp.call("type", { vm, text: "echo model was here\n" });
  assertEquals(typed.isError, undefined, textOf(typed));
  const found = await look(mcp, "wait", { vm, text: "^model was here$", timeout_s: 120 });
  assertEquals(JSON.parse(textOf(found)).what, "text", textOf(found));
  const shot = await look(mcp, "screenshot", { vm, max_side: 360 });
  assertEquals(shot.content[0]?.mimeType, "image/png");
  const shown = pngOf(shot.content[0]?.data);
  assertEquals(Math.max(shown.width, shown.height), 360);
  assertStringIncludes(textOf(shot), "model was here");
  assertStringIncludes(textOf(shot), `${shown.width}x${shown.height} pixels`);
  const part = await look(mcp, "screenshot", { vm, region: [0, 0, 100, 50] });
  assert(pngOf(part.content[0]?.data).width > 100, "a region is shown as large as on the screen");
  for (
    const [name, args] of [
      ["click", { coordinate: [359, 10] }],
      ["double_click", {}],
      ["right_click", {}],
      ["move", { coordinate: [0, 0] }],
      ["drag", { start_coordinate: [10, 10], coordinate: [50, 50], duration: 0 }],
      ["scroll", { scroll_direction: "down", scroll_amount: 2 }],
      ["key", { text: "Return" }],
      ["hold_key", { text: "shift+a", duration: 0.01 }],
      ["lease_give_back", {}],
    ] as const
  ) {
    const answer = await mcp.call(name, { vm, ...args });
    assertEquals(answer.isError, undefined, `${name}: ${textOf(answer)}`);
  }
}

async function refuses({ socket }: ScratchMachine): Promise<void> {
  await using mcp = new McpProcess(["--socket", socket]);
  await mcp.open();
  const vm = "scratch";
  await look(mcp, "screenshot", { vm, max_side: 360 });
  for (
    const [name, args, code] of [
      ["screenshot", { vm: "none" }, "no-endpoint"],
      ["click", { vm, coordinate: [360, 0] }, "bad-argument"],
      ["screenshot", { vm, region: [10, 10, 5, 5] }, "bad-argument"],
      ["type", { vm, text: "größe" }, "bad-argument"],
      ["key", { vm, text: "ctrl+nokey" }, "bad-argument"],
      ["wait", { vm, text: "(" }, "bad-argument"],
      ["wait", { vm }, "bad-argument"],
      ["wait", { vm, text: "no such text", timeout_s: 0.2 }, "timed-out"],
    ] as const
  ) {
    const answer = await look(mcp, name, args);
    assertEquals(answer.isError, true, name);
    assertMatch(textOf(answer), new RegExp(`^${code}: Cannot `));
  }
  for (
    const [name, args] of [
      ["click", { vm, coordinate: [-1, 0] }],
      ["type", { vm, text: "x".repeat(10_000_000) }],
      ["hold_key", { vm, text: "a", duration: 1e9 }],
      ["type", { vm }],
    ] as const
  ) {
    const answer = await mcp.call(name, args);
    assertEquals(answer.isError, true, name);
    assertMatch(textOf(answer), new RegExp(`^bad-argument: Cannot call ${name}: .*call again`));
  }
  // A model that loops is told the rate, at once.
  const many = await Promise.all(Array.from({ length: 100 }, () => mcp.call("list_vms")));
  const refused = many.filter(({ isError }) => isError === true);
  assert(refused.length > 0 && refused.length < 100, String(refused.length));
  assertMatch(textOf(refused[0] ?? { content: [] }), /^too-fast: this call was not made/);
}

async function offersLess({ socket }: ScratchMachine): Promise<void> {
  await using mcp = new McpProcess(["--socket", socket, "--read-only", "--endpoint", "scratch"]);
  await mcp.open();
  const tools = await mcp.tools();
  assert(tools.includes("screenshot") && tools.includes("wait"), tools.join(" "));
  for (const name of ["click", "type", "lease_take"]) assertEquals(tools.includes(name), false, name);
  const { error, result } = await mcp.request("tools/call", {
    name: "type",
    arguments: { vm: "scratch", text: "x" },
  });
  assert(error !== undefined || result.isError === true);
}

async function preempted({ socket }: ScratchMachine, artifacts: string): Promise<void> {
  await using mcp = new McpProcess(["--socket", socket]);
  await mcp.open();
  const vm = "scratch";
  let taken: Promise<unknown>;
  {
    await using person = await machine(vm, { socket, artifacts, timeoutMs, whenOwned: "wait" });
    await person.key("shift");
    const busy = await mcp.call("key", { vm, text: "a" });
    assertEquals(busy.isError, true);
    assertMatch(textOf(busy), /^busy: .*uid \d+ has them.*lease_take/);
    taken = mcp.call("lease_take", { vm, wait_s: 120 });
    await person.key("shift");
  }
  assertStringIncludes(textOf(await taken as never), "yours");
  assertEquals((await mcp.call("key", { vm, text: "shift" })).isError, undefined);
}

async function killed({ socket, machine: vm }: ScratchMachine): Promise<void> {
  await using mcp = new McpProcess(["--socket", socket]);
  await mcp.open();
  void mcp.request("tools/call", {
    name: "hold_key",
    arguments: { vm: "scratch", text: "leftshift", duration: 30 },
  });
  const heldDown = async () => (await vm.client.held("scratch", { timeoutMs })).entries.length;
  while (await heldDown() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  mcp.child.kill("SIGKILL");
  await mcp.child.status;
  while (await heldDown() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

function pngOf(data = ""): ReturnType<typeof decodePng> {
  return decodePng(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
}
