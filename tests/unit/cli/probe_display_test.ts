// What probe says of a screen, by the command line alone.
import { assertEquals } from "@std/assert";
import { screenOf } from "../../../src/client/cli/probe_display.ts";
import type { ProbedVm } from "../../../src/roster/host_probe.ts";

Deno.test("probe tells the card, and what auto would take of it", () => {
  const own = 1000;
  for (
    const [display, viewers, uid, told] of [
      ["std/none", [], 0, "std (vram)"],
      ["VGA/default", ["vnc unix:/run/web.vnc"], own, "VGA (vram)"],
      ["bochs-display/none", [], own, "bochs-display (vram)"],
      ["std/none", [], 1001, "std (screendump)"],
      ["std/none", ["vnc 127.0.0.1:0"], 1001, "std (vnc)"],
      ["virtio-vga/dbus", ["dbus"], 0, "virtio-vga (screendump)"],
      ["qxl-vga/default", ["spice", "vnc :1"], 0, "qxl-vga (vnc)"],
      ["none/none", [], 0, "none"],
      ["none/default", ["vnc :1"], 0, "none"],
    ] as const
  ) {
    assertEquals(screenOf({ display, viewers, uid } as unknown as ProbedVm, own), told, display);
  }
});
