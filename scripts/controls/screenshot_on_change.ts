/**
 * A scripted control: saves a picture of a VM's screen whenever it has changed, at most one a second, as
 * NAME-0001.png, NAME-0002.png, … in this checkout (the permission set allows no other folder).
 *
 *     deno run -q -P=script scripts/controls/screenshot_on_change.ts ENDPOINT [SOCKET]
 *
 * It reads the frames that the daemon's perception shares (a memfd with the newest frames of the guest's vgpu
 * producer, or of QEMU's screendump), and needs the capabilities observe, roster and frame.
 * @module
 */
import { Mapping } from "../../ffi/mapping.ts";
import { getSeals, SEAL } from "../../ffi/memfd.ts";
import { connect, Fault, runScript } from "../../src/client/mod.ts";
import { MappedRegion } from "../../src/vgpu/mapped_region.ts";
import { toPicture } from "../../src/vgpu/picture.ts";
import { encodePng } from "../../src/vgpu/png.ts";
import { FrameInfo } from "../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../src/vgpu/vgpu_region.ts";

const LEAST_GAP_MS = 1000;

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
  const stream = client.events({ kinds: ["FRAME_RING", "FRAME_INFO"] });
  const endpoint = await client.endpoint(ref);
  const name = client.roster.nameOf(endpoint);
  const info = new FrameInfo();
  let mapping: Mapping | undefined;
  let region: VgpuRegion | undefined;
  let frame = new Uint8Array(0);
  let before: Uint8Array | undefined;
  let shots = 0;
  let lastMs = -LEAST_GAP_MS;

  for await (const event of stream) {
    if (event.endpoint !== endpoint) continue;
    const ring = event.as("FRAME_RING");
    if (ring !== undefined && event.fdCount === 1) {
      mapping?.[Symbol.dispose]();
      // A file that can shrink would end this process when it does.
      if ((getSeals(event.fd(0)) & SEAL.SHRINK) === 0) {
        throw new Fault("refused", `the frames of ${name} are not sealed`);
      }
      mapping = Mapping.map(event.fd(0), 0, ring.bytes, { write: false });
      const opened = VgpuRegion.open(new MappedRegion(mapping.buffer));
      if (!opened.ok) throw new Fault("refused", `the frames of ${name} cannot be read: ${opened.defect}`);
      region = opened.region;
      frame = new Uint8Array(ring.slotStride);
    }
    if (region === undefined) continue;

    const waitMs = lastMs + LEAST_GAP_MS - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    // Whatever the event told of, the newest frame is what is taken; the same one is not taken twice.
    if (region.sampleFrame(frame, info) !== READ.FRESH) continue;
    const now = frame.subarray(0, info.bytes);
    if (before !== undefined && now.length === before.length && now.every((byte, i) => byte === before![i])) {
      continue;
    }
    before = now.slice();
    lastMs = performance.now();
    const path = `${name}-${String(++shots).padStart(4, "0")}.png`;
    await Deno.writeFile(path, encodePng(toPicture(now, info)));
    console.log(`${path}: ${info.width} x ${info.height}, frame ${info.frameId}`);
  }
});
