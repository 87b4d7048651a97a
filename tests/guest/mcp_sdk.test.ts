/**
 * The official SDK's client drives a real guest from its boot to a shell, over standard input and output and
 * over HTTP, with every tool and resource; a person answers a question, takes over, and shares the VM with
 * two agents; a client that drops in the middle of a drag leaves the guest neutral.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { DEMO_GUEST } from "../../scripts/demo_guest.ts";
import { Asks } from "../../src/client/asks.ts";
import { eventWords } from "../../src/client/event_words.ts";
import { machine, type ScratchMachine, scratchMachine } from "../../src/testing/mod.ts";
import { vmsig } from "../fixtures/daemon_process.ts";
import { buildGuest } from "./build.ts";
import { textOf } from "./mcp_client.ts";
import { McpServerProcess, Model, tokenFor } from "./mcp_sdk.ts";

/** Reached by a hang alone. */
const timeoutMs = 300_000;
const vm = "scratch";
/** How long two agents and a person share the VM: ten minutes in the nightly run. */
const SHARED_MS = Deno.env.get("VMSIG_TEST_COUNTS") === "full" ? 600_000 : 6000;
/** Two agents that may do everything, one that only looks, one of another VM; one more has no rule. */
const AGENTS = `
[[admission]]
uid = ${Deno.uid()}
speaks_for = ["token:*"]
[[admission]]
token = "agent"
endpoints = ["scratch"]
caps = ["*"]
[[admission]]
token = "other"
endpoints = ["scratch"]
caps = ["*"]
[[admission]]
token = "looker"
endpoints = ["scratch"]
caps = ["observe", "roster", "frame"]
[[admission]]
token = "stranger"
endpoints = ["elsewhere"]
caps = ["*"]
[[endpoint]]
name = "elsewhere"
qmp = "/nonexistent/qmp.sock"
`;

Deno.test("mcp: the SDK's client over both transports, from boot to a shell", async (t) => {
  const { kernelPath: kernel, initrdPath: initrd } = await buildGuest(DEMO_GUEST);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-mcp-" });
  try {
    const disk = `${folder}/disk.qcow2`;
    const made = await new Deno.Command("qemu-img", { args: ["create", "-q", "-f", "qcow2", disk, "64M"] })
      .output();
    assert(made.success);
    await using scratch = await scratchMachine({
      kernel,
      initrd,
      disk,
      keepsDisk: true,
      append: "console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
      memoryMiB: 256,
      accelerator: "tcg",
      timeoutMs,
      artifacts: folder,
      config: AGENTS,
    });
    await t.step("from boot to a shell, over stdio", () => fromBoot(scratch));
    await t.step("console, guest, power, snapshots", () => everyTool(scratch));
    await t.step("a person answers, and takes over", () => asksPerson(scratch, folder));
    const { token, line } = await tokenFor("agent");
    await Deno.writeTextFile(`${folder}/tokens`, line, { mode: 0o600 });
    const other = await tokenFor("other");
    await Deno.writeTextFile(`${folder}/tokens`, other.line, { append: true });
    const looker = await tokenFor("looker");
    const nobody = await tokenFor("nobody");
    const stranger = await tokenFor("stranger");
    const more = looker.line + nobody.line + stranger.line;
    await Deno.writeTextFile(`${folder}/tokens`, more, { append: true });
    const args = ["--socket", scratch.socket, "--listen", "127.0.0.1:0", "--tokens", `${folder}/tokens`];
    await using server = await McpServerProcess.start(args);
    await t.step("from a reset to a shell, over HTTP", () => fromReset(server.url, token));
    await t.step("resources and their subscriptions", () => resources(server.url, token));
    await t.step("who is not let in", () => refused(server.url, token, other.token));
    await t.step(
      "a token's name is who asks",
      () => named(scratch, server.url, [token, looker.token, nobody.token]),
    );
    await t.step("a client that drops in the middle of a drag", () => drops(scratch, server.url, token));
    await t.step("two agents and a person", () => shared(scratch, server.url, [token, other.token], folder));
    await t.step(
      "a VM of others, 10 MB to type, a VM that has ended",
      () => withoutVm(server.url, token, stranger.token),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function fromBoot({ socket }: ScratchMachine): Promise<void> {
  await using model = await Model.onStdio(["--socket", socket]);
  assertStringIncludes(model.client.getInstructions() ?? "", "list_vms");
  const tools = await model.tools();
  for (
    const name of ["screenshot", "console_read", "processes", "exec", "power", "snapshot_load", "ask_person"]
  ) {
    assert(tools.includes(name), `${name} of ${tools.join(" ")}`);
  }
  await model.good("wait", { vm, text: "guest#", timeout_s: 300 });
  await model.good("type", { vm, text: "echo from the model\n" });
  await model.good("wait", { vm, text: "^from the model$", timeout_s: 300 });
  const first = await model.good("screenshot", { vm });
  assertStringIncludes(textOf(first), "from the model");
  await model.good("type", { vm, text: "echo again\n" });
  await model.good("wait", { vm, text: "^again$", timeout_s: 300 });
  const part = await model.good("screenshot", { vm, changed: true, with_text: false });
  assertMatch(textOf(part), /This is what changed: \[\d+, \d+, \d+, \d+\]/);
  assert((part.content[0]?.data?.length ?? 0) < (first.content[0]?.data?.length ?? 0));
}

async function everyTool({ socket }: ScratchMachine): Promise<void> {
  await using model = await Model.onStdio(["--socket", socket]);
  const listed = JSON.parse(textOf(await model.good("processes", { vm })));
  assert(listed.processes.some(({ pid }: { pid: number }) => pid === 1), JSON.stringify(listed));
  const read = JSON.parse(
    textOf(await model.good("read_memory", { vm, address: "linux_banner", length: 13 })),
  );
  assertEquals(read.hex.replaceAll(" ", ""), hexOf("Linux version"));
  assertMatch(textOf(await model.good("dmesg", { vm, last: 5 })), /^\[\d+\.\d{6}\] <\d>/);
  assertStringIncludes(textOf(await model.good("console_read", { vm })), "Linux version");
  assertEquals(textOf(await model.good("console_read", { vm })), "It said nothing new.");
  assertStringIncludes(textOf(await model.good("console_send", { vm, text: "x" })), "sent 1");
  assertEquals(JSON.parse(textOf(await model.good("vm_state", { vm }))).state, "running");
  await model.good("power", { vm, operation: "stop" });
  await model.good("wait", { vm, state: "paused" });
  await model.good("power", { vm, operation: "cont" });
  await model.good("snapshot_save", { vm, name: "here" });
  assertStringIncludes(textOf(await model.good("snapshot_list", { vm })), '"name":"here"');
  await model.good("type", { vm, text: "echo later\n" });
  await model.good("wait", { vm, text: "^later$", timeout_s: 300 });
  await model.good("snapshot_load", { vm, name: "here" });
  assert(!textOf(await model.good("screenshot", { vm })).includes("later"));
  await model.good("snapshot_delete", { vm, name: "here" });
  for (
    const [name, args, code] of [
      ["exec", { vm, command: ["/bin/true"] }, "seam-down"],
      ["read_file", { vm, path: "/etc/passwd" }, "seam-down"],
      ["write_file", { vm, path: "/x", content: "x" }, "seam-down"],
      ["read_memory", { vm, address: "no_such_symbol", length: 8 }, "bad-argument"],
      ["read_memory", { vm, address: "0", length: 8 }, "not-mapped"],
      ["read_memory", { vm, address: "0", length: 8, pid: 99999 }, "bad-argument"],
      ["console_read", { vm, port: 60 }, "bad-argument"],
      ["snapshot_load", { vm, name: "none" }, ""],
      ["screenshot", { vm, changed: true, region: [0, 0, 1, 1] }, "bad-argument"],
    ] as const
  ) {
    const answer = await model.call(name, args);
    assertEquals(answer.isError, true, `${name}: ${textOf(answer)}`);
    assertMatch(textOf(answer), new RegExp(`^${code === "" ? "[a-z-]+" : code}: Cannot `), name);
  }
  await using less = await Model.onStdio(["--socket", socket, "--no-power", "--read-only"]);
  const tools = await less.tools();
  for (const name of ["power", "snapshot_save", "exec", "console_send", "type"]) {
    assert(!tools.includes(name), name);
  }
  for (const name of ["vm_state", "snapshot_list", "dmesg", "read_file"]) assert(tools.includes(name), name);
}

async function asksPerson({ socket }: ScratchMachine, artifacts: string): Promise<void> {
  await using model = await Model.onStdio(["--socket", socket]);
  const asks = await Asks.of(socket);
  const at = ["--socket", socket];
  const question = { vm, question: "Reboot?", choices: ["yes", "no"], timeout_s: 600 };
  const answered = model.call("ask_person", question);
  const [asked] = await opened(asks);
  assertStringIncludes((await vmsig(["ask", ...at])).text, "Reboot?");
  assertEquals((await vmsig(["ask", "answer", asked?.id ?? "", "perhaps", ...at])).code, 1);
  assertEquals((await vmsig(["ask", "answer", asked?.id ?? "", "yes", ...at])).code, 0);
  assertMatch(textOf(await answered), / answers: yes$/);
  assertEquals(await asks.list(), []);
  // A person who takes over has answered as well, though the model had the keyboard.
  await model.good("key", { vm, text: "shift" });
  const instead = model.call("ask_person", { vm, question: "What is the password?" });
  await opened(asks);
  let turn: Promise<unknown>;
  {
    await using person = await machine(vm, { socket, artifacts, timeoutMs, whenOwned: "wait" });
    await person.key("shift");
    assertMatch(textOf(await instead), /has taken keyboard and mouse over/);
    turn = model.good("lease_take", { vm, wait_s: 300 });
  }
  await turn;
  assertEquals(await asks.list(), []);
  const late = await model.call("ask_person", { vm, question: "?", timeout_s: 1 });
  assertMatch(textOf(late), /^timed-out: /);
}

async function opened(asks: Asks): Promise<Awaited<ReturnType<Asks["list"]>>> {
  for (;;) {
    const open = await asks.list();
    if (open.length > 0) return open;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function fromReset(url: string, token: string): Promise<void> {
  await using model = await Model.onHttp(url, token);
  await model.good("power", { vm, operation: "reset" });
  await model.good("wait", { vm, text: "guest#", fresh: true, timeout_s: 300 });
  await model.good("type", { vm, text: "echo over http\n" });
  await model.good("wait", { vm, text: "^over http$", timeout_s: 300 });
  assertStringIncludes(textOf(await model.good("screenshot", { vm })), "over http");
}

async function resources(url: string, token: string): Promise<void> {
  await using model = await Model.onHttp(url, token);
  const { client } = model;
  const listed = (await client.listResources()).resources.map(({ uri }) => uri);
  const screen = `vmsig://screen/${vm}`;
  assertEquals(listed.sort(), ["vmsig://audit", "vmsig://events", "vmsig://roster", screen]);
  const updated = new Map<string, () => void>();
  client.setNotificationHandler("notifications/resources/updated", ({ params }) => {
    updated.get(params.uri)?.();
  });
  const told = ["vmsig://audit", screen].map((uri) =>
    new Promise<void>((resolve) => updated.set(uri, resolve))
  );
  await client.subscribeResource({ uri: "vmsig://audit" });
  await client.subscribeResource({ uri: screen });
  const roster = (await client.readResource({ uri: "vmsig://roster" })).contents[0];
  assertStringIncludes(JSON.stringify(roster), vm);
  const picture = (await client.readResource({ uri: screen })).contents[0];
  assertEquals(picture?.mimeType, "image/png");
  await model.good("type", { vm, text: "echo changes\n" });
  await Promise.all(told);
  const audit = JSON.stringify(await client.readResource({ uri: "vmsig://audit" }));
  assertMatch(audit, /input/);
  await client.unsubscribeResource({ uri: screen });
  for (const uri of ["vmsig://none", "vmsig://screen/none", "file:///etc/passwd"]) {
    await client.readResource({ uri }).then(() => assert(false, uri), () => {});
  }
}

async function refused(url: string, token: string, other: string): Promise<void> {
  const initialize = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "initialize",
    params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } },
  });
  const post = async (headers: Record<string, string>, body: string, method = "POST") => {
    const response = await fetch(url, {
      method,
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...headers,
      },
      ...(method === "POST" ? { body } : {}),
    });
    const session = response.headers.get("mcp-session-id") ?? "";
    await response.body?.cancel();
    return { status: response.status, session };
  };
  const authorization = `Bearer ${token}`;
  assertEquals((await post({}, initialize)).status, 401);
  assertEquals((await post({ authorization: "Bearer 0123456789abcdef0123" }, initialize)).status, 401);
  assertEquals((await post({ authorization, origin: "https://example.org" }, initialize)).status, 403);
  assertEquals((await post({ authorization }, "{")).status, 400);
  assertEquals((await post({ authorization }, '{"jsonrpc":"2.0","id":1,"method":"tools/list"}')).status, 400);
  assertEquals((await post({ authorization }, "", "GET")).status, 405);
  assertEquals((await post({ authorization, "mcp-session-id": "none" }, initialize)).status, 404);
  const { status, session } = await post({ authorization }, initialize);
  assertEquals(status, 200);
  const theirs = { authorization: `Bearer ${other}`, "mcp-session-id": session };
  assertEquals((await post(theirs, initialize)).status, 404);
  const ours = { authorization, "mcp-session-id": session };
  assertEquals((await post(ours, "", "DELETE")).status, 200);
  assertEquals((await post(ours, initialize)).status, 404);
  // One token has few sessions.
  const sessions: string[] = [];
  let full = 0;
  for (let i = 0; i < 12 && full === 0; i++) {
    const next = await post({ authorization }, initialize);
    if (next.status === 200) sessions.push(next.session);
    else full = next.status;
  }
  assertEquals(full, 503);
  for (const id of sessions) await post({ authorization, "mcp-session-id": id }, "", "DELETE");
}

async function named(
  { machine: { client } }: ScratchMachine,
  url: string,
  [agent = "", looker = "", nobody = ""]: readonly string[],
): Promise<void> {
  await using one = await Model.onHttp(url, agent);
  await one.good("lease_take", { vm });
  const { owner } = await client.leaseParties(vm, "input");
  assertEquals(owner?.as, "token:agent");
  await one.good("lease_give_back", { vm });
  await using other = await Model.onHttp(url, looker);
  const tools = await other.tools();
  assert(tools.includes("screenshot") && !tools.includes("key"), tools.join(" "));
  const refusal = await assertRejects(() => Model.onHttp(url, nobody), Error);
  assertStringIncludes(refusal.message, "nobody");
}

async function drops({ machine: { client } }: ScratchMachine, url: string, token: string): Promise<void> {
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: `Bearer ${token}`,
  };
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const begun = await fetch(url, {
    method: "POST",
    headers,
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
  });
  await begun.text();
  const session = { "mcp-session-id": begun.headers.get("mcp-session-id") ?? "" };
  const call = {
    name: "drag",
    arguments: { vm, start_coordinate: [10, 10], coordinate: [100, 100], duration: 30 },
  };
  // A process of its own, which is killed: its connection ends as that of a client that crashed.
  const request = {
    method: "POST",
    headers: { ...headers, ...session },
    body: JSON.stringify({ jsonrpc: "2.0", id: 2, method: "tools/call", params: call }),
  };
  const words = `await (await fetch(${JSON.stringify(url)}, ${JSON.stringify(request)})).text()`;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", words] }).spawn();
  while ((await client.held(vm, { timeoutMs })).entries.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill("SIGKILL");
  await child.status;
  while ((await client.held(vm, { timeoutMs })).entries.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // It was not that the drag had come to its end: nobody has the keyboard.
  while ((await client.leaseStatus(vm, "input", { timeoutMs })).busy) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await (await fetch(url, { method: "DELETE", headers: { ...headers, ...session } })).body?.cancel();
}

/**
 * Two agents type lines, each waiting for its turn, and a person takes over in between: every line that is on
 * the screen or in the log is one of theirs, whole.
 */
async function shared(
  { socket, machine: { client } }: ScratchMachine,
  url: string,
  tokens: readonly string[],
  artifacts: string,
): Promise<void> {
  const audit: string[] = [];
  await using stream = client.events({ kinds: ["AUDIT"] });
  const listening = (async () => {
    for await (const event of stream) audit.push(eventWords(event));
  })();
  const endMs = performance.now() + SHARED_MS;
  let turns = 0;
  const types = async (who: string, type: (line: string) => Promise<void>) => {
    for (let n = 0; n === 0 || performance.now() < endMs; n++) {
      await type(`${who} ${who.repeat(12)}${n % 10}`);
      turns++;
    }
  };
  const agent = async (who: string, token: string) => {
    await using model = await Model.onHttp(url, token);
    await types(who, async (line) => {
      await model.good("lease_take", { vm, wait_s: 300 });
      await model.good("type", { vm, text: `${line}\n` });
      await model.good("lease_give_back", { vm });
    });
  };
  const person = async () => {
    await types("c", async (line) => {
      await using one = await machine(vm, { socket, artifacts, timeoutMs, whenOwned: "wait" });
      await one.type(`${line}\n`);
    });
  };
  await Promise.all([agent("a", tokens[0] ?? ""), agent("b", tokens[1] ?? ""), person()]);
  await using looking = await machine(vm, { socket, artifacts, timeoutMs });
  await looking.type("echo the end\n");
  await looking.screen.text(/^the end$/m);
  const { lines } = await looking.client.screenText(vm);
  const typed = lines.flatMap((line) => /^guest# ([abc] .*)$/.exec(line.trimEnd())?.slice(1) ?? []);
  assert(typed.length > 0, lines.join("\n"));
  for (const line of typed) assertMatch(line, /^([abc]) \1{12}\d$/, lines.join("\n"));
  await client.barrier();
  await stream.return();
  await listening;
  // The audit explains each change of hands: nobody is given the keyboard that somebody else has.
  const hands = audit.filter((line) => /^LEASE_(GRANTED|RELEASED|REVOKED) ok.*, input,/.test(line));
  let owner = "";
  for (const line of hands) {
    const [, what = "", control = ""] = /^LEASE_([A-Z]+) .*(control \d+)/.exec(line) ?? [];
    assertEquals(owner, what === "GRANTED" ? "" : control, `${line}\n${hands.join("\n")}`);
    owner = what === "GRANTED" ? control : "";
  }
  assert(hands.length >= 2 * turns, `${turns} turns and\n${hands.join("\n")}`);
}

/** What is refused over HTTP as over standard input, in words that say what to do. */
async function withoutVm(url: string, token: string, stranger: string): Promise<void> {
  {
    await using foreign = await Model.onHttp(url, stranger);
    assert(!textOf(await foreign.good("list_vms")).includes(vm));
    for (const [name, args] of [["screenshot", {}], ["key", { text: "a" }], ["vm_state", {}]] as const) {
      assertMatch(textOf(await foreign.call(name, { vm, ...args })), /^no-endpoint: Cannot .*list_vms/);
    }
  }
  await using model = await Model.onHttp(url, token);
  const typed = await model.call("type", { vm, text: "x".repeat(10_000_000) });
  assertEquals(typed.isError, true);
  assertMatch(textOf(typed), /^bad-argument: Cannot call type: .*call again/);
  await model.good("screenshot", { vm });
  await model.good("power", { vm, operation: "quit" });
  for (
    const [name, args] of [
      ["vm_state", {}],
      ["screenshot", {}],
      ["key", { text: "a" }],
      ["click", { coordinate: [1, 1] }],
      ["processes", {}],
      ["power", { operation: "reset" }],
    ] as const
  ) {
    let answer = await model.call(name, { vm, ...args });
    // Its process takes a moment to end.
    while (answer.isError !== true) answer = await model.call(name, { vm, ...args });
    assertMatch(textOf(answer), /^(seam-down|no-endpoint): Cannot [\s\S]*list_vms/, name);
  }
}

function hexOf(text: string): string {
  return [...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
