/** A writer thread of the shared ring's test: numbered messages of any length, as fast as they go. @module */
import { SharedRing, type SharedRingHandle } from "../../../src/context/shared_ring.ts";

self.onmessage = ({ data }: MessageEvent<{ handle: SharedRingHandle; tag: number; count: number }>) => {
  const ring = new SharedRing(data.handle);
  for (let n = 0; n < data.count; n++) {
    const message = new Uint8Array(4 + (n % 97)).fill(data.tag);
    new DataView(message.buffer).setUint32(0, n, true);
    if (!ring.push(data.tag, message, 20_000)) throw new Error("no room for 20 s");
  }
  self.postMessage("done");
};
