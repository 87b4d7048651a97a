import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { EventFd } from "../../../ffi/event_fd.ts";
import { AssertionFault } from "../../../src/base/assert.ts";
import { SharedRing } from "../../../src/context/shared_ring.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

Deno.test("messages come out as they went in, past every wrap, and a full ring says so", () => {
  withSeed((random) => {
    using bell = EventFd.create();
    const ring = SharedRing.create(4096, bell.fd);
    assertThrows(() => SharedRing.create(5000, bell.fd), AssertionFault);
    const model: [number, number[]][] = [];
    let usedBytes = 0;
    const got: [number, number[]][] = [];
    for (let step = 0; step < 3000; step++) {
      if (random.below(5) < 3) {
        const length = random.oneIn(20) ? ring.maxMessageBytes : random.below(200);
        const message = new Uint8Array(length).map(() => random.u32());
        const need = (8 + length + 7) & ~7;
        const fits = usedBytes + need <= 4096;
        assertEquals(ring.push(step, message), fits);
        if (!fits) continue;
        usedBytes += need;
        model.push([step, [...message]]);
      } else {
        const most = 1 + random.below(8);
        got.length = 0;
        ring.drain((tag, bytes) => got.push([tag, [...bytes]]), most);
        const expected = model.splice(0, most);
        assertEquals(got, expected);
        for (const [, bytes] of expected) usedBytes -= (8 + bytes.length + 7) & ~7;
        // What was left for later rings again.
        if (model.length > 0) assertEquals(bell.drain() > 0, true);
      }
    }
    assertThrows(() => ring.push(1, new Uint8Array(ring.maxMessageBytes + 1)), AssertionFault);
  });
});

Deno.test("several threads write, one reads: nothing is lost, each writer's messages are in order", async () => {
  using bell = EventFd.create();
  const ring = SharedRing.create(4096, bell.fd);
  const COUNT = 3000;
  const workers = [1, 2, 3].map((tag) => {
    const worker = new Worker(new URL("./shared_ring_worker.ts", import.meta.url), { type: "module" });
    const done = new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => reject(event.error ?? new Error(event.message));
    });
    worker.postMessage({ handle: ring.handle, tag, count: COUNT });
    return { worker, done };
  });
  const seen = [0, 0, 0, 0];
  while (seen.reduce((a, b) => a + b) < 3 * COUNT) {
    ring.drain((tag, message) => {
      const n = new DataView(message.buffer).getUint32(0, true);
      assertEquals(n, seen[tag], `writer ${tag}`);
      assertEquals(message.length, 4 + (n % 97));
      assert(message.subarray(4).every((byte) => byte === tag));
      seen[tag]!++;
    });
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await Promise.all(workers.map(({ done }) => done));
  for (const { worker } of workers) worker.terminate();
  assertEquals(seen, [0, COUNT, COUNT, COUNT]);
});
