/** What `ls` lists, and how the commands report memory that cannot be read. */
import { assertEquals, assertMatch } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { ROSTER_STATE } from "../../../src/event/body_number.ts";
import { CAP } from "../../../src/event/capability.ts";
import { SOURCE } from "../../../src/event/source.ts";
import type { Script } from "../client/fake_daemon.ts";
import { agreeable, vmsig, withDaemon } from "./command_process.ts";

Deno.test("ls: columns for a person, objects for a program", async () => {
  await withDaemon({ ...agreeable(), contexts: [0, 1] }, async (_daemon, at) => {
    const table = await vmsig("ls", ...at);
    assertEquals([table.code, table.err], [0, ""]);
    assertEquals(table.out.split("\n"), [
      "#  NAME   STATE  SEAMS                PID   VMID",
      "0  alpha  up     input,vmhost,memctx  4000  100",
      "1  beta   up     input,vmhost,memctx  4001  101",
      "",
    ]);
    const json = await vmsig("ls", "--json", ...at);
    assertEquals(json.out.trim().split("\n").map((line) => JSON.parse(line)), [
      { endpoint: 0, name: "alpha", state: "up", seams: ["input", "vmhost", "memctx"], pid: 4000, vmid: 100 },
      { endpoint: 1, name: "beta", state: "up", seams: ["input", "vmhost", "memctx"], pid: 4001, vmid: 101 },
    ]);
  });
});

Deno.test("record --memory names each VM whose memory it did not copy, and why", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-record-" });
  try {
    const script: Script = {
      ...agreeable(),
      onJoin: (peer) => {
        peer.error(0, CODE["not-supported"], 0, "its RAM is not shared", SOURCE.MEMCTX);
        peer.roster(2, "gone");
        peer.roster(2, "gone", ROSTER_STATE.GONE);
      },
    };
    await withDaemon(script, async (_daemon, at) => {
      const args = ["record", "--memory", "--for", "300", ...at, "-o"];
      const text = await vmsig(...args, `${folder}/a.cbor`);
      assertEquals([text.code, text.err.trim().split("\n")], [0, [
        "vmsig: the memory of gone was not copied: it was detached before a memory context was announced",
        "vmsig: the memory of alpha was not copied: its RAM is not shared",
        "vmsig: the memory of beta was not copied: no memory context was announced",
      ]]);
      const json = await vmsig(...args, `${folder}/b.cbor`, "--json");
      const { memory, uncopied } = JSON.parse(json.out);
      assertEquals([memory, uncopied.map(({ name }: { name: string }) => name)], [
        [],
        ["gone", "alpha", "beta"],
      ]);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ls: a memory seam that is up and has no system yet, or none that is known, says so", async () => {
  const script: Script = {
    ...agreeable(),
    endpoints: ["alpha", "beta", "gamma"],
    contexts: [0],
    onJoin: (peer) => peer.error(2, 15, 0, "not supported: Linux 5.10.0", SOURCE.MEMCTX),
  };
  await withDaemon(script, async (_daemon, at) => {
    const table = await vmsig("ls", ...at);
    assertEquals([table.code, table.err], [0, ""]);
    assertMatch(table.out, /alpha +up +input,vmhost,memctx +4000/);
    assertMatch(table.out, /beta +up +input,vmhost,memctx \(no system yet\) +4001/);
    assertMatch(table.out, /gamma +up +input,vmhost,memctx \(no known system\) +4002/);
    const json = await vmsig("ls", "--json", ...at);
    const memory = json.out.trim().split("\n").map((line) => JSON.parse(line).memory);
    assertEquals(memory, [undefined, "no-system-yet", "no-known-system"]);
  });
  // Who may not see memory is told nothing of it.
  await withDaemon({ ...script, welcome: { caps: CAP.ROSTER | CAP.OBSERVE } }, async (_daemon, at) => {
    assertMatch((await vmsig("ls", ...at)).out, /beta +up +input,vmhost,memctx +4001/);
  });
});

Deno.test("mem and screen tell a reason that is known, and do not call it a temporary one", async () => {
  const script: Script = {
    ...agreeable(),
    endpoints: ["alpha", "beta"],
    onJoin: (peer) => {
      peer.error(0, 15, 0, "not supported: Linux 5.10.0", SOURCE.MEMCTX);
      peer.roster(1, "beta", 2, 0b0100100);
      peer.error(1, 15, 0, "RAM is not shared: see vmsig probe", SOURCE.MEMCTX);
    },
  };
  await withDaemon(script, async (_daemon, at) => {
    const unknown = await vmsig("mem", "alpha", "ps", ...at);
    assertEquals([unknown.code, unknown.out], [1, ""]);
    assertMatch(
      unknown.err,
      /^vmsig: not-supported: Cannot examine the memory of alpha: not supported: Linux 5.10.0 /,
    );
    const unshared = await vmsig("mem", "beta", "ps", "--json", ...at);
    assertMatch(
      JSON.parse(unshared.err).text,
      /beta: RAM is not shared: see vmsig probe \(its memory seam is down; .*: vmsig mem pid:4001\)/,
    );
    const screen = await vmsig("screen", "beta", "--source", "vgpu", ...at);
    assertMatch(screen.err, /RAM is not shared/);
  });
});
