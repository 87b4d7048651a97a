/**
 * The parts of a console that need no VM: what is kept, who waits, what is written.
 * @module
 */
import type { ControlId } from "../../../../src/base/ids.ts";
import { assertEquals } from "@std/assert";
import { Backlog } from "../../../../src/adapters/console/backlog.ts";
import type { Channel } from "../../../../src/adapters/channel/channel_listing.ts";
import { type ConsoleHost, ConsolePort } from "../../../../src/adapters/console/console_port.ts";
import { BodyPool } from "../../../../src/adapters/console/body_pool.ts";
import { BODY, EventPool } from "../../../../src/event/transfer_event.ts";
import { ConsoleReads, PATIENCE_NS } from "../../../../src/adapters/console/console_reads.ts";
import { ConsoleWrites, MAX_WAITING_BYTES } from "../../../../src/adapters/console/console_writes.ts";
import { NEVER } from "../../../../src/base/clock.ts";
import { CODE } from "../../../../src/base/codes.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";

Deno.test("backlog: the newest bytes by their places, against a model that keeps all", () => {
  withSeed((random) => {
    for (let round = 0; round < 20; round++) {
      const most = 1 << (5 + random.below(12));
      const backlog = new Backlog(most);
      const all: number[] = [];
      for (let i = 0; i < 60; i++) {
        const piece = Uint8Array.from({ length: random.below(most * 2) }, () => random.below(256));
        backlog.append(piece);
        for (const byte of piece) all.push(byte);
        assertEquals([backlog.end, backlog.end - backlog.start <= most], [all.length, true]);
        const place = backlog.start + random.below(backlog.end - backlog.start + 1);
        const wanted = random.below(most);
        assertEquals([...backlog.read(place, wanted)], all.slice(place, place + wanted));
      }
      assertEquals(backlog.end - backlog.start, Math.min(all.length, most));
      assertEquals(backlog.roomAfter(backlog.end), most);
      assertEquals(backlog.roomAfter(0), most - (backlog.end - backlog.start));
    }
  });
});

const read = (ticket: number, offset: number, more: object = {}) => ({
  control: 1 as ControlId,
  ticket,
  offset,
  maxBytes: 64,
  deadlineNs: 1000,
  isLossless: false,
  ...more,
});

Deno.test("reads: answered when their byte is there, when they are due, or with their control", () => {
  const reads = new ConsoleReads();
  reads.add(read(1, 0));
  reads.add(read(2, 10, { control: 2 as ControlId, deadlineNs: 500 }));
  reads.add(read(3, 10, { control: 3 as ControlId }));
  const tickets = (taken: readonly { ticket: number }[]) => taken.map(({ ticket }) => ticket);
  assertEquals(tickets(reads.takeReady(10)), [1]);
  assertEquals(reads.deadlineNs, 500);
  assertEquals(tickets(reads.takeDue(500)), [2]);
  assertEquals(tickets(reads.takeOf(3 as ControlId)), [3]);
  assertEquals([reads.count, reads.deadlineNs], [0, NEVER]);
});

Deno.test("reads: the guest waits for the slowest that must lose nothing, and not for ever", () => {
  const reads = new ConsoleReads();
  assertEquals(reads.lowestKept, NEVER);
  reads.note(1 as ControlId, 100, 0);
  reads.note(2 as ControlId, 40, 5);
  assertEquals(reads.lowestKept, 40);
  reads.takeDue(PATIENCE_NS + 5);
  assertEquals(reads.lowestKept, NEVER);
});

Deno.test("writes: in order, each answered once, and nothing under a lease that is over", () => {
  let room = 0;
  let live = 1;
  let written = "";
  const answers: [number, number, number][] = [];
  const decoder = new TextDecoder();
  const writes = new ConsoleWrites({
    isLive: (token) => token === live,
    write: (bytes, offset) => {
      const taken = Math.min(room, bytes.length - offset);
      room -= taken;
      written += decoder.decode(bytes.subarray(offset, offset + taken));
      return taken;
    },
    answer: (ticket, code, detail) => answers.push([ticket, code, detail]),
  });
  const add = (ticket: number, token: number, text: string) =>
    writes.add({ ticket, token, bytes: new TextEncoder().encode(text) });
  add(1, 1, "hello ");
  add(2, 1, "world");
  writes.pump();
  assertEquals([written, answers], ["", []]);
  room = 8;
  writes.pump();
  assertEquals([written, answers], ["hello wo", [[1, CODE.ok, 6]]]);
  // Another owner: the rest of the half-written one never lands, and its own does.
  live = 2;
  add(3, 2, "!");
  room = 100;
  writes.pump();
  assertEquals(written, "hello wo!");
  assertEquals(answers.slice(1), [[2, CODE["stale-lease"], 2], [3, CODE.ok, 1]]);
  assertEquals(writes.add({ ticket: 4, token: 2, bytes: new Uint8Array(MAX_WAITING_BYTES + 1) }), false);
});

Deno.test("port: a read that waits when its control leaves ends without bytes, and is refused by nobody", () => {
  const read: { ticket: number; bytes: number }[] = [];
  const refused: number[] = [];
  const host = hostOf({
    answerRead: (_port, ticket, { bytes }) => read.push({ ticket, bytes: bytes.length }),
    answer: (ticket) => refused.push(ticket),
  });
  const port = new ConsolePort(0, {} as Channel, host);
  const waiting = { offset: 0, maxBytes: 100, deadlineNs: 1_000_000, isLossless: true };
  port.read({ ...waiting, control: 1 as ControlId, ticket: 11 }, 0);
  port.read({ ...waiting, control: 2 as ControlId, ticket: 12 }, 0);
  port.leave(1 as ControlId, 10);
  assertEquals([read, refused], [[{ ticket: 11, bytes: 0 }], []]);
  // One that may not read any more is told so.
  port.forget(2 as ControlId);
  assertEquals([read.length, refused], [1, [12]]);
});

Deno.test("port: of a guest that writes much at a time more is fetched at once for who waits for it", () => {
  const port = new ConsolePort(0, {} as Channel, hostOf({}));
  const reader = { control: 1 as ControlId, ticket: 1, maxBytes: 65_536, isLossless: true };
  const fetchedAt = (length: number): number => {
    port.onBytes(new Uint8Array(length));
    return port.deadlineNs;
  };
  // Nobody waits: what comes next may stay in the kernel for a while.
  assertEquals(fetchedAt(65_536), 250_000);
  port.tick(250_000);
  port.read({ ...reader, offset: 65_536, deadlineNs: 9e9 }, 0);
  assertEquals(fetchedAt(65_536) > 250_000, true);
  // It has had that, and will ask for the next: it must lose nothing.
  assertEquals(fetchedAt(65_536) > 250_000, true);
  // Of what comes by the letter it is not worth while.
  assertEquals(fetchedAt(16), 1_000_000);
});

Deno.test("bodies: memory is used again when no event has it any more, and not before", () => {
  const bodies = new BodyPool();
  const events = new EventPool();
  const withBody = (length: number) => {
    const event = events.acquire();
    event.setBody(BODY.RAW, bodies.take(length));
    event.own([], bodies);
    return event;
  };
  const first = withBody(65_536);
  const memory = first.body.buffer;
  first.retain().release();
  const second = withBody(50_000);
  assertEquals(second.body.buffer === memory, false);
  first.release();
  const third = withBody(20_000);
  assertEquals([third.body.buffer === memory, third.body.length, bodies.kept], [true, 20_000, 0]);
  // A small body is not of the pool, and many large ones at once are not all kept.
  const many = Array.from({ length: 20 }, () => withBody(65_536));
  for (const event of [second, third, withBody(100), ...many]) event.release();
  assertEquals([bodies.kept, events.live], [8, 0]);
});

/** A host of a console that is never open. */
function hostOf(more: Partial<ConsoleHost>): ConsoleHost {
  return {
    loop: { clock: { nowNs: () => 0 } } as unknown as ConsoleHost["loop"],
    isAlways: false,
    uid: () => -1,
    pid: () => 0,
    ways: () => undefined,
    rearm: () => {},
    onOpened: () => {},
    lookAgain: () => {},
    isLive: () => true,
    takeBody: (length) => new Uint8Array(length),
    answerRead: () => {},
    answer: () => {},
    ...more,
  } as Partial<ConsoleHost> as ConsoleHost;
}
