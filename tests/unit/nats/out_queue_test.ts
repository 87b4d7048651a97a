/** What waits for a server: bounded, in order, the urgent kept, what is lost told. */
import { assert, assertEquals } from "@std/assert";
import { PRIO, type Prio } from "../../../src/event/priority.ts";
import { JoinCounts } from "../../../src/nats/join/counts.ts";
import { MOST_WAITING, OutQueue } from "../../../src/nats/join/out_queue.ts";
import type { NatsLink, NatsListener } from "../../../src/nats/wire/nats_link.ts";
import { OVERRUN } from "../../../src/event/body_layout.ts";
import type { Outlet } from "../../../src/nats/join/event_numbers.ts";
import { FRAME } from "../../../src/protocol/frame.ts";

/** An outlet that counts nothing. */
const to = (subject: string): Outlet => ({
  subject,
  head: new TextEncoder().encode(subject),
  stamp: () => {},
});

class FakeLink {
  isUp = true;
  flushes: PromiseWithResolvers<boolean>[] = [];
  readonly sent: { subject: string; bytes: Uint8Array }[] = [];
  #listener: NatsListener = {};
  listen(listener: NatsListener): void {
    this.#listener = listener;
  }
  post(head: Uint8Array, bytes: Uint8Array, at: number, length: number): boolean {
    this.sent.push({ subject: new TextDecoder().decode(head), bytes: bytes.slice(at, at + length) });
    return true;
  }
  flush(): Promise<boolean> {
    const flush = Promise.withResolvers<boolean>();
    this.flushes.push(flush);
    return flush.promise;
  }
  turn(isUp: boolean): void {
    this.isUp = isUp;
    if (isUp) this.#listener.onUp?.();
    else this.#listener.onDown?.();
  }
}

function rig(): { link: FakeLink; queue: OutQueue; counts: JoinCounts } {
  const link = new FakeLink();
  const counts = new JoinCounts();
  return { link, counts, queue: new OutQueue(link as unknown as NatsLink, to("lost"), counts) };
}

function push(queue: OutQueue, outlet: Outlet, bytes: Uint8Array, prio: Prio): void {
  queue.push(outlet, bytes, 0, bytes.length, prio);
}

Deno.test("while the server is away events wait in order, and go when it is back", () => {
  const { link, queue, counts } = rig();
  push(queue, to("a"), Uint8Array.of(1), PRIO.NORMAL);
  link.turn(false);
  for (let i = 2; i < 6; i++) push(queue, to("a"), Uint8Array.of(i), (i % 4) as Prio);
  assertEquals([queue.waiting, link.sent.length], [4, 1]);
  link.turn(true);
  assertEquals(link.sent.map(({ bytes }) => bytes[0]), [1, 2, 3, 4, 5]);
  assertEquals([queue.waiting, counts.dropped, counts.published], [0, 0, 5]);
});

Deno.test("what does not fit pushes out the oldest of the lowest priority; it is told how many, first", () => {
  const { link, queue, counts } = rig();
  link.turn(false);
  for (let i = 0; i < 10; i++) push(queue, to("urgent"), Uint8Array.of(i), PRIO.URGENT);
  for (let i = 0; i < 5 * MOST_WAITING; i++) push(queue, to("bulk"), Uint8Array.of(i & 255), PRIO.BULK);
  assertEquals(queue.waiting, MOST_WAITING);
  assertEquals(counts.dropped, 4 * MOST_WAITING + 10);
  link.turn(true);
  const [first, ...rest] = link.sent;
  assertEquals(first?.subject, "lost");
  const lost = new DataView(first?.bytes.buffer as ArrayBuffer, FRAME.inline).getUint32(
    OVERRUN.at.lost,
    true,
  );
  assertEquals(lost, counts.dropped);
  assertEquals(rest.slice(0, 10).map(({ subject }) => subject), Array(10).fill("urgent"));
  assertEquals(rest.length, MOST_WAITING);
  // The newest of the bulk, in order.
  const bulk = rest.slice(10).map(({ bytes }) => bytes[0] as number);
  assert(bulk.every((value, i) => i === 0 || value === ((bulk[i - 1] as number) + 1 & 255)));
});

Deno.test("no more is out than a window before the server has confirmed it", async () => {
  const { link, queue } = rig();
  const large = new Uint8Array(1024 * 1024);
  for (let i = 0; i < 10; i++) push(queue, to("x"), large, PRIO.NORMAL);
  assertEquals(link.sent.length, 4);
  assertEquals(queue.waiting, 6);
  while (queue.waiting > 0) {
    link.flushes.shift()?.resolve(true);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(link.sent.length, 10);
});
