/**
 * Displays that come and go while the VM runs, through the real daemon: one that is plugged in is found when
 * it is asked for; one that is removed ends its viewers with a reason, and no other gets its number while it
 * is watched. QEMU takes a PCI device of the machine `pc` out at a reset, whatever the guest says.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/mod.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

function endpoint(name: string, qmp: string | undefined, display = "auto"): string {
  return `[[endpoint]]\nname = "${name}"\nqmp = "${qmp}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`;
}

/** Watches a head until its loop ends; what it threw. */
async function watchToTheEnd(client: Client, head: number, onFirst: () => void): Promise<unknown> {
  try {
    for await (const frame of client.frames("vm", { head, perSecond: 20 })) {
      assertEquals(frame.head, head);
      onFirst();
    }
  } catch (error) {
    return error;
  }
  return undefined;
}

async function devices(client: Client): Promise<string[]> {
  return (await client.display("vm")).heads.map(({ device, why }) => why.includes("removed") ? why : device);
}

/** Takes a device out: the guest is asked, and a reset answers for it. */
async function unplug(qmp: TestQmp, id: string): Promise<void> {
  await qmp.execute("device_del", { id });
  await qmp.execute("system_reset");
}

Deno.test("display: what is plugged in is found when it is asked for; what is removed ends its viewers, and numbers stay", async () => {
  await using vm = await startFirmware({
    machine: "pc",
    devices: ["no-vga"],
    qmpSockets: 2,
    extraArgs: ["-device", "secondary-vga,id=a", "-device", "bochs-display,id=b"],
  });
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] as string);
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", vm.qmpPaths[0]) });
  await using client = await daemon.connect("test");
  await until("its displays", async () => (await client.display("vm")).known);
  assertEquals(await devices(client), ["a", "b"]);

  let seen = 0;
  const first = watchToTheEnd(client, 0, () => seen |= 1);
  const second = watchToTheEnd(client, 1, () => seen |= 2);
  await until("pictures of both", () => seen === 3);
  await unplug(qmp, "a");
  const ended = await first;
  assert(ended instanceof Fault, `${ended}`);
  assertEquals([ended.code, ended.message], [
    "bad-argument",
    "Cannot watch the screen of vm: its device was removed",
  ]);
  // Pictures of the other one come under its own number, as ever.
  assertEquals((await client.frame("vm", { head: 1 })).device, "b");
  const gone = await assertRejects(() => client.frame("vm"), Fault);
  assertEquals([gone.code, gone.message], [
    "bad-argument",
    "Cannot take a picture of vm: its device was removed",
  ]);
  assertEquals(await devices(client), ["its device was removed", "b"]);

  await qmp.execute("device_add", { driver: "secondary-vga", id: "c" });
  await until("the new one", async () => {
    try {
      return (await client.frame("vm")).device === "c";
    } catch (error) {
      // It is asked for once a second at most.
      assert(error instanceof Fault && error.code === "bad-argument", `${error}`);
      return false;
    }
  });
  assertEquals(await devices(client), ["c", "b"]);
  const third = watchToTheEnd(client, 0, () => seen |= 4);
  await until("its pictures", () => (seen & 4) !== 0);

  // QEMU 7.2 does not tell that a bochs-display is gone; the reset has it asked.
  await unplug(qmp, "b");
  assert(await second instanceof Fault);
  await unplug(qmp, "c");
  assert(await third instanceof Fault);
  await until(
    "the seam is down",
    () => !(client.roster.list().find(({ name }) => name === "vm")?.seams ?? []).includes("frame"),
  );
  const none = await assertRejects(() => client.frame("vm"), Fault);
  assertEquals([none.code, none.message], [
    "not-supported",
    "Cannot take a picture of vm: the VM has no display",
  ]);
  assertEquals(await devices(client), []);
});

Deno.test("display: a VM without display that gets one, read out of its memory; several without ids", async () => {
  await using vm = await startFirmware({ machine: "pc", devices: ["no-vga"], qmpSockets: 2 });
  await using two = await startFirmware({
    devices: ["no-vga"],
    extraArgs: ["-device", "VGA", "-device", "secondary-vga"],
  });
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] as string);
  await using daemon = await DaemonProcess.start({
    config: endpoint("vm", vm.qmpPaths[0]) + endpoint("two", two.qmpPath),
  });
  await using client = await daemon.connect("test");
  await until("it is known to have none", async () => (await client.display("vm")).known);
  await assertRejects(() => client.frame("vm"), Fault, "the VM has no display");
  await qmp.execute("device_add", { driver: "secondary-vga", id: "late" });
  await until("its picture", () => client.frame("vm").then(() => true, () => false));
  assertEquals(await devices(client), ["late"]);

  await until("its heads", async () => (await client.display("two")).heads.length === 2);
  assertEquals((await client.frame("two")).head, 0);
  // QEMU would have dumped the first one's picture.
  const nameless = await assertRejects(() => client.frame("two", { head: 1 }), Fault);
  assertEquals(nameless.code, "not-supported");
  assertMatch(nameless.message, /its display device has no id \(-device …,id=NAME\)/);
});
