/**
 * Screens in states that a VM has seldom, through the real daemon: modes without a size or wider than
 * anything, a VM that waits for a migration, one that was migrated, and one that it came from. By video
 * memory and by screendump the same picture, or the same refusal; never the daemon's end.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client, Frame } from "../../src/client/mod.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { VgaGuest } from "./vga_guest.ts";

function endpoint(name: string, qmp: string | undefined, display: string): string {
  return `[[endpoint]]\nname = "${name}"\nqmp = "${qmp}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`;
}

/** A frame, or the code why there is none. */
async function look(client: Client, name: string): Promise<Frame | string> {
  try {
    return await client.frame(name);
  } catch (error) {
    assert(error instanceof Fault, `${error}`);
    return error.code;
  }
}

function wordsOf(frame: Frame): Int32Array {
  return new Int32Array(frame.picture().rgba.buffer);
}

/** The first pixel that differs, -1 for none. */
function firstDifference(a: Frame, b: Frame): number {
  const [left, right] = [wordsOf(a), wordsOf(b)];
  return left.findIndex((word, i) => word !== right[i]);
}

Deno.test("display: modes of no size, and of more than there is: the same by memory and by screendump", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  const [first, second] = guest.vm.qmpPaths;
  await using daemon = await DaemonProcess.start({
    config: endpoint("memory", first, "vram") + endpoint("dump", second, "screendump"),
  });
  await using client = await daemon.connect("test");
  for (const name of ["memory", "dump"]) {
    await until(name, () => look(client, name).then((seen) => seen instanceof Object));
  }
  let wide = 0;
  for (
    const [width, height, bits] of [
      [0, 0, 32],
      [0, 600, 32],
      [800, 0, 24],
      [16_000, 200, 32],
      [16_384, 16, 16],
      [65_535, 65_535, 32],
      [65_535, 1, 8],
      [64, 65_535, 32],
      [640, 480, 0],
      [640, 480, 99],
      [640, 480, 32],
    ] as const
  ) {
    const what = `${width}x${height}x${bits}`;
    await guest.setMode({ width, height, bits });
    await guest.fill(width + height + bits, 4);
    const [memory, dump] = [await look(client, "memory"), await look(client, "dump")];
    if (typeof memory === "string" || typeof dump === "string") {
      assertEquals(memory, dump, what);
      continue;
    }
    assertEquals([memory.width, memory.height], [dump.width, dump.height], what);
    assertEquals(firstDifference(memory, dump), -1, what);
    wide = Math.max(wide, memory.width);
  }
  assert(wide >= 16_000, `the widest picture was of ${wide} pixels`);
  assertEquals((await client.frame("memory")).width, 640, "and an ordinary one again");
});

Deno.test("display: a VM that waits for a migration, the picture that it gets, and the VM that it came from", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  const uri = `unix:${guest.vm.dir}/migration`;
  await using daemon = await DaemonProcess.start({
    config: endpoint("source", guest.vm.qmpPaths[0], "auto"),
  });
  await using client = await daemon.connect("test");
  await guest.setMode({ width: 640, height: 480, bits: 32 });
  await guest.fill(7, 32);
  await until("its picture", () => client.frame("source").then(({ width }) => width === 640, () => false));
  await using target = await VgaGuest.incoming({ qmpSockets: 3 });
  for (const [name, display] of [["target", "vram"], ["other", "screendump"]] as const) {
    const path = target.vm.qmpPaths[name === "target" ? 0 : 1];
    await Deno.writeTextFile(
      `${daemon.folder}/endpoints.d/${name}`,
      `name = "${name}"\nqmp = "${path}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`,
      { mode: 0o600 },
    );
  }
  // It has not run: its card is placed by nobody, and it stands still.
  for (const name of ["other", "target"]) {
    await until(`${name}'s screen`, () => client.display(name).then(({ known }) => known, () => false));
  }
  const waiting = await client.frame("other");
  assertEquals(waiting.isStopped, true);
  assert(["busy", "not-supported", "seam-down"].includes(`${await look(client, "target")}`));

  await target.qmp.execute("migrate-incoming", { uri });
  await guest.qmp.execute("migrate", { uri });
  await until("the migration", async () => {
    const { status } = await guest.qmp.execute("query-migrate") as { status: string };
    assert(status !== "failed");
    return status === "completed";
  });
  await until("it runs there", () => client.frame("other").then((frame) => !frame.isStopped));
  const dumped = await client.frame("other");
  assertEquals([dumped.width, dumped.height], [640, 480]);
  // The monitor tells where the card is now; what was passed over is looked at again while somebody asks.
  await until("its memory", () => look(client, "target").then((seen) => typeof seen !== "string"), 180_000);
  const [read, left] = [await client.frame("target"), await client.frame("source")];
  assertEquals([firstDifference(read, dumped), firstDifference(left, dumped)], [-1, -1]);
  assertEquals([read.isStopped, left.isStopped], [false, true]);
  assert(new Set(wordsOf(read)).size > 1000);
});

Deno.test("display: a picture out of video memory leaves the guest's index of the card's registers where it is", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  await guest.fill(3, 64);
  // The guest has said which register it means (1, the width), and not yet what it wants of it.
  await guest.monitor("o /h 0x1ce 1");
  const width = async () => /= (0x[0-9a-f]+)/.exec(await guest.monitor("i /h 0x1cf"))?.[1];
  assertEquals(await width(), "0x0500");
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", guest.vm.qmpPaths[0], "vram") });
  await using client = await daemon.connect("test");
  await until("its picture", () => look(client, "vm").then((seen) => typeof seen !== "string"));
  const frame = await client.frame("vm");
  assertEquals([frame.width, frame.height], [1280, 800]);
  assertEquals(await width(), "0x0500");
});
