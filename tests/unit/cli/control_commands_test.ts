/** The commands that change a VM or own a lease, and how a refusal or a signal ends them. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KIND } from "../../../src/event/kind.ts";
import type { Script } from "../client/fake_daemon.ts";
import { agreeable, command, kindsOf, vmsig, withDaemon } from "./command_process.ts";

Deno.test("vm: query, an operation, and one under the power lease", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    assertEquals((await vmsig("vm", "alpha", "query", ...at)).out, "paused (host-request)\n");
    assertEquals(JSON.parse((await vmsig("vm", "1", "query", "--json", ...at)).out), {
      endpoint: 1,
      state: "paused",
      detail: "host-request",
    });
    const reset = await vmsig("vm", "beta", "reset", ...at);
    assertEquals([reset.code, reset.out], [0, "beta: reset\n"]);
    assertEquals(kindsOf(daemon.peers.at(-1)).filter((kind) => kind !== "CMD_QUERY_INPUT"), [
      "CMD_ACQUIRE",
      "CMD_VM",
      "CMD_RELEASE",
    ]);
  });
});

Deno.test("a refusal is exit 1 with the code's name and what to do; the lease is released all the same", async () => {
  const agree = agreeable();
  const script: Script = {
    ...agree,
    onCommand: (command, peer) =>
      command.kind === KIND.CMD_VM ? peer.ack(command, 10) : agree.onCommand?.(command, peer),
  };
  await withDaemon(script, async (daemon, at) => {
    const ran = await vmsig("vm", "alpha", "reset", ...at);
    assertEquals([ran.code, ran.out], [1, ""]);
    assertMatch(ran.err, /^vmsig: refused: Cannot reset alpha: .*log.*\n$/);
    assertEquals(kindsOf(daemon.peers.at(-1)).at(-1), "CMD_RELEASE");
    const unknown = await vmsig("vm", "gamma", "stop", ...at);
    assertEquals(unknown.code, 1);
    assertMatch(unknown.err, /^vmsig: no-endpoint: .*0 alpha, 1 beta\n$/);
  });
});

Deno.test("what the VM said to a refused command is in the answer, plain and under --json", async () => {
  const script: Script = {
    endpoints: ["alpha"],
    onCommand(command, peer) {
      if (command.kind !== KIND.CMD_INPUT) return agreeable().onCommand?.(command, peer);
      peer.error(0, 10, command.corr, "VM not running");
      peer.ack(command, 10);
    },
  };
  await withDaemon(script, async (_daemon, at) => {
    const key = await vmsig("key", "alpha", "a", ...at);
    assertEquals([key.code, key.out], [1, ""]);
    assertMatch(key.err, /^vmsig: refused: Cannot .*: the VM refused it: VM not running\n$/);
    const json = await vmsig("mouse", "alpha", "move", "1", "2", "--json", ...at);
    assertEquals(json.code, 1);
    const { code, text } = JSON.parse(json.err);
    assertEquals(code, "refused");
    assertStringIncludes(text, "VM not running");
  });
});

Deno.test("key, type, mouse, held and lease", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    assertEquals((await vmsig("key", "alpha", "ctrl-c", "enter", ...at)).out, "alpha: 2 pressed\n");
    assertEquals(kindsOf(daemon.peers.at(-1)).filter((kind) => kind === "CMD_INPUT").length, 2);
    const typed = await vmsig("type", "alpha", "Hi!", "--json", ...at);
    const { endpoint, ok, characters } = JSON.parse(typed.out);
    assertEquals([endpoint, ok, characters], [0, true, 3]);
    assertEquals((await vmsig("mouse", "alpha", "scroll", "-3", ...at)).out, "alpha: scroll\n");
    assertEquals(
      (await vmsig("held", "alpha", "--json", ...at)).out,
      '{"kind":"key","code":30,"name":"a"}\n',
    );
    assertEquals(
      (await vmsig("lease", "beta", "power", "status", "--json", ...at)).out,
      `${JSON.stringify({ endpoint: 1, class: "power", busy: true, ownerPrincipal: 4711 })}\n`,
    );
    const under = await vmsig(
      "lease",
      "beta",
      "power",
      "hold",
      ...at,
      "--",
      "sh",
      "-c",
      "echo under; exit 7",
    );
    assertEquals([under.code, under.out], [7, "under\n"]);
    assertEquals(kindsOf(daemon.peers.at(-1)).at(-1), "CMD_RELEASE");
    const none = await vmsig("lease", "beta", "power", "hold", ...at, "--", "/no/such/program");
    assertEquals(none.code, 3);
    assertMatch(none.err, /^vmsig: missing: .*there is no such program\n$/);
  });
});

Deno.test("Ctrl-C releases the lease and exits 130, SIGTERM 143", async () => {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    await withDaemon(agreeable(), async (daemon, at) => {
      const child = command(["lease", "alpha", "input", "hold", ...at]).spawn();
      while (!kindsOf(daemon.peers[0]).includes("CMD_ACQUIRE")) await new Promise((r) => setTimeout(r, 5));
      const reader = child.stdout.getReader();
      const { value } = await reader.read();
      assertStringIncludes(new TextDecoder().decode(value), "alpha: input is owned (token 8)");
      child.kill(signal);
      const ended = await child.status;
      await reader.cancel();
      const err = await new Response(child.stderr).text();
      assertEquals([ended.code, err], [code, ""]);
      // It has been sent; this process may not have read it yet.
      while (!kindsOf(daemon.peers[0]).includes("CMD_RELEASE")) await new Promise((r) => setTimeout(r, 5));
    });
  }
});

Deno.test("a daemon that hangs keeps nobody: Ctrl-C ends any command at once, --timeout a wait", async () => {
  await withDaemon({ mute: true }, async (daemon, at) => {
    for (const [i, line] of [["ls"], ["key", "alpha", "a"], ["watch"], ["doctor"]].entries()) {
      const child = command([...line, ...at]).spawn();
      while (daemon.peers[i]?.hello === undefined) await new Promise((r) => setTimeout(r, 5));
      child.kill("SIGINT");
      const { code, stderr } = await child.output();
      assertEquals([code, new TextDecoder().decode(stderr)], [130, ""], line.join(" "));
    }
    const late = await vmsig("wait", "alpha", "--ready", "--timeout", "100", ...at);
    assertEquals([late.code, late.out], [1, ""]);
    assertMatch(
      late.err,
      /^vmsig: timed-out: Cannot wait for .*alpha.*: not within 100 ms, in which the daemon did not answer\n$/,
    );
  });
});

Deno.test("a lease that is lost ends hold and what runs under it", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    const child = command(["lease", "alpha", "input", "hold", ...at, "--", "sleep", "60"]).spawn();
    while (!kindsOf(daemon.peers[0]).includes("CMD_ACQUIRE")) await new Promise((r) => setTimeout(r, 5));
    daemon.peer.send(KIND.LEASE_REVOKED);
    const { code, stderr } = await child.output();
    assertEquals(code, 1);
    assertMatch(new TextDecoder().decode(stderr), /^vmsig: stale-lease: .*preempted.*\n$/);
  });
});
