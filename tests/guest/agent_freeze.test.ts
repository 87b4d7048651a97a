/**
 * Freezing a guest's file systems by Debian's real guest agent: as a library and as a command, and that they
 * are thawed whatever becomes of the one who froze them.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { AgentControl } from "../../src/client/agent_control.ts";
import { DaemonProcess, startVmsig, until, vmsig } from "../fixtures/daemon_process.ts";
import { AgentGuest, config, isUp } from "./agent_guest.ts";

/** Waits for the words of the agent itself, asked by another control. */
async function isStatus(daemon: DaemonProcess, wanted: string): Promise<void> {
  await using client = await daemon.connect("looks");
  await using agent = await AgentControl.of(client, "vm");
  await until(`it is ${wanted}`, async () => await agent.freezeStatus() === wanted);
}

Deno.test("agent: file systems are frozen for a command's time, and thawed when their owner dies", async () => {
  await using guest = await AgentGuest.start(",id=port0", true);
  const { vm } = guest;
  const first = await guest.agent();
  const mount = await vm.agent.start("/bin/worker", "mount", "/dev/vda", "/mnt");
  assertEquals((await mount.wait()).code, 0);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-freeze-" });
  try {
    await using daemon = await DaemonProcess.start({ config: config(vm), folder });
    await isUp(daemon);
    const socket = ["--socket", daemon.socket];

    // While a command of this host runs; its exit code is the command's.
    const frozen = ["agent", "vm", "freeze", ...socket, "--"];
    const asked = `"$0" "$@"; exit 7`;
    const status = [Deno.execPath(), "eval", "console.log(1)"];
    const ran = await vmsig([...frozen, "sh", "-c", asked, ...status]);
    assertEquals([ran.code, ran.text, ran.errors], [7, "1\n", ""]);
    await isStatus(daemon, "thawed");

    // Until Ctrl-C.
    const holds = startVmsig(["agent", "vm", "freeze", ...socket]);
    await isStatus(daemon, "frozen");
    const told = await vmsig(["agent", "vm", "freeze-status", ...socket]);
    assertEquals([told.code, told.text], [0, "frozen\n"]);
    const busy = await vmsig(["agent", "vm", "thaw", ...socket]);
    assertEquals(busy.code, 1);
    assertMatch(busy.errors, /busy: .* owns it/);
    holds.kill("SIGINT");
    const { code, stdout } = await holds.output();
    assertEquals(code, 130);
    const words = "vm: 1 file system frozen; Ctrl-C thaws\nvm: 1 file system thawed\n";
    assertEquals(new TextDecoder().decode(stdout), words);
    await isStatus(daemon, "thawed");

    // Killed.
    const dies = startVmsig(["agent", "vm", "freeze", ...socket]);
    await isStatus(daemon, "frozen");
    dies.kill("SIGKILL");
    await dies.output();
    await isStatus(daemon, "thawed");

    // The agent is started anew meanwhile: what cannot be thawed at once is thawed when it is back.
    await using client = await daemon.connect("freezes");
    const agent = await AgentControl.of(client, "vm");
    assertEquals(await agent.freeze(), 1);
    // Frozen, it does not end by SIGTERM.
    await first.kill(9);
    await isUp(daemon, false);
    await agent[Symbol.asyncDispose]();
    await until("the log tells it", () => daemon.logText.includes("file systems stay frozen"));
    await guest.agent();
    await isUp(daemon);
    await isStatus(daemon, "thawed");

    // The daemon is told to stop: when it has ended, the guest is thawed. It rests before, as a backup takes
    // its time, so that the agent's channel is not open any more.
    assertEquals(await agent.freeze(), 1);
    await until("the channel is closed", async () => {
      const sockets = (await Deno.readTextFile("/proc/net/unix")).split("\n");
      return !sockets.some((line) => line.endsWith(guest.path) && line.split(/ +/)[5] === "03");
    });
    assertEquals((await daemon.stop()).code, 0);
    const next = await DaemonProcess.start({ config: config(vm), folder });
    try {
      await isUp(next);
      await using later = await next.connect("looks");
      await using looks = await AgentControl.of(later, "vm");
      assertEquals(await looks.freezeStatus(), "thawed");
    } finally {
      await next[Symbol.asyncDispose]();
    }
    const lost = await assertRejects(() => agent.freezeStatus(), Fault);
    assertMatch((lost as Fault).code, /unreachable|seam-down/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
