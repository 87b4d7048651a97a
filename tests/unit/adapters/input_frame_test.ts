import { assertEquals } from "@std/assert";
import {
  decodeHeldRecord,
  encodeHeldRecord,
  MAX_HELD_RECORD_BYTES,
} from "../../../src/adapters/input/held_record.ts";
import { heldEntry, HeldSet } from "../../../src/adapters/input/held_set.ts";
import { InputFrame } from "../../../src/adapters/input/input_frame.ts";
import { stepEnd } from "../../../src/adapters/input/input_step.ts";
import { Pace } from "../../../src/adapters/input/pace.ts";
import { QCODE_OF_KEY } from "../../../src/adapters/input/qmp_keys.ts";
import { CODE } from "../../../src/base/codes.ts";
import { INPUT_KIND } from "../../../src/event/body_number.ts";
import { BODY, EventPool } from "../../../src/event/transfer_event.ts";
import { type InputRecord, writeInputRecord } from "../../fixtures/adapter_rig.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";

const { ABS, REL, BTN, KEY, SCROLL } = INPUT_KIND;
const REPERTOIRE = {
  hasKey: (code: number) => QCODE_OF_KEY[code] !== undefined,
  hasButton: (code: number) => code >= 0x110 && code <= 0x114,
};
const pool = new EventPool();

function read(records: readonly InputRecord[], format: number = BODY.RAW, cut = 0): [number, InputFrame] {
  const event = pool.acquire();
  const [first, ...rest] = records;
  if (first !== undefined) writeInputRecord(event.view, 0, first);
  const bytes = new Uint8Array(rest.length * 24);
  rest.forEach((record, i) => writeInputRecord(new DataView(bytes.buffer), i * 24, record));
  if (bytes.length > 0) event.copyBody(format, bytes, 0, bytes.length - cut);
  event.ticket = 7;
  const frame = new InputFrame();
  const code = frame.read(event, REPERTOIRE);
  event.release();
  return [code, frame];
}

Deno.test("what the protocol allows is read, with its edges", () => {
  const records: InputRecord[] = [
    { kind: ABS, code: 0, value: 0 },
    { kind: ABS, code: 1, value: 0x7fff },
    { kind: REL, code: 0, value: -0x7fff },
    { kind: REL, code: 1, value: 0x7fff },
    { kind: BTN, code: 0x110, value: 1 },
    { kind: BTN, code: 0x114, value: 0 },
    { kind: KEY, code: 1, value: 1 },
    { kind: KEY, code: 226, value: 0 },
    { kind: SCROLL, code: 0, scroll: -100 },
    { kind: SCROLL, code: 1, scroll: 0.125 },
    { kind: SCROLL, code: 1, scroll: 0 },
  ];
  const [code, frame] = read(records);
  assertEquals([code, frame.count, frame.ticket], [CODE.ok, records.length, 7]);
  assertEquals(
    records.map((_, i) => ({
      kind: frame.kinds[i],
      code: frame.codes[i],
      value: frame.values[i],
      scroll: frame.scrolls[i],
    })),
    records.map((record) => ({ value: 0, scroll: 0, ...record })),
  );
});

Deno.test("what is out of range is a bad argument, wherever in the frame it is", () => {
  const bad: InputRecord[] = [
    { kind: ABS, code: 0, value: -1 },
    { kind: ABS, code: 0, value: 0x8000 },
    { kind: ABS, code: 2, value: 0 },
    { kind: ABS, code: -1, value: 0 },
    { kind: REL, code: 2, value: 0 },
    { kind: REL, code: 0, value: 0x8000 },
    { kind: REL, code: 0, value: -0x80000000 },
    { kind: BTN, code: 0x10f, value: 1 },
    { kind: BTN, code: 0x115, value: 1 },
    { kind: BTN, code: 0x110, value: 2 },
    { kind: KEY, code: 0, value: 1 },
    { kind: KEY, code: -1, value: 1 },
    { kind: KEY, code: 0x300, value: 1 },
    { kind: KEY, code: 183, value: 1 },
    { kind: KEY, code: 30, value: -1 },
    { kind: SCROLL, code: 2, scroll: 1 },
    { kind: SCROLL, code: 0, scroll: NaN },
    { kind: SCROLL, code: 0, scroll: Infinity },
    { kind: SCROLL, code: 0, scroll: 100.5 },
    { kind: 5, code: 0 },
    { kind: 0xffffffff, code: 0 },
  ];
  const good: InputRecord = { kind: KEY, code: 30, value: 1 };
  for (const record of bad) {
    assertEquals(read([record])[0], CODE["bad-argument"], JSON.stringify(record));
    const frame = Array.from({ length: 120 }, (_, i) => i === 99 ? record : good);
    assertEquals(read(frame)[0], CODE["bad-argument"], `as the 100th: ${JSON.stringify(record)}`);
  }
});

Deno.test("256 records are a frame, 257 are too many; a body must be whole records, raw", () => {
  const key: InputRecord = { kind: KEY, code: 30, value: 1 };
  assertEquals(read(Array(256).fill(key))[0], CODE.ok);
  assertEquals(read(Array(257).fill(key))[0], CODE["too-large"]);
  assertEquals(read(Array(3).fill(key), BODY.RAW, 1)[0], CODE["bad-argument"]);
  assertEquals(read(Array(3).fill(key), BODY.CBOR)[0], CODE["bad-argument"]);
  assertEquals(read(Array(11).fill({ kind: SCROLL, code: 0, scroll: 100 }))[0], CODE["too-large"]);
});

Deno.test("a frame's steps: one key or button each, motion together, no axis twice", () => {
  const steps = (records: InputRecord[], isRelease = false) => {
    const [, frame] = read(records);
    frame.isRelease = isRelease;
    const ends: number[] = [];
    for (let at = 0; at < frame.count;) ends.push(at = stepEnd(frame, at, 3));
    return ends;
  };
  const x = { kind: ABS, code: 0, value: 1 };
  const y = { kind: ABS, code: 1, value: 1 };
  const dx = { kind: REL, code: 0, value: 1 };
  const a = { kind: KEY, code: 30, value: 1 };
  const b = { kind: KEY, code: 48, value: 1 };
  const click = { kind: BTN, code: 0x110, value: 1 };
  const wheel = { kind: SCROLL, code: 0, scroll: 1 };
  assertEquals(steps([a, b, a]), [1, 2, 3]);
  assertEquals(steps([x, y, click, x, y]), [2, 3, 5]);
  assertEquals(steps([x, x, y, dx]), [1, 4]);
  assertEquals(steps([wheel, wheel, x]), [1, 2, 3]);
  assertEquals(steps([a, b, a, b, a, b, a], true), [3, 6, 7]);
});

Deno.test("the held set follows what arrives, and tells the oldest ten", () => {
  const held = new HeldSet();
  const keys = Array.from({ length: 12 }, (_, i): InputRecord => ({ kind: KEY, code: 16 + i, value: 1 }));
  const [, down] = read([{ kind: BTN, code: 0x110, value: 1 }, ...keys]);
  held.apply(down, 0, down.count);
  const event = pool.acquire();
  held.fill(event);
  assertEquals([event.view.getUint32(0, true), event.view.getUint32(4, true)], [10, 1]);
  assertEquals([event.view.getUint16(8, true), event.view.getUint16(10, true)], [BTN, 0x110]);
  assertEquals([event.view.getUint16(12, true), event.view.getUint16(14, true)], [KEY, 16]);
  const [, up] = read([...keys.slice(0, 3).map((key) => ({ ...key, value: 0 })), keys[11] as InputRecord]);
  held.apply(up, 0, up.count);
  held.fill(event);
  assertEquals([held.size, event.view.getUint32(0, true), event.view.getUint32(4, true)], [10, 10, 0]);
  held.apply(up, 0, 2);
  assertEquals(held.size, 10);
  event.release();
});

Deno.test("a held record comes back as it was; a damaged one does not come back", () => {
  const random = new SeededRandom();
  const bytes = new Uint8Array(MAX_HELD_RECORD_BYTES);
  for (let round = 0; round < 300; round++) {
    const entries = Array.from(
      { length: random.below(60) },
      () =>
        random.oneIn(5) ? heldEntry(BTN, 0x110 + random.below(5)) : heldEntry(KEY, 1 + random.below(0x2ff)),
    );
    const pid = random.below(1 << 22);
    const length = encodeHeldRecord(bytes, pid, entries);
    assertEquals(decodeHeldRecord(bytes), { pid, entries }, `seed ${random.seed}`);
    const damaged = bytes.slice(0, length);
    const at = random.below(length);
    damaged[at] = (damaged[at] ?? 0) ^ 1 << random.below(8);
    assertEquals(decodeHeldRecord(damaged), undefined, `seed ${random.seed}: byte ${at}`);
    assertEquals(decodeHeldRecord(bytes.subarray(0, random.below(length))), undefined);
  }
  assertEquals(decodeHeldRecord(new Uint8Array(0)), undefined);
  assertEquals(decodeHeldRecord(new Uint8Array(5000).fill(0xff)), undefined);
  // A record of valid form that names what is no key.
  encodeHeldRecord(bytes, 1, [heldEntry(ABS, 0)]);
  assertEquals(decodeHeldRecord(bytes), undefined);
});

Deno.test("the pace lets a burst go, then one each gap, and recovers in a rest", () => {
  const pace = new Pace(10, 3);
  let nowNs = 1000;
  const wait = () => Math.max(0, pace.nextNs() - nowNs);
  const waits = () => {
    const ns = wait();
    nowNs += ns;
    pace.take(nowNs);
    return ns;
  };
  assertEquals([waits(), waits(), waits(), waits(), waits()], [0, 0, 0, 10, 10]);
  nowNs += 20;
  assertEquals([waits(), waits(), waits()], [0, 0, 10]);
  nowNs += 1000;
  pace.take(nowNs, 5);
  assertEquals(waits(), 30);
});
