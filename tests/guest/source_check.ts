/**
 * What every display source must do on a real QEMU: show what a screendump shows, in every mode.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { DisplaySource } from "../../src/display/display_source.ts";
import { rgbOf, type SourceRig } from "../fixtures/source_rig.ts";
import { MODE, type ModeMachine } from "./mode_disk.ts";
import type { Qemu } from "./qemu.ts";
import { screendump } from "./screendump.ts";
import type { TestQmp } from "./test_qmp.ts";

/** One picture as of now, compared with QEMU's own while the VM stands still. */
export async function assertEqualToDump(
  vm: Qemu,
  qmp: TestQmp,
  source: DisplaySource,
  rig: SourceRig,
): Promise<void> {
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

/** Every mode is equal to a screendump, and 1,000 mode changes are followed. */
export async function assertFollowsModes(
  machine: ModeMachine,
  qmp: TestQmp,
  source: DisplaySource,
  rig: SourceRig,
): Promise<void> {
  const { vm } = machine;
  for (const mode of Object.values(MODE).filter((each) => each !== MODE.REPAINT)) {
    await machine.set(mode);
    await assertEqualToDump(vm, qmp, source, rig);
  }
  // Watched: each size is seen before the next is set.
  source.demand(240);
  const sizes = [[MODE["320x200x32"], 320], [MODE["640x480x24"], 640], [MODE.TEXT, 720]] as const;
  for (let i = 0; i < 1000; i++) {
    const [mode, width] = sizes[i % sizes.length]!;
    await machine.set(mode);
    const { commits } = rig.canvas;
    await rig.until(
      source,
      () => rig.canvas.width === width && rig.canvas.commits > commits,
      `mode change ${i}`,
    );
  }
  await assertEqualToDump(vm, qmp, source, rig);
}
