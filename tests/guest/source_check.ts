/**
 * What every display source must do on a real QEMU: show what a screendump shows, in every mode.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { DisplaySource } from "../../src/display/display_source.ts";
import { rgbOf, SourceRig } from "../fixtures/source_rig.ts";
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

/**
 * Every mode is equal to a screendump, and 1,000 mode changes are followed.
 *
 * @param join makes the source
 * @param mayEnd what a source may say as it ends in between; then another one follows. Never when left out
 */
export async function assertFollowsModes(
  machine: ModeMachine,
  qmp: TestQmp,
  join: (rig: SourceRig) => DisplaySource,
  mayEnd?: string,
): Promise<void> {
  const { vm } = machine;
  let rig = new SourceRig();
  let source = join(rig);
  using _last = { [Symbol.dispose]: () => source[Symbol.dispose]() };
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
    const isSeen = () => rig.canvas.width === width && rig.canvas.commits > commits;
    const mayBeLost = () => mayEnd !== undefined && rig.lost?.why.includes(mayEnd) === true;
    await rig.until(source, () => isSeen() || mayBeLost(), `mode change ${i}`);
    if (isSeen()) continue;
    source[Symbol.dispose]();
    rig = new SourceRig();
    source = join(rig);
    source.demand(240);
    await rig.until(source, () => rig.canvas.width === width && rig.canvas.commits > 0, `${i}, anew`);
  }
  await assertEqualToDump(vm, qmp, source, rig);
}
