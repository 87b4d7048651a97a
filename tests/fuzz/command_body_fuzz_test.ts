/**
 * Bodies of commands that a control sends, and the record of held keys that another daemon left: layouts of
 * fixed fields with a length that must agree.
 */
import { assert } from "@std/assert";
import { InputFrame, MAX_FRAME_NOTCHES } from "../../src/adapters/input/input_frame.ts";
import {
  decodeHeldRecord,
  encodeHeldRecord,
  MAX_HELD_RECORD_BYTES,
} from "../../src/adapters/input/held_record.ts";
import { MemwriteRequest } from "../../src/adapters/memctx/memwrite_request.ts";
import { CODE } from "../../src/base/codes.ts";
import { INPUT_RECORD_BYTES, MAX_INPUT_RECORDS, MAX_MEMWRITE_BYTES } from "../../src/base/limits.ts";
import { INPUT_KIND, MEMWRITE_FLAG } from "../../src/event/body_number.ts";
import { checkFrame, decodeFrame } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { EventPool, type TransferEvent } from "../../src/event/transfer_event.ts";
import { type Bytes, fuzz } from "./harness.ts";

const HEADER_BYTES = 96;
const INLINE_AT = 48;

/** A command's frame with these u32 in its inline zone. */
function command(kind: number, inline: readonly number[], body: Uint8Array = new Uint8Array(0)): Bytes {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x31475356, true);
  view.setUint16(4, kind, true);
  bytes[6] = 2;
  bytes[7] = 1;
  bytes[9] = body.length > 0 ? 1 : 0;
  view.setUint32(24, body.length, true);
  inline.forEach((word, i) => view.setUint32(INLINE_AT + 4 * i, word, true));
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** So that what lies behind the frame's own checks is reached. */
function repairFrame(input: Bytes): void {
  if (input.length < HEADER_BYTES) return;
  const view = new DataView(input.buffer);
  view.setUint32(0, 0x31475356, true);
  input[7] = 1;
  input[8] = 1;
  input[9] = input.length > HEADER_BYTES ? 1 : 0;
  view.setUint16(10, 0, true);
  view.setUint32(24, input.length - HEADER_BYTES, true);
  view.setUint32(28, 0, true);
}

const pool = new EventPool();

/** Reads a frame as the socket does; the outcome is what `read` says of the event. */
function withEvent(input: Bytes, kind: number, read: (event: TransferEvent) => string): string {
  const view = new DataView(input.buffer);
  if (checkFrame(view, 0, input.length, 0) !== "" || view.getUint16(4, true) !== kind) return "no frame";
  const event = pool.acquire();
  try {
    decodeFrame(event, input, view, 0);
    return read(event);
  } finally {
    event.release();
    assert(pool.live === 0, "an event is left over");
  }
}

const record = (kind: number, code: number, value: number) => [kind, code, value, 0, 0, 0];
const KEY_A = record(INPUT_KIND.KEY, 30, 1);
const SCROLL = new Uint32Array([
  INPUT_KIND.SCROLL,
  0,
  0,
  0,
  ...new Uint32Array(new Float64Array([2.5]).buffer),
]);
const records = (count: number) =>
  new Uint8Array(new Uint32Array(new Array(count).fill(KEY_A).flat()).buffer);

fuzz({
  name: "CMD_INPUT",
  corpus: () => [
    command(KIND.CMD_INPUT, KEY_A),
    command(KIND.CMD_INPUT, record(INPUT_KIND.ABS, 1, 0x7fff), records(3)),
    command(KIND.CMD_INPUT, record(INPUT_KIND.BTN, 0x110, 1), new Uint8Array(SCROLL.buffer)),
    command(KIND.CMD_INPUT, record(INPUT_KIND.REL, 0, -5), records(MAX_INPUT_RECORDS - 1)),
    command(KIND.CMD_INPUT, [...SCROLL]),
  ],
  largest: HEADER_BYTES + 8192,
  words: Object.values(INPUT_KIND).map((kind) => [kind, 0, 0, 0]),
  repair: repairFrame,
  decode: (input) =>
    withEvent(input, KIND.CMD_INPUT, (event) => {
      const frame = new InputFrame();
      const code = frame.read(event, { hasKey: (key) => key % 7 !== 0, hasButton: () => true });
      if (code !== CODE.ok) return `code ${code}`;
      assert(frame.count >= 1 && frame.count <= MAX_INPUT_RECORDS);
      assert(event.bodyBytes === (frame.count - 1) * INPUT_RECORD_BYTES, "every record is in the frame");
      let notches = 0;
      for (let i = 0; i < frame.count; i++) notches += Math.abs(frame.scrolls[i] ?? 0);
      assert(notches <= MAX_FRAME_NOTCHES + frame.count, `${notches} notches`);
      return "ok";
    }),
  mustMeet: ["ok", "no frame", `code ${CODE["bad-argument"]}`],
});

const { INLINE, PAYLOAD, CR3, SEQLOCK } = MEMWRITE_FLAG;
const write = (
  length: number,
  flags: number,
  tail: readonly number[] = [],
) => [0x1000, 0x7f12, length, flags, ...tail];

fuzz({
  name: "CMD_MEMWRITE",
  corpus: () => [
    command(KIND.CMD_MEMWRITE, write(4, INLINE, [7])),
    command(KIND.CMD_MEMWRITE, write(8, INLINE | CR3, [0x5000, 0, 1, 2])),
    command(KIND.CMD_MEMWRITE, write(64, PAYLOAD | SEQLOCK), new Uint8Array(64)),
    command(KIND.CMD_MEMWRITE, write(MAX_MEMWRITE_BYTES, PAYLOAD), new Uint8Array(MAX_MEMWRITE_BYTES)),
  ],
  largest: HEADER_BYTES + 8192,
  words: [[INLINE, 0, 0, 0], [PAYLOAD, 0, 0, 0], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  repair: repairFrame,
  decode: (input) =>
    withEvent(input, KIND.CMD_MEMWRITE, (event) => {
      const request = new MemwriteRequest();
      const code = request.read(event);
      if (code !== CODE.ok) return `code ${code}`;
      assert(request.length >= 1 && request.length <= MAX_MEMWRITE_BYTES);
      assert(request.sourceAt + request.length <= request.source.length, "the source lies in the event");
      assert(!request.hasRoot || (request.rootFrame > 0 && request.rootFrame <= 0x7fff_ffff));
      request.isCanonical(48);
      return request.hasRoot ? "under a root" : "ok";
    }),
  mustMeet: ["ok", "under a root", "no frame", `code ${CODE["bad-argument"]}`, `code ${CODE["too-large"]}`],
});

function held(...entries: readonly number[]): Bytes {
  const bytes = new Uint8Array(MAX_HELD_RECORD_BYTES);
  return bytes.slice(0, encodeHeldRecord(bytes, 77, entries));
}

fuzz({
  name: "record of held keys",
  corpus: () => {
    const [key, button] = [(INPUT_KIND.KEY << 16) | 30, (INPUT_KIND.BTN << 16) | 0x110];
    return [held(), held(key), held(key, button, key + 1), held(...new Array(1024).fill(button))];
  },
  largest: 2 * MAX_HELD_RECORD_BYTES,
  // FNV-1a of what stands before, where the count says that it ends.
  repair: (input) => {
    if (input.length < 20) return;
    const view = new DataView(input.buffer);
    const end = 16 + 4 * view.getUint32(12, true);
    if (end + 4 > input.length) return;
    let hash = 0x811c_9dc5;
    for (let i = 0; i < end; i++) hash = Math.imul(hash ^ (input[i] as number), 0x0100_0193);
    view.setUint32(end, hash >>> 0, true);
  },
  decode: (input) => {
    const record = decodeHeldRecord(input);
    if (record === undefined) return "damaged";
    assert(record.entries.length <= 1024 && record.pid >= 0);
    for (const entry of record.entries) assert((entry & 0xffff) <= 0x2ff && (entry & 0xffff) > 0);
    return record.entries.length > 0 ? "keys" : "none";
  },
  mustMeet: ["damaged", "keys", "none"],
});
