/**
 * Screendump as a source of frames, on a QEMU without a guest: fresh, unchanged, paced; a monitor that
 * somebody else has; a QEMU that ends.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { openFdCount } from "../../ffi/owned_fd.ts";
import { Fault } from "../../src/base/fault.ts";
import { QmpConversation } from "../../src/qemu/monitor/qmp_conversation.ts";
import { QmpScreen } from "../../src/controls/perception/qmp_screen.ts";
import { qmpSocketsOf } from "../../src/qemu/monitor/process_monitors.ts";
import { FrameInfo } from "../../src/vgpu/snapshots.ts";
import { READ } from "../../src/vgpu/vgpu_region.ts";
import { until } from "../fixtures/daemon_process.ts";
import { type Qemu, startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

/** Waits until the firmware's screen has text. */
async function firmwareHasWritten(vm: Qemu): Promise<void> {
  const into = new Uint8Array(1280 * 1024 * 4);
  const info = new FrameInfo();
  using screen = QmpScreen.open(vm.qmpPaths[0] ?? "", { gapMs: 0 });
  await until("text on the screen", () => {
    screen.forgetFrames();
    if (screen.sampleFrame(into, info) !== READ.FRESH) return false;
    return new Set(new Int32Array(into.buffer, 0, info.width * info.height)).size > 1;
  });
}

Deno.test("qmp screen: the firmware's text screen, once; nothing twice, nothing too soon, nothing left behind", async () => {
  const before = openFdCount();
  await using vm = await startFirmware({ qmpSockets: 2 });
  assertEquals(qmpSocketsOf(vm.pid), [...vm.qmpPaths]);
  const info = new FrameInfo();
  const into = new Uint8Array(1280 * 1024 * 4);
  const coloursNow = () => new Set(new Int32Array(into.buffer, 0, info.width * info.height)).size;
  await firmwareHasWritten(vm);
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  // It changes no more.
  await qmp.execute("stop");
  {
    using screen = QmpScreen.open(vm.qmpPaths[0]!, { gapMs: 200 });
    assertEquals([screen.sampleFrame(new Uint8Array(64), info), screen.why], [READ.NOTHING, "too-large"]);
    screen.forgetFrames();
    assertEquals(screen.sampleFrame(into, info), READ.FRESH);
    assertEquals([info.format, info.stride, info.bytes], [2, info.width * 4, info.width * info.height * 4]);
    assert(info.width >= 640 && info.height >= 350, `${info.width}x${info.height}`);
    assert(coloursNow() > 1, "there is text on it");
    assertEquals([screen.sampleFrame(into, info), screen.why], [READ.NOTHING, "same"]);
    screen.forgetFrames();
    const first = info.frameId;
    assertEquals([screen.sampleFrame(into, info), info.frameId], [READ.FRESH, first + 1]);

    const busy = assertThrows(
      () => QmpConversation.open(vm.qmpPaths[0]!, 300),
      Fault,
      "another client has it",
    );
    assertEquals(busy.code, "busy");
    // QEMU tidies up what a monitor has left only while the VM runs.
    await qmp.execute("cont");
  }
  using again = QmpConversation.open(vm.qmpPaths[0]!);
  assertEquals(again.execute("query-fdsets"), [], "the set is gone with its maker");
  assertThrows(() => again.execute("screendump", { filename: "/dev/fdset/77" }), Fault, "QEMU says");
  again[Symbol.dispose]();
  assertEquals(openFdCount(), before);
});

Deno.test("qmp screen: a QEMU that ends is gone, and one that is stopped times out", async () => {
  await using vm = await startFirmware({ qmpSockets: 2 });
  using screen = QmpScreen.open(vm.qmpPaths[0]!, { gapMs: 0 });
  using other = QmpConversation.open(vm.qmpPaths[1]!);
  await stopProcess(vm.pid);
  const late = assertThrows(() => other.execute("query-status", undefined, [], 200), Fault);
  assertEquals(late.code, "timed-out");
  vm.kill("SIGCONT");
  assertEquals((other.execute("query-status") as { running: boolean }).running, true);
  vm.kill("SIGKILL");
  await vm.ended;
  assertEquals(screen.sampleFrame(new Uint8Array(1 << 23), new FrameInfo()), READ.GONE);
  assertThrows(() => QmpConversation.open(vm.qmpPaths[0]!), Fault);
});
