/**
 * Viewers of a real VM's screen: what they may ask, at which rate they get frames beside a faster one, what
 * they are told of a VM that stands still, and what the command says of what it wrote.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { MODE, ModeMachine } from "./mode_disk.ts";
import { startFirmware } from "./qemu.ts";

function endpoint(qmp: string | undefined, display = "auto"): string {
  return `[[endpoint]]\nname = "vm"\nqmp = "${qmp}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`;
}

Deno.test("viewer: a rate or a head that the wire has no number for is refused, and the client goes on", async () => {
  await using vm = await startFirmware({});
  await using daemon = await DaemonProcess.start({ config: endpoint(vm.qmpPath) });
  await using client = await daemon.connect("test");
  await until("the VM's screen is there", () => client.roster.list()[0]?.seams.includes("frame") === true);
  for (const perSecond of [NaN, 0, 0.5, -1, 241, Infinity]) {
    const fault = await assertRejects(() => client.frames("vm", { perSecond }).next(), Fault);
    assertEquals([fault.code, fault.message], [
      "bad-argument",
      `Cannot watch the screen of vm: perSecond is ${perSecond}, and must be a whole number from 1 to 240`,
    ]);
  }
  for (const head of [NaN, 0.5, -1, 16]) {
    for (
      const ask of [
        () => client.frame("vm", { head }),
        () => client.screenText("vm", { head }),
        () => client.frames("vm", { head }).next(),
      ]
    ) {
      const fault = await assertRejects(ask, Fault);
      assertEquals(fault.code, "bad-argument");
      assertMatch(fault.message, /head is .*, and must be a whole number from 0 to 15$/);
    }
  }
  assertEquals((await client.frame("vm")).head, 0);
});

Deno.test("viewer: of a screen that does not change it is told that the VM stands still, and that it goes on", async () => {
  await using machine = await ModeMachine.start();
  await using daemon = await DaemonProcess.start({ config: endpoint(machine.vm.qmpPath) });
  await using client = await daemon.connect("test");
  await machine.set(MODE["640x480x32"]);
  // A picture without a cursor that blinks.
  const frames = client.frames("vm", { perSecond: 50 });
  const next = async (isStopped: boolean): Promise<number> => {
    for (;;) {
      const { value } = await frames.next();
      assert(value !== undefined, "the frames have ended");
      if (value.isStopped === isStopped) return value.frameId;
    }
  };
  await next(false);
  for (let round = 0; round < 3; round++) {
    await client.vm("vm", "stop");
    const stopped = await next(true);
    await client.vm("vm", "cont");
    assert(await next(false) >= stopped);
  }
  await frames.return();
});

Deno.test("viewer: beside a faster one it gets no more frames than it asked for, and the newest at last", async () => {
  await using machine = await ModeMachine.start();
  await using daemon = await DaemonProcess.start({ config: endpoint(machine.vm.qmpPath) });
  await using slow = await daemon.connect("slow");
  await using fast = await daemon.connect("fast");
  await machine.set(MODE["320x200x32"]);
  const stop = new AbortController();
  const painted = (async () => {
    while (!stop.signal.aborted) await machine.set(MODE.REPAINT);
  })();
  let quick = 0;
  const watching = (async () => {
    for await (const _frame of fast.frames("vm", { perSecond: 100 })) if (++quick === 60) break;
    stop.abort();
  })();
  const startMs = performance.now();
  let [count, last] = [0, 0];
  for await (const frame of slow.frames("vm", { perSecond: 4 })) {
    count++;
    assert(frame.frameId > last, "each is a newer one");
    last = frame.frameId;
    // At least six periods, and until the fast one has had its sixty.
    if (count >= 7 && stop.signal.aborted) break;
    if (stop.signal.aborted) await machine.set(MODE.REPAINT);
  }
  const took = performance.now() - startMs;
  await Promise.all([painted, watching]);
  // Two that were sent apart may come at once on a busy machine. All together were sent after the start.
  assert((count - 1) * 250 <= took + 50, `${count} frames in ${took} ms`);
  await using again = await daemon.connect("again");
  assert((await again.frame("vm")).frameId >= last);
});

Deno.test("viewer: the command tells the size of the file that it wrote, takes no --scale for text, and says why there is nothing", async () => {
  await using vm = await startFirmware({});
  await using daemon = await DaemonProcess.start({ config: endpoint(vm.qmpPath) });
  const at = ["--socket", daemon.socket];
  await using viewer = await daemon.connect("waits");
  await until("the VM's screen is there", () => viewer.roster.list()[0]?.seams.includes("frame") === true);
  const path = `${daemon.folder}/shot.png`;
  const half = await vmsig(["screen", "vm", "-o", path, "--scale", "0.5", "--json", ...at]);
  assertEquals(half.code, 0, half.errors);
  const picture = decodePng(await Deno.readFile(path));
  await Deno.remove(path);
  const told = JSON.parse(half.text);
  assertEquals([told.width, told.height], [picture.width, picture.height]);
  const scaled = await vmsig(["screen", "vm", "--text", "--scale", "2", ...at]);
  assertEquals(scaled.code, 2);
  assertMatch(scaled.errors, /no picture to scale; leave out --scale/);

  await using other = await startFirmware({});
  await using none = await DaemonProcess.start({ config: endpoint(other.qmpPath, "none") });
  await using client = await none.connect("test");
  await until("the VM is attached", () => client.roster.list().some((each) => each.state === "up"));
  const fault = await assertRejects(() => client.frame("vm"), Fault);
  assertEquals([fault.code, fault.message], [
    "not-supported",
    "Cannot take a picture of vm: this endpoint cannot do it: its config has nothing for it, or the VM lacks it " +
    "(vmsig probe says what)",
  ]);
  const shots = `${none.folder}/shots`;
  const refused = await vmsig(["screen", "vm", "--watch", shots, "--socket", none.socket]);
  assertEquals([refused.code, refused.text], [1, ""], refused.errors);
  await assertRejects(() => Deno.stat(shots), Deno.errors.NotFound);
});
