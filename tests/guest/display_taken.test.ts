/**
 * Displays that somebody else uses: a VNC server without a free place, one that a viewer wants alone, a D-Bus
 * display with a client. Nothing is taken away, what is in the way is told, and pictures come by another
 * source meanwhile, or again when it has gone. And a VM that sleeps.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { monotonicClock } from "../../ffi/clock.ts";
import { SOCKET, socketPair } from "../../ffi/unix_socket.ts";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/mod.ts";
import { DBusSource } from "../../src/display/dbus/dbus_source.ts";
import { otherDBusPeer } from "../../src/display/dbus/other_peer.ts";
import { QmpConversation } from "../../src/qemu/monitor/qmp_conversation.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { SourceRig } from "../fixtures/source_rig.ts";
import { startFirmware } from "./qemu.ts";
import { VgaGuest } from "./vga_guest.ts";

function endpoint(name: string, qmp: string | undefined, display: string): string {
  return `[[endpoint]]\nname = "${name}"\nqmp = "${qmp}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`;
}

/** A viewer as far as QEMU's answer to its ClientInit; undefined when QEMU ends it there. */
async function viewer(path: string, isShared: boolean): Promise<Deno.Conn | undefined> {
  const connection = await Deno.connect({ transport: "unix", path });
  const write = async (...bytes: number[]) => void await connection.write(new Uint8Array(bytes));
  await read(connection, 12);
  await connection.write(new TextEncoder().encode("RFB 003.008\n"));
  const [count = 0] = await read(connection, 1);
  await read(connection, count);
  await write(1);
  await read(connection, 4);
  await write(isShared ? 1 : 0);
  if ((await read(connection, 24)).length === 24) return connection;
  connection.close();
  return undefined;
}

async function read(connection: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const n = await connection.read(bytes.subarray(at)).catch(() => null);
    if (n === null) return bytes.subarray(0, at);
    at += n;
  }
  return bytes;
}

/** Waits until a picture comes by this source. */
async function comesBy(client: Client, name: string, source: string): Promise<void> {
  await until(`pictures of ${name} by ${source}`, async () => {
    try {
      await client.frame(name);
    } catch (error) {
      if (error instanceof Fault) return false;
      throw error;
    }
    return (await client.display(name)).heads[0]?.source === source;
  });
}

/** Waits until pictures are refused for a reason. */
async function isRefused(client: Client, name: string, why: RegExp): Promise<void> {
  let last = "";
  await until(`${name} is refused: ${why}`, async () => {
    try {
      await client.frame(name);
      return false;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      last = error.message;
      return why.test(last);
    }
  });
  assertMatch(last, why);
}

Deno.test("display: a VNC server whose places are taken, and one that a viewer has alone", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-taken-" });
  try {
    await using vm = await startFirmware({
      qmpSockets: 2,
      devices: ["no-vga"],
      extraArgs: ["-device", "virtio-vga", "-vnc", `unix:${dir}/v,connections=1`],
    });
    await using daemon = await DaemonProcess.start({
      config: endpoint("vnc", vm.qmpPaths[0], "vnc") + endpoint("auto", vm.qmpPaths[1], "auto"),
    });
    await using client = await daemon.connect("test");
    const first = await viewer(`${dir}/v`, true);
    assert(first !== undefined, "the one place is free");
    await isRefused(
      client,
      "vnc",
      /vnc: the VNC server .* refuses connections: .* its limit is reached/,
    );
    await comesBy(client, "auto", "screendump");
    const why = (await client.display("auto")).heads[0]?.why ?? "";
    assertMatch(why, /its limit is reached/);
    // It was not pushed out.
    assert(await viewer(`${dir}/v`, true) === undefined, "the one place is taken still");
    first.close();
    await comesBy(client, "vnc", "vnc");

    // A viewer that wants it alone is let in past that limit, and ends all others.
    const alone = await viewer(`${dir}/v`, false);
    assert(alone !== undefined);
    await isRefused(client, "vnc", /a viewer has exclusive access|a viewer took exclusive access/);
    alone.close();
    await comesBy(client, "vnc", "vnc");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("display: a D-Bus display that another client uses is never taken away from it", async () => {
  await using vm = await startFirmware({ qmpSockets: 2, extraArgs: ["-display", "dbus,p2p=on"] });
  await using daemon = await DaemonProcess.start({ config: endpoint("bus", vm.qmpPaths[0], "dbus") });
  await using client = await daemon.connect("test");
  const join = (rig: SourceRig): DBusSource => {
    const [socket, theirs] = socketPair(SOCKET.STREAM);
    using monitor = QmpConversation.open(vm.qmpPaths[1] ?? "");
    monitor.execute("getfd", { fdname: "dbus" }, [theirs.fd]);
    monitor.execute("add_client", { protocol: "@dbus-display", fdname: "dbus" });
    theirs.close();
    const nowNs = monotonicClock.nowNs();
    return new DBusSource({ socket, uid: Deno.uid() ?? 0, canvas: rig.canvas, listener: rig, nowNs });
  };
  const picture = async (source: DBusSource, rig: SourceRig): Promise<void> => {
    const seen = rig.pictures;
    source.once();
    await rig.until(source, () => rig.pictures > seen, "a picture of the other client");
  };
  assertEquals(otherDBusPeer(vm.pid, Deno.pid), undefined, "nobody has it");
  {
    const rig = new SourceRig();
    using other = join(rig);
    await picture(other, rig);
    assertEquals(otherDBusPeer(vm.pid, Deno.pid), undefined, "this process itself has it");
    assert(otherDBusPeer(vm.pid, daemon.pid) !== undefined, "to the daemon it is another");
    await isRefused(client, "bus", /another client seems to be connected to QEMU's D-Bus display/);
    await picture(other, rig);
  }
  await comesBy(client, "bus", "dbus");
  // Now the other comes second, which ends the daemon's connection: the daemon does not take it back.
  const rig = new SourceRig();
  using other = join(rig);
  await picture(other, rig);
  const code = await assertRejects(() => client.frame("bus"), Fault);
  assert(["busy", "seam-down", "timed-out"].includes(code.code), code.message);
  await isRefused(client, "bus", /another client seems to be connected to QEMU's D-Bus display/);
  await picture(other, rig);
});

Deno.test("display: a VM that sleeps shows its last picture, marked so, and goes on when it is woken", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 2 });
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", guest.vm.qmpPaths[0], "vram") });
  await using client = await daemon.connect("test");
  await guest.setMode({ width: 640, height: 480, bits: 32 });
  await guest.fill(5, 16);
  await comesBy(client, "vm", "vram");
  const before = await client.frame("vm");
  assertEquals([before.isStopped, before.width], [false, 640]);
  // ACPI's register for sleep: S3, which a system without a driver can ask for.
  const slept = guest.qmp.event("SUSPEND");
  await guest.monitor("o /h 0x604 0x2400");
  await slept;
  await until("it is marked", () => client.frame("vm").then(({ isStopped }) => isStopped));
  const asleep = await client.frame("vm");
  assertEquals([asleep.isStopped, asleep.width, asleep.height], [true, 640, 480]);
  assertEquals(asleep.picture().rgba, before.picture().rgba);
  await guest.qmp.execute("system_wakeup");
  await until("it goes on", () => client.frame("vm").then(({ isStopped }) => !isStopped, () => false));
});
