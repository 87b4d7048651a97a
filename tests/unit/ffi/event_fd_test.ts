import { assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import "./loaded_shim.ts";

Deno.test("an eventfd counts until it is drained", () => {
  using event = EventFd.create();
  assertEquals(event.drain(), 0);
  event.signal();
  event.signal(4);
  assertEquals(event.drain(), 5);
  assertEquals(event.drain(), 0);
});

Deno.test("as a semaphore it gives one at a time", () => {
  using event = EventFd.create(true);
  event.signal(2);
  assertEquals([event.drain(), event.drain(), event.drain()], [1, 1, 0]);
});

Deno.test("a full counter stays as it is, and nobody blocks", () => {
  using event = EventFd.create();
  // The greatest count is 2^64 - 2; these two make 2^64 - 1024, which as a double is 2^64.
  event.signal(2 ** 63);
  event.signal(2 ** 63 - 1024);
  event.signal(2048);
  assertEquals(event.drain(), 2 ** 64);
});

Deno.test("a borrowed eventfd stays open when the borrower goes", () => {
  const event = EventFd.create();
  {
    using borrowed = EventFd.borrow(event.fd);
    borrowed.signal(3);
  }
  assertEquals(event.drain(), 3);
  event[Symbol.dispose]();
  assertThrows(() => event.signal(), AssertionFault);
});

Deno.test("another thread signals it by its number", async () => {
  using event = EventFd.create();
  const worker = new Worker(new URL("event_fd_worker.ts", import.meta.url), { type: "module" });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (error) => reject(new Error(error.message));
      worker.postMessage(event.fd);
    });
    assertEquals(event.drain(), 41);
  } finally {
    worker.terminate();
  }
});
