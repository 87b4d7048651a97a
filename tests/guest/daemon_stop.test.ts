/**
 * The end of a daemon as a guest sees it: keys that a control holds are let go when the daemon stops, and
 * when it is killed, by the one that follows it.
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { takeInput } from "../../src/client/input_control.ts";
import { keyRecord } from "../../src/client/input_record.ts";
import { keyCode } from "../../src/client/key_codes.ts";
import { type Qemu, startFirmware } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const config = (vm: Qemu) =>
  `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\nmemory = "none"\ninput = "qmp"\n`;

Deno.test("held keys go up in the guest: at SIGTERM at once, after SIGKILL with the next daemon", async () => {
  await using vm = await startSavedGuest({ programs: ["evrec"], devices: ["virtio-input"], ramMiB: 256 });
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording/);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-daemon-" });
  const shift = keyCode("shift") ?? 42;
  const hold = async (daemon: DaemonProcess): Promise<AsyncDisposable> => {
    const client = await daemon.connect("holder");
    // QEMU takes a while to let go of the daemon before.
    await until("input is up", () => client.roster.list()[0]?.seams.includes("input") === true);
    const input = await takeInput(client, "vm");
    await input.frame([keyRecord(shift, true)]);
    await recorder.lineMatching(new RegExp(`^event\\d+ 1 ${shift} 1$`));
    return client;
  };
  const released = new RegExp(`^event\\d+ 1 ${shift} 0$`);
  try {
    {
      await using daemon = await DaemonProcess.start({ folder, config: config(vm) });
      await using _client = await hold(daemon);
      const { code, ms } = await daemon.stop();
      assertEquals(code, 0);
      await recorder.lineMatching(released);
      // Two seconds are the daemon's own limit; past it, it would have ended with status 1.
      assertLess(ms, 180_000);
    }
    {
      await using daemon = await DaemonProcess.start({ folder, config: config(vm) });
      await using _client = await hold(daemon);
      await daemon.crash();
      assert(Deno.statSync(`${folder}/held-vm.bin`).size > 0, "what is held is kept for the next one");
    }
    const before = recorder.text;
    assert(!before.slice(before.lastIndexOf(` 1 ${shift} 1`)).includes(` 1 ${shift} 0`), "it is still down");
    await using _next = await DaemonProcess.start({ folder, config: config(vm) });
    await recorder.lineMatching(released);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a VM that stands still does not keep the daemon from stopping", async () => {
  await using vm = await startFirmware({ ramMiB: 64 });
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await using client = await daemon.connect("holder");
  await until("it is up", () => client.roster.list()[0]?.state === "up");
  const lease = await client.acquire("vm", "input");
  await stopProcess(vm.pid);
  const open = client.vmState("vm").then(() => "answered", (error: Error) => error.message);
  const { code, ms } = await daemon.stop();
  assertEquals(code, 0);
  assertLess(ms, 180_000);
  assert(await open !== "answered");
  assert(!lease.owned);
});

Deno.test("a QEMU that dies while it is attached is told down, and found when it is there again", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("watch");
  const path = `${daemon.folder}/vm.qmp`;
  const options = { ramMiB: 64, extraArgs: ["-qmp", `unix:${path},server=on,wait=off`] };
  const state = () => client.roster.list()[0]?.state;
  for (let round = 0; round < 5; round++) {
    await using vm = await startFirmware(options);
    daemon.drop("vm", `name = "vm"\nqmp = "${path}"\n`);
    // From before it is seen until after it is up.
    await new Promise((resolve) => setTimeout(resolve, 18 + 2 * round));
    vm.kill("SIGKILL");
    await vm.ended;
    await until("it is not up", () => state() === "down" || state() === "attaching");
    daemon.take("vm");
    await until("it is gone", () => state() === undefined);
  }
  daemon.drop("vm", `name = "vm"\nqmp = "${path}"\n`);
  await using _vm = await startFirmware(options);
  await until("it is up", () => state() === "up");
  assertEquals(client.fault, undefined);
});
