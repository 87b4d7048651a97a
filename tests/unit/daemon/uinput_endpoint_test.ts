import { assertEquals } from "@std/assert";
import { DaemonProcess, until, vmsig } from "../../fixtures/daemon_process.ts";

Deno.test("an endpoint with uinput and no monitor has an input seam, whether the host has the device or not", async () => {
  await using daemon = await DaemonProcess.start({
    config: `[[endpoint]]\nname = "vm"\ninput = "uinput"\nmemory = "none"\nguest = "none"\n`,
  });
  await until("the driver has opened", () => daemon.logText.includes("uinput devices"));
  // Answered by the adapter alone: it presses nothing on a host that has the device.
  const held = await vmsig(["held", "vm", "--json", "--socket", daemon.socket]);
  assertEquals([held.code, held.text, held.errors], [0, "", ""]);
});
