/**
 * The lights of a real guest's keyboard, by QEMU's VNC server and by its D-Bus display, to a VNC viewer of
 * ours: caps lock is pressed, the guest turns its light on, and the viewer is told.
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { InputControl } from "../../src/client/input_control.ts";
import { ScreenFeed } from "../../src/client/vnc/screen_feed.ts";
import { LED } from "../../src/event/kinds/pointer_kinds.ts";
import { RfbServer } from "../../src/rfb/server/rfb_server.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { startSavedGuest } from "./saved_guest.ts";

async function assertLights(display: "vnc" | "dbus"): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-leds-" });
  try {
    await using vm = await startSavedGuest({
      append: "quiet console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
      devices: ["virtio-input"],
      programs: ["console"],
      ramMiB: 256,
      extraArgs: [
        ...["-vga", "std"],
        ...display === "vnc" ? ["-vnc", `unix:${dir}/vnc`] : ["-display", "dbus,p2p=on"],
      ],
    });
    await using daemon = await DaemonProcess.start({
      config:
        `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "qmp"\ndisplay = "${display}"\nmemory = "none"\nguest = "none"\n`,
    });
    await using client = await daemon.connect("viewer");
    await until("the VM is up", () => client.roster.list().some(({ seams }) => seams.includes("frame")));
    using server = new RfbServer({
      name: "vm",
      seat: { onEnter() {}, onKey() {}, onPointer() {}, onLeave() {} },
    });
    const feed = new ScreenFeed({
      ...{ client, ref: "vm", head: 0, perSecond: 5, onTrouble: () => {} },
      taker: { onFrame: () => {} },
      onPointer: (news) => server.pointer(news),
    });
    feed.want(true);
    try {
      await using lease = await client.acquire("vm", "input");
      const input = new InputControl(client, lease);
      const isOn = () => ((server.leds ?? 0) & LED.CAPS) !== 0;
      await until("they are known", () => server.leds !== undefined);
      assertEquals(isOn(), false);
      await input.key("capslock");
      await until("it is on", isOn);
      await using late = await daemon.connect("late");
      await late.barrier();
      const endpoint = await late.endpoint("vm");
      assertEquals(late.screens.pointers.of(endpoint, 0).leds, server.leds);
      await input.key("capslock");
      await until("it is off", () => !isOn());
    } finally {
      await feed.close();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

for (const display of ["vnc", "dbus"] as const) {
  Deno.test(`${display}: the lights of the guest's keyboard are told to viewers, to those that come later as well`, () =>
    assertLights(display));
}
