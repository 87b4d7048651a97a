/**
 * A model's tools of the guest agent, on Debian's own agent in a real guest: programs with their output and
 * exit code, files there and back as text and as bytes, and each refusal with a code and what to do.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { base64Of } from "../../src/mcp/base64.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { agentChannel, agentFiles, START_AGENT } from "./agent_payload.ts";
import { textOf } from "./mcp_client.ts";
import { Model } from "./mcp_sdk.ts";
import { startSavedGuest } from "./saved_guest.ts";

const WORKER = "/bin/worker";
const vm = "vm";

Deno.test("mcp: exec, read_file and write_file on Debian's guest agent", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-mcp-agent-" });
  try {
    await using guest = await startSavedGuest({
      programs: ["worker"],
      modules: ["virtio_pci", "virtio_console"],
      files: await agentFiles(),
      extraArgs: agentChannel(`${folder}/ga.sock`),
    });
    const config =
      `[[endpoint]]\nname = "vm"\nqmp = "${guest.qmpPath}"\ninput = "none"\nmemory = "none"\ndisplay = "none"\n`;
    await using daemon = await DaemonProcess.start({ config });
    await using model = await Model.onStdio(["--socket", daemon.socket]);
    await guest.agent.start(...START_AGENT);
    await until("the agent is up", async () => {
      const listed = JSON.parse(textOf(await model.good("list_vms")));
      return listed[0]?.seams.includes("agent") === true;
    });
    const run = async (command: readonly string[], more: object = {}) =>
      JSON.parse(textOf(await model.good("exec", { vm, command, ...more })));

    const said = await run([WORKER, "echo", "a b", "ü"]);
    assertEquals([said.exit_code, said.stdout, said.truncated], [0, "a b\nü\n", false]);
    const failed = await run([WORKER, "exit", "7"]);
    assertEquals([failed.exit_code, failed.stderr], [7, "sorry\n"]);
    assertEquals((await run([WORKER, "abort"])).killed_by_signal, 6);
    assertEquals((await run([WORKER, "cat"], { input: "to and fro\n" })).stdout, "to and fro\n");
    const spam = await run([WORKER, "spam", "300000"]);
    assertEquals([spam.stdout.length, spam.truncated], [65_536, true]);

    // Files, as text and as bytes that are none.
    assertStringIncludes(
      textOf(await model.good("write_file", { vm, path: "/tmp/note", content: "grün\tund\nmehr\n" })),
      "wrote 15 bytes to /tmp/note",
    );
    assertEquals(textOf(await model.good("read_file", { vm, path: "/tmp/note" })), "grün\tund\nmehr\n");
    const bytes = crypto.getRandomValues(new Uint8Array(50_000));
    const content = base64Of(bytes);
    await model.good("write_file", { vm, path: "/tmp/bytes", content, base64: true });
    assertEquals(await guest.agent.read("/tmp/bytes"), bytes);
    assertEquals(textOf(await model.good("read_file", { vm, path: "/tmp/bytes", base64: true })), content);
    // What a guest writes cannot speak to a terminal or hide itself.
    await guest.agent.write("/tmp/evil", new TextEncoder().encode("\u001b[2Jhello\u202e\n"));
    const evil = textOf(await model.good("read_file", { vm, path: "/tmp/evil" }));
    assert(!evil.includes("\u001b") && !evil.includes("\u202e") && evil.includes("hello"), evil);

    for (
      const [name, args, expected] of [
        ["exec", { vm, command: ["/bin/nosuch"] }, /^refused: Cannot .*nosuch/],
        ["exec", { vm, command: [WORKER, "spam", "2000000"] }, /^too-large: Cannot .*Ask for less at once/],
        ["read_file", { vm, path: "/tmp/nosuch" }, /^refused: Cannot /],
        ["read_file", { vm, path: "/tmp" }, /^[a-z-]+: Cannot /],
        ["write_file", { vm, path: "/nosuch/x", content: "x" }, /^refused: Cannot /],
      ] as const
    ) {
      const answer = await model.call(name, args);
      assertEquals(answer.isError, true, `${name}: ${textOf(answer)}`);
      assertMatch(textOf(answer), expected);
    }
    // A file without an end: the model is told how to read a part of it.
    const large = await model.call("read_file", { vm, path: "/dev/zero" });
    assertMatch(
      textOf(large),
      /^too-large: Cannot read \/dev\/zero: it has more than 1048576 bytes; use exec/,
    );
    // Without the right to run programs only reading is offered.
    await using less = await Model.onStdio(["--socket", daemon.socket, "--read-only"]);
    const tools = await less.tools();
    assertEquals(["exec", "write_file", "read_file"].map((tool) => tools.includes(tool)), [
      false,
      false,
      true,
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
