/**
 * A scripted control: saves a picture of a VM's screen whenever it has changed, at most one a second, as
 * NAME-0001.png, NAME-0002.png, … in this checkout (the permission set allows no other folder).
 *
 *     deno run -q -P=script scripts/controls/screenshot_on_change.ts ENDPOINT [SOCKET]
 *
 * It works on every VM with a display, whatever shows it (the guest's own producer, video memory, VNC, QEMU's
 * screendump), and needs the capabilities roster and frame. Pictures are made only while it runs.
 * @module
 */
import { connect, runScript } from "../../src/client/mod.ts";
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
  let shots = 0;
  for await (const frame of client.frames(ref, { perSecond: 1 })) {
    const path = `${name}-${String(++shots).padStart(4, "0")}.png`;
    await Deno.writeFile(path, encodePng(frame.picture()));
    console.log(`${path}: ${frame.width} x ${frame.height}, frame ${frame.frameId}`);
  }
});
