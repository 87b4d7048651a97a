/**
 * The wire codec against a checker of its own: 100,000 frames, mutated and random, each accepted and written
 * back as it was, or refused for the right reason.
 */
import { assert, assertEquals } from "@std/assert";
import { checkFrame, decodeFrame, encodeFrame } from "../../src/protocol/frame.ts";
import { BODY, EventPool } from "../../src/event/transfer_event.ts";
import { DOWN as COMMANDS, KINDS, LOCAL } from "../fixtures/protocol_page.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";

const FRAMES = 100_000;
// A HELLO travels down, its answers up; what is local does not travel.
const DOWN = new Set([...COMMANDS, KINDS.HELLO]);
const UP = new Set(
  Object.values(KINDS).filter((kind) => kind > 0 && !DOWN.has(kind) && !LOCAL.includes(kind)),
);
const TRAVELLING = [...DOWN, ...UP];

/** What is wrong with a packet, by src/event/PROTOCOL.md; several things may be. */
function defectsOf(bytes: Uint8Array, fdCount: number): Set<string> {
  const defects = new Set<string>();
  if (bytes.length < 96) return defects.add("short frame");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number) => view.getUint32(at, true);
  const kind = view.getUint16(4, true);
  const dir = bytes[7] as number;
  if (u32(0) !== 0x31475356) defects.add("bad magic");
  if (!DOWN.has(kind) && !UP.has(kind)) defects.add("unknown kind");
  else if (dir !== (DOWN.has(kind) ? 1 : 0)) defects.add("wrong direction for the kind");
  if ((bytes[8] as number) > 3) defects.add("bad priority");
  if (u32(24) !== bytes.length - 96 || u32(24) > 65_536) defects.add("body length does not match");
  if ((bytes[9] as number) > 2 || (bytes[9] === 0 && u32(24) > 0)) defects.add("bad body format");
  if (u32(28) !== 0) defects.add("reserved field is not 0");
  if (view.getUint16(10, true) !== fdCount) defects.add("number of fds does not match");
  return defects;
}

function validFrame(random: SeededRandom): Uint8Array<ArrayBuffer> {
  const bodyBytes = random.oneIn(3) ? 0 : random.oneIn(200) ? 65_536 - random.below(3) : random.below(300);
  const bytes = new Uint8Array(96 + bodyBytes);
  const view = new DataView(bytes.buffer);
  const kind = TRAVELLING[random.below(TRAVELLING.length)] as number;
  view.setUint32(0, 0x31475356, true);
  view.setUint16(4, kind, true);
  bytes[6] = random.below(256);
  bytes[7] = DOWN.has(kind) ? 1 : 0;
  bytes[8] = random.below(4);
  bytes[9] = bodyBytes > 0 ? 1 + random.below(2) : random.below(3);
  for (const at of [12, 16, 20]) view.setUint32(at, random.u32(), true);
  view.setUint32(24, bodyBytes, true);
  // Times and tokens are exact below 2^53; the token of an UP frame is 0.
  view.setUint32(32, random.u32(), true);
  view.setUint32(36, random.u32() >>> 11, true);
  if (bytes[7] === 1) {
    view.setUint32(40, random.u32(), true);
    view.setUint32(44, random.u32() >>> 11, true);
  }
  for (let at = 48; at < bytes.length; at++) bytes[at] = random.u32() & 0xff;
  return bytes;
}

function mutated(random: SeededRandom, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  let out = bytes;
  switch (random.below(5)) {
    case 0: // one bit
      out[random.below(Math.min(96, out.length))]! ^= 1 << random.below(8);
      break;
    case 1: // one field of 32 bits, with a value that programs get wrong
      new DataView(out.buffer).setUint32(
        4 * random.below(12),
        [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 65_536, 65_537, 0x10000][random.below(8)] as number,
        true,
      );
      break;
    case 2: // cut
      out = out.slice(0, random.below(out.length + 1));
      break;
    case 3: // longer
      out = new Uint8Array([...out, ...new Uint8Array(1 + random.below(64))]);
      break;
    default: // many bytes
      for (let i = random.below(8); i >= 0; i--) out[random.below(out.length)] = random.u32() & 0xff;
  }
  return out;
}

function packet(random: SeededRandom): Uint8Array<ArrayBuffer> {
  if (random.oneIn(8)) {
    const bytes = new Uint8Array(random.below(400));
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.u32() & 0xff;
    return bytes;
  }
  const bytes = validFrame(random);
  return random.oneIn(4) ? bytes : mutated(random, bytes);
}

Deno.test(`${FRAMES} frames: accepted and written back as they were, or refused for the right reason`, () => {
  withSeed((random) => {
    const pool = new EventPool();
    const outcomes = new Map<string, number>();
    const buffer = new Uint8Array(3 + 96 + 2 * 65_536);
    const view = new DataView(buffer.buffer);
    const back = new Uint8Array(96 + 65_536);
    for (let n = 0; n < FRAMES; n++) {
      const bytes = packet(random);
      const fdCount = random.oneIn(10) ? random.below(3) : 0;
      // At an odd place, in front of what another frame left behind.
      const offset = random.below(4);
      buffer.set(bytes, offset);
      const defect = checkFrame(view, offset, bytes.length, fdCount);
      const defects = defectsOf(bytes, fdCount);
      outcomes.set(defect, (outcomes.get(defect) ?? 0) + 1);
      if (defects.size > 0) {
        assert(defects.has(defect), `frame ${n} is refused for ${[...defects]}, not for "${defect}"`);
        continue;
      }
      assertEquals(defect, "", `frame ${n}`);
      const event = pool.acquire();
      decodeFrame(event, buffer, view, offset);
      assertEquals(
        [event.origin, event.ticket, event.fds.length],
        [0, 0, 0],
        "nothing in a frame sets these",
      );
      const seq = event.seq;
      const tokenText = event.token;
      const length = encodeFrame(event, seq, new DataView(back.buffer), back, 0);
      // The fds are the caller's to add; a time or token past 2^53 is rounded, and an UP frame carries no
      // token.
      back[10] = fdCount;
      const exact = comparable(bytes);
      assertEquals(length, bytes.length, `frame ${n}`);
      assertEquals(same(comparable(back.subarray(0, length)), exact), -1, `frame ${n}, token ${tokenText}`);
      event.release();
    }
    assertEquals(pool.live, 0);
    // All the reasons were met, and plenty of good frames.
    assert((outcomes.get("") ?? 0) > FRAMES / 6, `accepted ${outcomes.get("")}`);
    assertEquals(outcomes.size, 10, JSON.stringify([...outcomes]));
  });
});

/** A copy without what is not exact. */
function comparable(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  if (view.getUint32(36, true) >= 1 << 21) copy.fill(0, 32, 40);
  if (copy[7] === 0 || view.getUint32(44, true) >= 1 << 21) copy.fill(0, 40, 48);
  return copy;
}

function same(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

Deno.test("an empty body keeps its format, a body its bytes", () => {
  const pool = new EventPool();
  const event = pool.acquire();
  const bytes = new Uint8Array(96);
  const view = new DataView(bytes.buffer);
  bytes[9] = BODY.CBOR;
  decodeFrame(event, bytes, view, 0);
  assertEquals([event.bodyFormat, event.bodyBytes], [BODY.CBOR, 0]);
  event.release();
  const next = pool.acquire();
  assertEquals(next.bodyFormat, BODY.NONE, "and leaves nothing behind in the pool");
  next.release();
});
