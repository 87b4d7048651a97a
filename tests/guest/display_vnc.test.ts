/**
 * The VNC source on real QEMUs: equal to a screendump pixel for pixel in every mode, over all three ways in,
 * 1,000 mode changes, passwords, a QEMU without -vnc, one that ends.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { monotonicClock } from "../../ffi/clock.ts";
import { openFdCount } from "../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../ffi/unix_socket.ts";
import { SECOND } from "../../src/base/clock.ts";
import { CODE } from "../../src/base/codes.ts";
import { QmpConversation } from "../../src/qemu/monitor/qmp_conversation.ts";
import type { VncAddress } from "../../src/display/vnc/vnc_address.ts";
import { VncSource } from "../../src/display/vnc/vnc_source.ts";
import { rgbOf, SourceRig } from "../fixtures/source_rig.ts";
import { MODE, ModeMachine } from "./mode_disk.ts";
import { type Qemu, startFirmware } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { screendump } from "./screendump.ts";
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

/** One picture as of now, compared with QEMU's own while the VM stands still. */
async function assertEqualToDump(vm: Qemu, qmp: TestQmp, source: VncSource, rig: SourceRig): Promise<void> {
  await qmp.execute("stop");
  const seen = rig.pictures;
  source.once();
  await rig.until(source, () => rig.pictures > seen, "a picture");
  const dump = await screendump(vm, qmp);
  await qmp.execute("cont");
  assertEquals([rig.canvas.width, rig.canvas.height], [dump.width, dump.height]);
  const ours = rgbOf(rig.canvas);
  const differs = ours.findIndex((byte, i) => byte !== dump.rgb[i]);
  assertEquals(
    differs,
    -1,
    `byte ${differs} of ${dump.width}x${dump.height}: ${ours[differs]} for ${dump.rgb[differs]}`,
  );
  assert(new Set(rig.canvas.words).size > 1, "there is something to see");
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
    let rig = new SourceRig();
    let source = joinDisplay(vm.qmpPaths[1]!, rig);
    using _source = { [Symbol.dispose]: () => source[Symbol.dispose]() };
    for (const mode of Object.values(MODE).filter((each) => each !== MODE.REPAINT)) {
      await machine.set(mode);
      await assertEqualToDump(vm, qmp, source, rig);
    }
    // Watched: each of two sizes in turn is seen before the next is set.
    source.demand(240);
    const sizes = [[MODE["320x200x32"], 320], [MODE["640x480x24"], 640], [MODE.TEXT, 720]] as const;
    for (let i = 0; i < 1000; i++) {
      const [mode, width] = sizes[i % sizes.length]!;
      await machine.set(mode);
      const { commits } = rig.canvas;
      const isSeen = () => rig.canvas.width === width && rig.canvas.commits > commits;
      await rig.until(source, () => isSeen() || rig.lost !== undefined, `mode change ${i}`);
      if (rig.lost === undefined) continue;
      // QEMU 7.2 may paint nothing more on a connection whose update a mode change met; a new one is whole.
      assertStringIncludes(rig.lost.why, "QEMU has lost an update");
      source[Symbol.dispose]();
      rig = new SourceRig();
      source = joinDisplay(vm.qmpPaths[1]!, rig);
      source.demand(240);
      await rig.until(source, () => rig.canvas.width === width && rig.canvas.commits > 0, `${i}, anew`);
    }
    await assertEqualToDump(vm, qmp, source, rig);
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
  await rig.during(source, 200);
  assertEquals(rig.lost, undefined);
  source.step(monotonicClock.nowNs() + 10 * SECOND);
  assertEquals(rig.lost!.code, CODE["timed-out"]);
  assertStringIncludes(rig.lost!.why, "QEMU runs without -vnc");
});
