/**
 * The D-Bus source on real QEMUs: equal to a screendump pixel for pixel in every mode, text that comes
 * without a Scanout, mode changes, the second client that ends the first, nobody looking.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { monotonicClock } from "../../ffi/clock.ts";
import { openFdCount } from "../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../ffi/unix_socket.ts";
import { CODE } from "../../src/base/codes.ts";
import { DBusSource } from "../../src/display/dbus/dbus_source.ts";
import { QmpConversation } from "../../src/qemu/monitor/qmp_conversation.ts";
import { SourceRig } from "../fixtures/source_rig.ts";
import { ModeMachine } from "./mode_disk.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { assertEqualToDump, assertFollowsModes } from "./source_check.ts";
import { TestQmp } from "./test_qmp.ts";

const DISPLAY = ["-display", "dbus,p2p=on"];

function open(vm: Qemu, rig: SourceRig): DBusSource {
  const [socket, theirs] = socketPair(SOCKET.STREAM);
  using monitor = QmpConversation.open(vm.qmpPaths[1]!);
  monitor.execute("getfd", { fdname: "dbus" }, [theirs.fd]);
  monitor.execute("add_client", { protocol: "@dbus-display", fdname: "dbus" });
  theirs.close();
  const nowNs = monotonicClock.nowNs();
  return new DBusSource({ socket, uid: Deno.uid()!, canvas: rig.canvas, listener: rig, nowNs });
}

Deno.test("dbus: every mode is equal to a screendump, and 1,000 mode changes are followed", async () => {
  const before = openFdCount();
  {
    await using machine = await ModeMachine.start({ qmpSockets: 2, extraArgs: DISPLAY });
    const { vm } = machine;
    await using qmp = await TestQmp.connect(vm.qmpPath);
    await assertFollowsModes(machine, qmp, (rig) => open(vm, rig));
  }
  assertEquals(openFdCount(), before);
});

Deno.test("dbus: a Linux console; nobody looks; the second client ends the first; a QEMU that ends", async () => {
  await using vm = await startSavedGuest({ append: "console=tty0", qmpSockets: 2, extraArgs: DISPLAY });
  await using qmp = await TestQmp.connect(vm.qmpPath);
  const rig = new SourceRig();
  using source = open(vm, rig);
  await assertEqualToDump(vm, qmp, source, rig);
  const { commits } = rig.canvas;
  const { steps } = rig;
  await rig.during(source, 1000);
  assertEquals(rig.canvas.commits, commits, "a listener that nobody needs is not registered");
  assert(rig.steps - steps < 10, `${rig.steps - steps} steps without anybody looking`);
  const other = new SourceRig();
  using second = open(vm, other);
  await assertEqualToDump(vm, qmp, second, other);
  const { code, why } = await rig.untilLost(source);
  assertEquals(code, CODE["seam-down"]);
  assertStringIncludes(why, "another client");
  vm.kill("SIGKILL");
  assertEquals((await other.untilLost(second)).code, CODE["seam-down"]);
});
