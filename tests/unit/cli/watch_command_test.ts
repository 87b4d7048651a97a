/** `vmsig watch` as a process of its own: filters, formats, and a reader that goes away. */
import { assertEquals } from "@std/assert";
import { KIND } from "../../../src/event/kind.ts";
import { agreeable, command, vmsig, withDaemon } from "./command_process.ts";

Deno.test("watch: filters, --count, --for, columns", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    const counted = await vmsig("watch", "--json", "--count", "2", ...at);
    const [first] = counted.out.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(first, {
      kind: "ROSTER",
      source: "CORE",
      prio: "NORMAL",
      endpoint: 0,
      seq: 1,
      corr: 0,
      tsNs: 1000,
      state: 2,
      seams: 0b1100100,
      pid: 4000,
      vmid: 100,
      name: "alpha",
      stateName: "up",
    });
    assertEquals(counted.out.trim().split("\n").length, 2);
    const named = await vmsig("watch", "beta", "--count", "1", ...at);
    assertEquals(named.out.split("\n").map((line) => line.trim().split(/\s{2,}/)), [
      ["SECONDS", "SOURCE", "KIND", "ENDPOINT", "WHAT"],
      ["0.000001", "CORE", "ROSTER", "beta", "beta up [input vmhost memctx] pid 4001"],
      [""],
    ]);
    const none = await vmsig("watch", "--kind", "vm_lifecycle", "--source", "vmhost", "--for", "50", ...at);
    assertEquals([none.code, none.out, none.err], [0, "", ""]);
    assertEquals(daemon.peers.length, 3);
  });
});

Deno.test("a reader that goes away ends watch at once, also when nothing happens any more", async () => {
  await withDaemon(agreeable(), async (_daemon, at) => {
    const child = command(["watch", ...at]).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const ended = await child.status;
    assertEquals([ended.code, await new Response(child.stderr).text()], [0, ""]);
  });
});

Deno.test("a reader that goes away ends watch quietly", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    const child = command(["watch", ...at]).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const ticking = setInterval(() => {
      const [peer] = daemon.peers;
      if (peer !== undefined && !peer.fd.closed) peer.send(KIND.VM_LIFECYCLE);
    }, 5);
    const ended = await child.status;
    clearInterval(ticking);
    assertEquals([ended.code, await new Response(child.stderr).text()], [0, ""]);
  });
});
