/**
 * The VNC source on real QEMUs: equal to a screendump pixel for pixel in every mode, over all three ways in,
 * 1,000 mode changes, passwords, a QEMU without -vnc, one that ends.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { monotonicClock } from "../../ffi/clock.ts";
import { openFdCount } from "../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../ffi/unix_socket.ts";
import { SECOND } from "../../src/base/clock.ts";
import { CODE } from "../../src/base/codes.ts";
import { QmpConversation } from "../../src/qemu/monitor/qmp_conversation.ts";
import type { VncAddress } from "../../src/display/vnc/vnc_address.ts";
import { VncSource } from "../../src/display/vnc/vnc_source.ts";
import { SourceRig } from "../fixtures/source_rig.ts";
import { ModeMachine } from "./mode_disk.ts";
import { startFirmware } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { assertEqualToDump, assertFollowsModes } from "./source_check.ts";
import { TestQmp } from "./test_qmp.ts";

function open(address: VncAddress, rig: SourceRig, password?: string): VncSource {
  const options = { address, canvas: rig.canvas, listener: rig, nowNs: monotonicClock.nowNs() };
  return new VncSource(password === undefined ? options : { ...options, password });
}

/** A VNC client on a socket that QEMU is given. */
function joinDisplay(qmpPath: string, rig: SourceRig): VncSource {
  const [ours, theirs] = socketPair(SOCKET.STREAM);
  using monitor = QmpConversation.open(qmpPath);
  monitor.execute("getfd", { fdname: "vnc" }, [theirs.fd]);
  monitor.execute("add_client", { protocol: "vnc", fdname: "vnc", skipauth: true });
  theirs.close();
  return open({ kind: "descriptor", socket: ours }, rig);
}

Deno.test("vnc: every mode is equal to a screendump, and 1,000 mode changes are followed", async () => {
  const before = openFdCount();
  {
    await using machine = await ModeMachine.start(
      { qmpSockets: 2 },
      (dir) => ["-vnc", `unix:${dir}/vnc.sock`],
    );
    const { vm } = machine;
    await using qmp = await TestQmp.connect(vm.qmpPath);
    // QEMU 7.2 may paint nothing more on a connection whose update a mode change met; a new one is whole.
    const join = (rig: SourceRig) => joinDisplay(vm.qmpPaths[1]!, rig);
    await assertFollowsModes(machine, qmp, join, "QEMU has lost an update");
  }
  assertEquals(openFdCount(), before);
});

Deno.test("vnc: the firmware's text, over a unix socket; a Linux console; a QEMU that ends", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-vnc-" });
  try {
    await using vm = await startSavedGuest({ append: "console=tty0", extraArgs: ["-vnc", `unix:${dir}/v`] });
    await using qmp = await TestQmp.connect(vm.qmpPath);
    const rig = new SourceRig();
    using source = open({ kind: "unix", path: `${dir}/v` }, rig);
    await assertEqualToDump(vm, qmp, source, rig);
    // Nobody looks: nothing is asked for, and nothing comes.
    const { commits } = rig.canvas;
    await rig.during(source, 300);
    assertEquals(rig.canvas.commits, commits);
    vm.kill("SIGKILL");
    const { code, why } = await rig.untilLost(source);
    assertEquals(code, CODE["seam-down"], why);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("vnc: a password, a wrong one, none; and add_client on a QEMU without -vnc", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-vnc-" });
  try {
    await using vm = await startFirmware({
      extraArgs: ["-object", "secret,id=word,data=secret", "-vnc", `unix:${dir}/v,password-secret=word`],
    });
    for (const [password, says] of [["wrong", "refuses us"], [undefined, "none is given"]] as const) {
      const rig = new SourceRig();
      using source = open({ kind: "unix", path: `${dir}/v` }, rig, password);
      const { code, why } = await rig.untilLost(source);
      assertEquals(code, CODE.refused, why);
      assertStringIncludes(why, says);
    }
    await using qmp = await TestQmp.connect(vm.qmpPath);
    const rig = new SourceRig();
    using source = open({ kind: "unix", path: `${dir}/v` }, rig, "secret");
    await assertEqualToDump(vm, qmp, source, rig);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  await using mute = await startFirmware({});
  const [ours, theirs] = socketPair(SOCKET.STREAM);
  {
    using monitor = QmpConversation.open(mute.qmpPath);
    monitor.execute("getfd", { fdname: "vnc" }, [theirs.fd]);
    assertEquals(monitor.execute("add_client", { protocol: "vnc", fdname: "vnc", skipauth: true }), {});
    theirs.close();
  }
  const rig = new SourceRig();
  using source = open({ kind: "descriptor", socket: ours }, rig);
  source.once();
  // It is asked, and says nothing: by the source's clock no time has passed.
  const nowNs = monotonicClock.nowNs();
  for (let i = 0; i < 20; i++) {
    source.step(nowNs);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertEquals(rig.lost, undefined);
  source.step(nowNs + 10 * SECOND);
  assertEquals(rig.lost!.code, CODE["timed-out"]);
  assertStringIncludes(rig.lost!.why, "QEMU runs without -vnc");
});
