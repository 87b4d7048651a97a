/**
 * `own_monitor = true`: a QEMU that can have several monitors (11.1) is given one while the daemon is there,
 * which needs no libvirtd once it is made and is gone when the daemon goes; any other one is spoken to
 * through libvirt as ever. Debian's QEMU is older: `deno task nightly sid` has a newer one.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { takeInput } from "../../src/client/input_control.ts";
import { keyRecord } from "../../src/client/input_record.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { Libvirtd } from "./libvirtd.ts";

async function has(client: Client, name: string, seam: string): Promise<void> {
  await until(`${name} has ${seam}`, () => {
    return client.roster.list().find((each) => each.name === name)?.seams.includes(seam) === true;
  }, 180_000);
}

async function ask(libvirt: Libvirtd, command: string): Promise<unknown> {
  return JSON.parse(
    await libvirt.virsh("qemu-monitor-command", "web", JSON.stringify({ execute: command })),
  ).return;
}

Deno.test("libvirt: a monitor of the daemon's own where QEMU can have one, and by libvirt where it cannot", async () => {
  await using libvirt = await Libvirtd.start();
  await libvirt.domain("web", { memfd: true });
  const web = libvirt.endpoint("web");
  const { qemu } = await ask(libvirt, "query-version") as { qemu: { major: number; minor: number } };
  const isOwn = qemu.major > 11 || (qemu.major === 11 && qemu.minor >= 1);
  const own = async () => {
    const chardevs = await ask(libvirt, "query-chardev") as { label: string }[];
    return chardevs.filter(({ label }) => label.startsWith("vmsig-")).length;
  };
  {
    await using daemon = await DaemonProcess.start({ config: `${libvirt.config}own_monitor = true\n` });
    await using client = await daemon.connect("watches");
    for (const seam of ["vmhost", "input", "memctx"]) await has(client, web, seam);
    assertEquals(await own(), isOwn ? 1 : 0);
    if (isOwn) await daemon.says(/QEMU has a monitor of our own/);
    else assert(!daemon.logText.includes("QEMU has a monitor of our own"));
    assertEquals(await client.vmState(web), { state: "running", detail: "none" });
    await client.vm(web, "stop");
    assertMatch(await libvirt.virsh("domstate", "web"), /paused/);
    await client.vm(web, "cont");
    {
      await using input = await takeInput(client, web);
      await input.frame([keyRecord(30, true)]);
      await input.frame([keyRecord(30, false)]);
    }
    // Once it is made it needs no libvirtd.
    await libvirt.kill();
    await daemon.says(/libvirt is away/);
    if (isOwn) assertEquals((await client.vmState(web)).state, "running");
    await libvirt.restart();
    await has(client, web, "vmhost");
    assertEquals((await client.vmState(web)).state, "running");
    assertEquals(await own(), isOwn ? 1 : 0);
  }
  await until("it is gone with the daemon", async () => await own() === 0);
  assertEquals(await libvirt.virsh("domstate", "web"), "running\n\n");
});
