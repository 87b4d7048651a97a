/** Messages of one turn as one piece: the protocol's words, and memory that stays as it was. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { messageHead, PublishBatch } from "../../../src/nats/wire/publish_batch.ts";

const NONE = new Uint8Array(0);

/** What the library would make of the same. */
function expected(subject: string, reply: string | undefined, payload: Uint8Array): Uint8Array {
  const words = ["PUB", subject, ...reply === undefined ? [] : [reply], `${payload.length}\r\n`].join(" ");
  return Uint8Array.from([...new TextEncoder().encode(words), ...payload, 13, 10]);
}

Deno.test("a turn's messages leave as one piece, as the protocol has them", async () => {
  const pieces: Uint8Array[] = [];
  const batch = new PublishBatch((piece) => pieces.push(piece));
  const source = Uint8Array.from({ length: 200 }, (_, i) => i);
  const all: number[] = [];
  for (const length of [0, 1, 9, 10, 99, 100, 101]) {
    batch.add(messageHead("a.b"), NONE, source, 3, length);
    all.push(...expected("a.b", undefined, source.subarray(3, 3 + length)));
  }
  batch.add(messageHead("a.b", "_INBOX.x"), Uint8Array.of(7, 8), source, 0, 5);
  all.push(...expected("a.b", "_INBOX.x", Uint8Array.of(7, 8, 0, 1, 2, 3, 4)));
  assertEquals(pieces, []);
  await Promise.resolve();
  assertEquals(pieces.map((piece) => [...piece]), [all]);
});

Deno.test("what was given away is not written again, however much follows, and nothing waits too long", async () => {
  const pieces: { readonly piece: Uint8Array; readonly copy: Uint8Array }[] = [];
  const batch = new PublishBatch((piece) => pieces.push({ piece, copy: piece.slice() }));
  const head = messageHead("x");
  let all = 0;
  for (let round = 0; round < 300; round++) {
    const length = round % 50 === 49 ? 200_000 : round * 37 % 3000;
    const payload = new Uint8Array(length).fill(round & 255);
    batch.add(head, NONE, payload, 0, length);
    all += expected("x", undefined, payload).length;
    if (round % 7 === 0) await Promise.resolve();
  }
  await Promise.resolve();
  for (const { piece, copy } of pieces) assertEquals(piece, copy);
  assertEquals(pieces.reduce((sum, { piece }) => sum + piece.length, 0), all);
  assert(pieces.every(({ piece }) => piece.length < 300_000));
});

Deno.test("a subject is one word: nobody adds a line to the protocol", () => {
  for (const subject of ["a b", "a\r\nPUB x 0", "", "a\t"]) assertThrows(() => messageHead(subject));
  for (const reply of ["a b", "\r\n"]) assertThrows(() => messageHead("a", reply));
});
