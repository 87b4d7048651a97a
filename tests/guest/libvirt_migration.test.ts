/**
 * A domain that libvirt migrates to another host, for real: two libvirtds that take each other for other
 * hosts, and a daemon beside each. It leaves the one with that reason, and appears on the other.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { SEAM_REASON } from "../../src/event/body_number.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { Libvirtd } from "./libvirtd.ts";

/** libvirt takes it for the same host otherwise. */
const host = (digit: string) => ({
  config: `host_uuid = "${digit.repeat(8)}-0000-4000-8000-000000000000"\n`,
});

async function isThere(client: Client, name: string, wanted: boolean): Promise<void> {
  await until(`${name} is there: ${wanted}`, () => {
    return client.roster.list().some((each) => each.name === name && each.state === "up") === wanted;
  }, 180_000);
}

Deno.test("libvirt: a domain that is migrated away goes down with that reason, and appears where it runs", async () => {
  await using here = await Libvirtd.start(host("1"));
  await using there = await Libvirtd.start(host("2"));
  await here.domain("web", { ramMiB: 32, memfd: true });
  await using daemon = await DaemonProcess.start({ config: here.config });
  await using other = await DaemonProcess.start({ config: there.config });
  await using client = await daemon.connect("leaves");
  await using target = await other.connect("comes");
  const web = here.endpoint("web");
  await isThere(client, web, true);
  const downs: { source: string; reason: number }[] = [];
  const stream = client.events({ kinds: ["SEAM_DOWN"] });
  const noting = (async () => {
    for await (const event of stream) {
      downs.push({ source: event.sourceName, reason: event.as("SEAM_DOWN")?.reason ?? -1 });
    }
  })();
  there.owns("web");
  await here.virsh(
    "migrate",
    "--live",
    "web",
    `qemu+unix:///session?socket=${there.socket}`,
    "--migrateuri",
    `unix://${here.folder}/m.sock`,
  );
  await isThere(client, web, false);
  await isThere(target, web, true);
  assertEquals((await target.vmState(web)).state, "running");
  await until("its end is told", () => downs.some(({ source }) => source === "VMHOST"));
  await stream.return();
  await noting;
  assert(downs.length > 0);
  const others = downs.filter(({ reason }) => reason !== SEAM_REASON.MIGRATED);
  assertEquals(others, [], daemon.logText);
  await daemon.says(/it was migrated to another host/);
  await target.vm(web, "stop");
  assertEquals((await target.vmState(web)).state, "paused");
});
