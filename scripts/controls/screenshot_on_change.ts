/**
 * A scripted control: saves a picture of a VM's screen whenever it has changed, at most one a second, as
 * NAME-0001.png, NAME-0002.png, … in this checkout (the permission set allows no other folder).
 *
 *     deno run -q -P=script scripts/controls/screenshot_on_change.ts ENDPOINT [SOCKET]
 *
 * It works on every VM that has a display: the daemon takes the pictures, in the best way that the VM offers,
 * while this runs. It needs the capabilities observe, roster and frame.
 * @module
 */
import { connect, Fault, runScript } from "../../src/client/mod.ts";
import { encodePng } from "../../src/vgpu/png.ts";

const [ref, socket] = Deno.args;
if (ref === undefined) {
  console.error("usage: deno run -q -P=script scripts/controls/screenshot_on_change.ts ENDPOINT [SOCKET]");
  Deno.exit(2);
}

await runScript("screenshot_on_change", async () => {
  await using client = await connect({
    name: "screenshot_on_change",
    sub: { sources: ["FRAME", "CORE"] },
    ...(socket === undefined ? {} : { socket }),
  });
  const name = client.roster.nameOf(await client.endpoint(ref));
  let before: Uint8Array | undefined;
  let shots = 0;

  for await (const frame of client.frames(ref, { perSecond: 1 })) {
    const picture = frame.picture();
    // A source that was lost and found again, or a guest's own producer, may tell of a picture as it was.
    if (before !== undefined && isSame(before, picture.rgba)) continue;
    before = picture.rgba;
    const path = `${name}-${String(++shots).padStart(4, "0")}.png`;
    await Deno.writeFile(path, encodePng(picture));
    console.log(`${path}: ${frame.width} x ${frame.height}, frame ${frame.frameId}`);
  }
  throw new Fault("unreachable", "Cannot go on: the daemon has gone");
});

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
