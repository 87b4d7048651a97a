/**
 * An RFB server's updates: each encoding, in pieces of every size, onto a picture that a plain model is
 * compared with; everything outside of the picture or of the protocol.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { MemoryCanvas } from "../../../src/display/canvas.ts";
import { ENCODING } from "../../../src/rfb/protocol.ts";
import type { RfbCursor, UpdateSink } from "../../../src/rfb/update_sink.ts";
import { TURN_WORK_BYTES, UpdateStream } from "../../../src/rfb/update_stream.ts";
import {
  copied,
  cursor,
  desktopSize,
  extendedDesktopSize,
  joined,
  type Piece,
  raw,
  rect,
  u16,
  u32,
  update,
} from "../../fixtures/rfb_bytes.ts";

class Rig implements UpdateSink {
  readonly canvas = new MemoryCanvas();
  readonly told: unknown[] = [];
  readonly stream: UpdateStream;

  constructor(width: number, height: number) {
    this.stream = new UpdateStream(this.canvas, this, width, height, Object.values(ENCODING));
    this.told.length = 0;
  }
  onUpdate(pixels: boolean): void {
    this.told.push(pixels ? "update" : "note");
  }
  onSize(width: number, height: number): void {
    this.told.push(`${width}x${height}`);
  }
  cursor: RfbCursor | undefined;
  onCursor(cursor: RfbCursor): void {
    const { width, height, hotX, hotY, visible } = cursor;
    this.cursor = cursor;
    this.told.push(["cursor", width, height, hotX, hotY, visible]);
  }
  onPointer(x: number, y: number): void {
    this.told.push(["pointer", x, y]);
  }
  onPointerMode(absolute: boolean): void {
    this.told.push(absolute ? "absolute" : "relative");
  }
  onExtendedKeys(): void {
    this.told.push("keys");
  }
  onLeds(bits: number): void {
    this.told.push(["leds", bits]);
  }

  /** Feeds it in pieces, and turns that end where it is tired. */
  feed(input: Uint8Array<ArrayBuffer>, size = input.length, span = false): this {
    const view = new DataView(input.buffer);
    let used = 0;
    for (let end = Math.min(size, input.length); used < input.length;) {
      this.stream.beginTurn();
      if (span && this.stream.span > 0) {
        const length = Math.min(this.stream.span, size, input.length - used);
        this.canvas.pixels.set(input.subarray(used, used + length), this.stream.spanOffset);
        this.stream.spanRead(length);
        used += length;
      } else {
        const taken = this.stream.feed(input, view, used, Math.max(end, used));
        used += taken;
        if (taken > 0) continue;
        assert(end < input.length || this.stream.isTired, "everything is used in the end");
      }
      end = Math.min(Math.max(end, used) + size, input.length);
    }
    // What was copied in part is copied to its end.
    for (let i = 0; i < 10_000 && this.stream.isWithinUpdate; i++) {
      this.stream.beginTurn();
      this.stream.feed(input, view, used, used);
      if (!this.stream.isTired) break;
    }
    return this;
  }
}

Deno.test("raw rectangles and copies are painted, whatever the pieces are", () => {
  const pixels = Uint8Array.from({ length: 64 * 5 * 4 }, (_, i) => i * 7);
  const input = joined(
    update(raw(0, 0, 64, 32, 0x112233), joined(rect(0, 3, 64, 5, ENCODING.RAW), pixels)),
    update(raw(7, 9, 13, 11, 0xabcdef), raw(63, 31, 1, 1, 5), raw(3, 3, 0, 0, 0)),
    update(copied(8, 10, 20, 15, [7, 9]), copied(0, 0, 30, 30, [2, 1]), copied(5, 5, 20, 3, [3, 5])),
  );
  const whole = new Rig(64, 32).feed(input);
  assertEquals(whole.told, ["update", "update", "update"]);
  for (const size of [1, 3, 64, 1000]) {
    for (const span of [false, true]) {
      const rig = new Rig(64, 32).feed(input, size, span);
      assertEquals(rig.told, whole.told);
      assertEquals(rig.canvas.pixels, whole.canvas.pixels, `pieces of ${size}`);
    }
  }
});

Deno.test("a copy that overlaps itself is the old picture's, in all directions", () => {
  const noise = Uint8Array.from({ length: 20 * 20 * 4 }, (_, i) => i * 31 ^ i >> 3);
  for (
    const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [2, 3], [-3, -2], [3, -1], [-1, 4], [0, 0]] as const
  ) {
    const rig = new Rig(20, 20).feed(joined(update(joined(rect(0, 0, 20, 20, ENCODING.RAW), noise))));
    const before = rig.canvas.words.slice();
    rig.feed(update(copied(5 + dx, 5 + dy, 10, 10, [5, 5])));
    for (let y = 0; y < 20; y++) {
      for (let x = 0; x < 20; x++) {
        const isInside = x >= 5 + dx && x < 15 + dx && y >= 5 + dy && y < 15 + dy;
        const from = isInside ? (y - dy) * 20 + x - dx : y * 20 + x;
        assertEquals(rig.canvas.words[y * 20 + x], before[from], `${x},${y} moved by ${dx},${dy}`);
      }
    }
  }
});

Deno.test("the size changes in the middle of an update, to nothing and back, and the same size loses nothing", () => {
  const rig = new Rig(10, 10);
  const input = joined(
    update(raw(0, 0, 10, 10, 1), desktopSize(4, 3), raw(0, 0, 4, 3, 7)),
    update(desktopSize(4, 3)),
    update(extendedDesktopSize(4, 3, 255)),
    update(extendedDesktopSize(9, 9, 1, 1, 3)),
  );
  rig.feed(input, 5);
  assertEquals(rig.told, ["4x3", "update", "note", "note", "note"]);
  assertEquals([rig.canvas.width, rig.canvas.height], [4, 3]);
  assertEquals(new Set(rig.canvas.words), new Set([7]));
  rig.told.length = 0;
  rig.feed(update(desktopSize(0, 3)));
  assertEquals([rig.told, rig.stream.width, rig.canvas.width], [["0x0", "note"], 0, 4]);
  assertThrows(() => rig.feed(update(raw(0, 0, 1, 1, 1))), Fault, "outside of a picture of 0x0");
  const back = new Rig(0, 0).feed(update(extendedDesktopSize(16_384, 2), raw(16_380, 0, 4, 2, 9)));
  assertEquals([back.canvas.width, back.canvas.words[16_383], back.canvas.words[0]], [16_384, 9, 0]);
});

Deno.test("what an update tells beside pixels is told", () => {
  const rig = new Rig(8, 8);
  rig.feed(
    joined(
      update(cursor(9, 3, [2, 1]), cursor(0, 0, [0, 0]), cursor(8, 8, [0, 0], false)),
      update(
        rect(1, 0, 0, 0, ENCODING.QEMU_POINTER_MODE),
        rect(0, 0, 0, 0, ENCODING.QEMU_EXTENDED_KEY),
        joined(rect(0, 0, 0, 0, ENCODING.QEMU_LEDS), [6]),
        rect(3, 4, 0, 0, ENCODING.POINTER_POSITION),
      ),
      update(),
      [2],
      [1, 0, ...u16(0, 3), ...new Array(18).fill(0)],
      [3, 0, 0, 0, ...u32(5)],
      "hello",
      joined([0, 0], u16(0xffff), raw(0, 0, 1, 1, 3), rect(0, 0, 0, 0, ENCODING.LAST_RECT)),
    ),
    1,
  );
  assertEquals(rig.told, [
    ["cursor", 9, 3, 2, 1, true],
    ["cursor", 0, 0, 0, 0, false],
    ["cursor", 8, 8, 0, 0, false],
    "note",
    "absolute",
    "keys",
    ["leds", 6],
    ["pointer", 3, 4],
    "note",
    "note",
    "update",
  ]);
  assertEquals(rig.stream.isWithinUpdate, false);
});

Deno.test("a cursor's pixels are kept where its mask shows them, of a small one, in pieces of any size", () => {
  const seen = (x: number, y: number) => (x + y) % 3 === 0;
  const [width, height] = [19, 5];
  const pixels = Array.from({ length: width * height }, (_, i) => [i, 2 * i & 255, 3 * i & 255, 0x55]).flat();
  const mask = Array.from(
    { length: height },
    (_, y) =>
      Array.from(
        { length: 3 },
        (_, part) =>
          Array.from({ length: 8 }, (_, bit) => seen(8 * part + bit, y) ? 0x80 >> bit : 0).reduce((a, b) =>
            a | b
          ),
      ),
  ).flat();
  for (const size of [1, 3, 64, 10_000]) {
    const rig = new Rig(8, 8);
    rig.feed(update(joined(rect(1, 2, width, height, ENCODING.CURSOR), pixels, mask)), size);
    const words = Array.from({ length: width * height }, (_, i) => {
      const [x, y] = [i % width, Math.floor(i / width)];
      return seen(x, y) ? 0xff00_0000 | (3 * i & 255) << 16 | (2 * i & 255) << 8 | i : 0;
    });
    assertEquals([...rig.cursor?.words ?? []], words, `${size} bytes at a time`);
  }
  const large = new Rig(8, 8).feed(update(cursor(200, 100, [0, 0])));
  assertEquals([large.cursor?.words, large.cursor?.visible], [undefined, true]);
});

Deno.test("endless text is thrown away in the pieces that it comes in", () => {
  const rig = new Rig(4, 4).feed(joined([3, 0, 0, 0], u32(-1)));
  const piece = new Uint8Array(65536);
  const view = new DataView(piece.buffer);
  for (let left = 0xffff_ffff; left > 0; left -= 65536) {
    assertEquals(rig.stream.feed(piece, view, 0, Math.min(left, 65536)), Math.min(left, 65536));
  }
  rig.feed(update(raw(0, 0, 4, 4, 1)));
  assertEquals(rig.told, ["update"]);
});

const BAD: readonly [what: string, input: Piece, says: string][] = [
  ["a message of no type", [4], "type 4"],
  ["an encoding that was not asked for", update(rect(0, 0, 1, 1, 16)), "encoding 16"],
  ["too wide", update(raw(0, 0, 9, 1, 0)), "9x1 at 0,0 lies outside of a picture of 8x8"],
  ["too high", update(raw(0, 0, 1, 9, 0)), "outside"],
  ["too far right", update(raw(8, 0, 1, 1, 0)), "outside"],
  ["past the border by both", update(rect(0xffff, 0xffff, 0xffff, 0xffff, 0)), "outside"],
  ["a copy to outside", update(copied(1, 1, 8, 1, [0, 0])), "outside"],
  ["a copy from outside", update(copied(0, 0, 2, 2, [7, 7])), "the source of a copied rectangle"],
  ["a cursor like a wall", update(rect(0, 0, 1025, 1, ENCODING.CURSOR)), "a cursor of 1025x1"],
];

Deno.test("what lies outside of the picture or the protocol is a protocol error, in words", () => {
  for (const [what, input, says] of BAD) {
    const fault = assertThrows(() => new Rig(8, 8).feed(joined(input)), Fault, says, what);
    assertEquals(fault.code, "protocol-error", what);
  }
  const large = assertThrows(() => new Rig(8, 8).feed(update(desktopSize(0x8000, 0x8000))), Fault);
  assertEquals(large.code, "too-large");
  const wide = assertThrows(() => new Rig(8, 8).feed(update(desktopSize(0xffff, 1))), Fault);
  assertEquals(wide.code, "too-large");
});

Deno.test("work that few bytes ask for is spread over turns", () => {
  const rig = new Rig(2048, 2048);
  const copies = update(
    ...Array.from({ length: 20 }, (_, i) => copied(0, i % 2, 2048, 2047, [0, 1 - i % 2])),
  );
  const view = new DataView(copies.buffer);
  let used = 0;
  let turns = 0;
  for (; rig.told.length === 0; turns++) {
    rig.stream.beginTurn();
    used += rig.stream.feed(copies, view, used, copies.length);
    assert(turns < 1000, "it ends");
  }
  assertEquals(rig.told, ["update"]);
  assert(turns >= 20 * 2048 * 2047 * 4 / TURN_WORK_BYTES - 1, `${turns} turns`);
  // New pictures: one a turn.
  const sizes = joined(...Array.from({ length: 50 }, (_, i) => update(desktopSize(100 + i, 100))));
  rig.told.length = 0;
  rig.stream.beginTurn();
  rig.stream.feed(sizes, new DataView(sizes.buffer), 0, sizes.length);
  assertEquals(rig.told.filter((each) => `${each}`.includes("x")).length, 1);
});
