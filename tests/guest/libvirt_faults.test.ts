/**
 * What goes wrong between libvirt and vmsig, for real: QEMUs and a libvirtd that stand still, a libvirtd that
 * is killed in the middle of a call, domains that are saved, renamed and undefined, and one that lets us
 * only read, or not in. Each is told with what to do, and everything else stays up.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/client.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { Libvirtd } from "./libvirtd.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

/** Reached by a hang alone. */
const LONG_MS = 180_000;

async function isUp(client: Client, name: string, wanted = "up"): Promise<void> {
  await until(`${name} is ${wanted}`, () => {
    const entry = client.roster.list().find((each) => each.name === name);
    return (entry?.state ?? "gone") === wanted;
  }, LONG_MS);
}

/** What a VM does; "" while it cannot be asked. */
async function stateOf(client: Client, name: string): Promise<string> {
  try {
    return (await client.vmState(name)).state;
  } catch (error) {
    if (error instanceof Fault) return "";
    throw error;
  }
}

Deno.test("libvirt: QEMUs that stand still hold up no other domain, however many they are", async () => {
  await using libvirt = await Libvirtd.start();
  // libvirtd works on five calls of one client at a time.
  const names = Array.from({ length: 6 }, (_, i) => `still${i}`);
  for (const name of [...names, "runs"]) await libvirt.domain(name, { ramMiB: 32 });
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("watches");
  for (const name of [...names, "runs"]) await isUp(client, libvirt.endpoint(name));
  const pids = await Promise.all(names.map((name) => libvirt.pid(name)));
  for (const pid of pids) await stopProcess(pid as number);
  try {
    for (const name of names) await isUp(client, libvirt.endpoint(name), "down");
    await until("the log tells it", () => daemon.logText.includes("QEMU does not answer through libvirt"));
    // A libvirtd that a busy machine lets wait for long is away for a moment, and comes back.
    const runs = libvirt.endpoint("runs");
    await until("the one that runs answers", async () => await stateOf(client, runs) === "running", LONG_MS);
    await until("it is stopped and runs on", async () => {
      try {
        await client.vm(runs, "stop");
        await client.vm(runs, "cont");
        return true;
      } catch (error) {
        if (error instanceof Fault) return false;
        throw error;
      }
    }, LONG_MS);
    const words =
      /^vmsig: seam-down: Cannot query \S+: QEMU does not answer through libvirt: it is stopped \(SIGSTOP\) or stuck; it is used again as soon as it answers/;
    await until("who asks the one that stands still is told so", async () => {
      const refused = await vmsig(["vm", libvirt.endpoint("still0"), "query", "--socket", daemon.socket]);
      assertEquals(refused.code, 1);
      return words.test(refused.errors);
    }, LONG_MS);
  } finally {
    for (const pid of pids) Deno.kill(pid as number, "SIGCONT");
  }
  for (const name of names) await isUp(client, libvirt.endpoint(name));
  assertEquals(await client.vmState(libvirt.endpoint("still5")), { state: "running", detail: "none" });
});

Deno.test("libvirt: a libvirtd that stands still, or is killed in the middle of a call, is told; the rest stays", async () => {
  await using libvirt = await Libvirtd.start();
  await libvirt.domain("web", { memfd: true });
  const web = libvirt.endpoint("web");
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("watches");
  await isUp(client, web);
  await libvirt.signal("SIGSTOP");
  try {
    await daemon.says(/libvirtd does not answer: it is stopped \(SIGSTOP\) or stuck/);
    await isUp(client, web, "down");
    const refused = await vmsig(["vm", web, "stop", "--socket", daemon.socket]);
    assertEquals(refused.code, 1);
    assertMatch(
      refused.errors,
      /^vmsig: seam-down: Cannot stop \S+: libvirt is away: libvirtd does not answer: it is stopped \(SIGSTOP\) or stuck; look at it/,
    );
  } finally {
    await libvirt.signal("SIGCONT");
  }
  await isUp(client, web);

  // Its QEMU stands still, so that the call is under way for sure.
  await until("it answers", async () => await stateOf(client, web) === "running", LONG_MS);
  const from = daemon.logText.length;
  const pid = await libvirt.pid("web") as number;
  await stopProcess(pid);
  const stopped = vmsig(["vm", web, "stop", "--socket", daemon.socket]);
  try {
    await daemon.says(/does not answer through libvirt/, from);
    await libvirt.kill();
  } finally {
    Deno.kill(pid, "SIGCONT");
  }
  assertEquals((await stopped).code, 1);
  await daemon.says(
    /libvirt is away.*libvirtd closed the connection; start it, if it does not come back/,
    from,
  );
  await libvirt.restart();
  // The stop may have come about in the end.
  await until("it answers", async () => /^(?:running|paused)$/.test(await stateOf(client, web)), LONG_MS);
});

Deno.test("libvirt: a domain that is saved, renamed, undefined", async () => {
  await using libvirt = await Libvirtd.start();
  for (const name of ["first", "second"]) await libvirt.domain(name);
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("watches");
  const [first, second] = ["first", "second"].map((name) => libvirt.endpoint(name)) as [string, string];
  for (const name of [first, second]) await isUp(client, name);
  await libvirt.virsh("managedsave", "first");
  await isUp(client, first, "gone");
  await daemon.says(/libvirt has saved it \(virsh start brings it back\)/);
  await libvirt.virsh("start", "first");
  await isUp(client, first);
  assertEquals((await client.vmState(first)).state, "running");
  await libvirt.virsh("destroy", "first");
  await isUp(client, first, "gone");
  await libvirt.virsh("domrename", "first", "third");
  await libvirt.virsh("start", "third");
  const third = libvirt.endpoint("third");
  await isUp(client, third);
  // Undefined while it runs it runs on.
  await libvirt.virsh("undefine", "third");
  assertEquals((await client.vmState(third)).state, "running");
  await libvirt.virsh("destroy", "third");
  await isUp(client, third, "gone");
  assertEquals((await client.vmState(second)).state, "running");
});

Deno.test({
  name: "libvirt: the system's, which lets us only read, or wants polkit's word, is told with what to do",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using libvirt = await Libvirtd.start({ isSystem: true });
    await libvirt.domain("web");
    const only = libvirt.config.replace("libvirt-sock", "libvirt-sock-ro");
    {
      await using reader = await DaemonProcess.start({ config: only });
      await reader.says(/libvirt is away.*libvirt refuses: .*read.?only.*libvirt-sock-ro/s);
    }
    await using daemon = await DaemonProcess.start({ config: libvirt.config });
    await using client = await daemon.connect("watches");
    await isUp(client, libvirt.endpoint("web"));
    assertEquals(
      client.roster.list().find(({ name }) => name === libvirt.endpoint("web"))?.pid,
      await libvirt.pid("web"),
    );
    // polkit is asked for each call, and is not there.
    await libvirt.kill();
    const from = daemon.logText.length;
    await libvirt.restart('auth_unix_rw = "none"\naccess_drivers = ["polkit"]\n');
    await daemon.says(/libvirt is away.*libvirt refuses: [^"]+let the daemon's user in: .*polkit rule/, from);
    await isUp(client, libvirt.endpoint("web"), "down");
    await libvirt.kill();
    await libvirt.restart('auth_unix_rw = "none"\n');
    await isUp(client, libvirt.endpoint("web"));
  },
});
