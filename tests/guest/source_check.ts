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

/**
 * QEMU's displays look at the guest's screen up to each 3 s, and on a busy machine less often: pictures may
 * be of before until then. Reached by a display that is not followed alone.
 */
const EQUAL_MS = 180_000;
/** Between two pictures. */
const PAUSE_MS = 30;

/**
 * Pictures as of now, compared with QEMU's own while the VM stands still, until one is equal.
 *
 * @param isOver whether the source has ended as it may; never when left out
 * @returns false when it ended before there was a picture
 */
export async function assertEqualToDump(
  vm: Qemu,
  qmp: TestQmp,
  source: DisplaySource,
  rig: SourceRig,
  isOver: () => boolean = () => false,
): Promise<boolean> {
  await qmp.execute("stop");
  const dump = await screendump(vm, qmp);
  let differs = -1;
  let ours: Uint8Array = new Uint8Array(0);
  for (const endMs = performance.now() + EQUAL_MS; performance.now() < endMs;) {
    const seen = rig.pictures;
    source.once();
    await rig.until(source, () => rig.pictures > seen || isOver(), "a picture");
    if (rig.pictures === seen) {
      await qmp.execute("cont");
      return false;
    }
    ours = rgbOf(rig.canvas);
    const { width, height } = rig.canvas;
    differs = width === dump.width && height === dump.height
      ? ours.findIndex((byte, at) => byte !== dump.rgb[at])
      : 0;
    if (differs < 0) break;
    await rig.during(source, PAUSE_MS);
  }
  await qmp.execute("cont");
  assertEquals([rig.canvas.width, rig.canvas.height], [dump.width, dump.height]);
  assertEquals(
    differs,
    -1,
    `byte ${differs} of ${dump.width}x${dump.height}: ${ours[differs]} for ${dump.rgb[differs]}`,
  );
  assert(new Set(rig.canvas.words).size > 1, "there is something to see");
  return true;
}

/**
 * Every mode is equal to a screendump, and 1,000 mode changes are followed.
 *
 * @param join makes the source
 * @param mayEnd what a source may say as it ends in between; then another one follows, as often as it takes:
 *   on a busy machine the next one may meet a mode change as well. Never when left out
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
  const isOver = () => mayEnd !== undefined && rig.lost?.why.includes(mayEnd) === true;
  const joinAnew = () => {
    source[Symbol.dispose]();
    rig = new SourceRig();
    source = join(rig);
  };
  const isEqual = async () => {
    while (!await assertEqualToDump(vm, qmp, source, rig, isOver)) joinAnew();
  };
  for (const mode of Object.values(MODE).filter((each) => each !== MODE.REPAINT)) {
    await machine.set(mode);
    await isEqual();
  }
  // Watched: each size is seen before the next is set.
  source.demand(240);
  const sizes = [[MODE["320x200x32"], 320], [MODE["640x480x24"], 640], [MODE.TEXT, 720]] as const;
  for (let i = 0; i < 1000; i++) {
    const [mode, width] = sizes[i % sizes.length]!;
    await machine.set(mode);
    let { commits } = rig.canvas;
    const isSeen = () => rig.canvas.width === width && rig.canvas.commits > commits;
    for (;;) {
      await rig.until(source, () => isSeen() || isOver(), `mode change ${i}`);
      if (isSeen()) break;
      joinAnew();
      source.demand(240);
      commits = 0;
    }
  }
  await isEqual();
}
