/** What a program has no room for waits, goes on in order, is bounded, and what was dropped is told first. */
import { assert, assertEquals } from "@std/assert";
import { MOST_INBOX, RemoteInbox } from "../../../src/client/remote_inbox.ts";
import { OVERRUN } from "../../../src/event/body_layout.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO, type Prio } from "../../../src/event/priority.ts";
import { madeFrame } from "../../../src/nats/wire/made_frames.ts";
import { FRAME } from "../../../src/protocol/frame.ts";

const frameOf = (id: number, prio: Prio = PRIO.NORMAL) =>
  madeFrame({ kind: KIND.VGPU_STATUS, prio }, (inline) => inline.setUint32(0, id, true));
const viewOf = (frame: Uint8Array<ArrayBuffer>) => new DataView(frame.buffer);
const idOf = (frame: Uint8Array<ArrayBuffer>) => viewOf(frame).getUint32(FRAME.inline, true);

class Reader {
  room = 0;
  readonly taken: Uint8Array<ArrayBuffer>[] = [];
  mayRead(): boolean {
    return this.room > 0;
  }
  take(frame: Uint8Array<ArrayBuffer>): void {
    this.room--;
    this.taken.push(frame);
  }
}

Deno.test("a burst beyond the room of a stream waits, and comes whole and in order", () => {
  const reader = new Reader();
  const inbox = new RemoteInbox(reader);
  reader.room = 3;
  for (let i = 0; i < 20_000; i++) inbox.push(frameOf(i));
  assertEquals([reader.taken.length, inbox.length], [3, 19_997]);
  while (inbox.length > 0) {
    reader.room = 100;
    inbox.drain();
  }
  assertEquals(reader.taken.length, 20_000);
  assert(reader.taken.every((frame, i) => idOf(frame) === i));
});

Deno.test("past its bound the lowest priority goes, the oldest first, and it is told how many", () => {
  const reader = new Reader();
  const inbox = new RemoteInbox(reader);
  for (let i = 0; i < 10; i++) inbox.push(frameOf(i, PRIO.URGENT));
  for (let i = 10; i < MOST_INBOX + 1; i++) inbox.push(frameOf(i, i % 2 === 0 ? PRIO.BULK : PRIO.HIGH));
  assert(inbox.length <= MOST_INBOX);
  reader.room = Infinity;
  inbox.drain();
  const [told, ...rest] = reader.taken;
  assert(told !== undefined);
  assertEquals(viewOf(told).getUint16(FRAME.kind, true), KIND.OVERRUN);
  assertEquals(viewOf(told).getUint32(FRAME.inline + OVERRUN.at.highestPrioLost, true), PRIO.BULK);
  const lost = viewOf(told).getUint32(FRAME.inline + OVERRUN.at.lost, true);
  assertEquals(lost + rest.length, MOST_INBOX + 1, "what is not there is told");
  assertEquals(rest.slice(0, 10).map(idOf), [...Array(10).keys()]);
  assert(rest.every((frame, i) => i === 0 || idOf(frame) > idOf(rest[i - 1] as Uint8Array<ArrayBuffer>)));
});
