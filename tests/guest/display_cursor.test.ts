/**
 * The cursor of a real guest, which its display card draws and no picture shows, by QEMU's VNC server: a
 * viewer of `vmsig vnc` (libvncclient) gets each of its pixels and the one that points, also when it comes
 * later.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { VncCommand } from "../fixtures/vnc_command.ts";
import { VncViewer } from "../fixtures/vnc_viewer.ts";
import { startSavedGuest } from "./saved_guest.ts";

const SIDE = 64;

/** What the viewer says of a shape of programs/hwcursor.c. */
function cursorLine(seed: number, hotX: number, hotY: number): string {
  let [seen, sum] = [0, 0];
  for (let i = 0; i < SIDE * SIDE; i++) {
    if ((i & 8) === 0) continue;
    seen++;
    sum = sum + Math.imul(i + 1, Math.imul(i, seed) & 0xffffff) >>> 0;
  }
  return `cursor ${SIDE} ${SIDE} ${hotX} ${hotY} ${seen} ${sum}`;
}

Deno.test("vnc: the cursor that a guest's card draws reaches a viewer of vmsig vnc, pixel for pixel", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-cursor-" });
  try {
    await using vm = await startSavedGuest({
      kernel: "generic",
      modules: ["virtio_pci", "virtio_gpu"],
      programs: ["hwcursor"],
      ramMiB: 256,
      devices: ["no-vga"],
      extraArgs: [
        ...["-device", "virtio-vga", "-vnc", `unix:${dir}/qemu`],
      ],
    });
    const pointer = await vm.agent.start("hwcursor", "/dev/dri/card0");
    await pointer.lineMatching(/^ready/);
    const tell = async (line: string) => {
      await pointer.write(`${line}\n`);
      await pointer.lineMatching(/^done$/);
    };
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\nmemory = "none"\ndisplay = "vnc"\n`,
    });
    await using client = await daemon.connect("looks");
    await until("the VM is up", () => client.roster.list()[0]?.seams.includes("frame") === true);
    await using command = new VncCommand(daemon, "--listen", `unix:${dir}/vnc`);
    const place = await command.place();
    await using viewer = await VncViewer.start(place, "tight");
    await viewer.said("update");
    await tell("shape 2654435761 5 7");
    await tell("move 100 90");
    await viewer.said(cursorLine(2_654_435_761, 5, 7));
    await tell("shape 12345 63 0");
    await viewer.said(cursorLine(12_345, 63, 0));
    await using late = await VncViewer.start(place, "zrle");
    await late.said(cursorLine(12_345, 63, 0));
    await tell("shape 99991 0 0");
    for (const each of [viewer, late]) await each.said(cursorLine(99_991, 0, 0));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
