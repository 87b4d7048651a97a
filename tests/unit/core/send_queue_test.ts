/** What waits to be written to a byte stream. */
import { assertEquals } from "@std/assert";
import { SendQueue } from "../../../src/core/send_queue.ts";

/** A peer that takes `room` bytes. */
function peer(): { room: number; got: number[]; write: (bytes: Uint8Array, offset: number) => number } {
  const self = {
    room: 0,
    got: [] as number[],
    write: (bytes: Uint8Array, offset: number): number => {
      const taken = Math.min(self.room, bytes.length - offset);
      self.got.push(...bytes.subarray(offset, offset + taken));
      self.room -= taken;
      return taken;
    },
  };
  return self;
}

Deno.test("send queue: bytes go out once and in order, however little is taken at a time", () => {
  const other = peer();
  const queue = new SendQueue(100, other.write);
  queue.send(Uint8Array.of(1, 2, 3));
  queue.send(Uint8Array.of(4, 5));
  for (let i = 0; i < 5; i++) {
    other.room = 1;
    queue.flush();
    assertEquals(other.got, [1, 2, 3, 4, 5].slice(0, i + 1));
  }
  other.room = 9;
  queue.flush();
  assertEquals(other.got, [1, 2, 3, 4, 5]);
});

Deno.test("send queue: says when more waits than may, and counts what was taken out again", () => {
  const other = peer();
  const queue = new SendQueue(4, other.write);
  assertEquals(queue.send(new Uint8Array(4)), true);
  assertEquals(queue.send(new Uint8Array(1)), false);
  other.room = 5;
  queue.flush();
  assertEquals(queue.send(new Uint8Array(4)), true);
});

Deno.test("send queue: what is cleared within a write leaves nothing of itself to what follows", () => {
  const other = peer();
  let isGone = false;
  const queue = new SendQueue(100, (bytes, offset) => {
    const taken = other.write(bytes, offset);
    if (isGone) queue.clear();
    return taken;
  });
  other.room = 1;
  queue.send(Uint8Array.of(1, 2, 3));
  isGone = true;
  other.room = 1;
  queue.flush();
  isGone = false;
  other.got = [];
  other.room = 9;
  queue.send(Uint8Array.of(7, 8, 9));
  assertEquals(other.got, [7, 8, 9]);
});
