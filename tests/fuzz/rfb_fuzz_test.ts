/**
 * What an RFB server says, from its first byte on: the handshake in all its versions, and updates onto a
 * picture whose every write and every damage is checked to lie within it.
 * @module
 */
import { assert } from "@std/assert";
import { MAX_VGPU_SLOT_BYTES } from "../../src/base/limits.ts";
import { ClientHandshake, type ServerInit } from "../../src/rfb/client_handshake.ts";
import { ENCODING, KEPT_TEXT_BYTES, MAX_CURSOR_PIXELS, MAX_CURSOR_SIDE } from "../../src/rfb/protocol.ts";
import type { Picture, RfbCursor, UpdateSink } from "../../src/rfb/update_sink.ts";
import { UpdateStream } from "../../src/rfb/update_stream.ts";
import {
  copied,
  cursor,
  desktopSize,
  extendedDesktopSize,
  greeting,
  joined,
  raw,
  rect,
  serverInit,
  u16,
  u32,
  update,
} from "../fixtures/rfb_bytes.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { type Bytes, fuzz } from "./harness.ts";

/** One memory for all pictures: they are as large as a server likes. */
const MEMORY = new Uint8Array(MAX_VGPU_SLOT_BYTES);

class Target implements Picture, UpdateSink {
  width = 0;
  height = 0;
  stride = 0;
  pixels: Uint8Array = MEMORY.subarray(0, 0);
  updates = 0;
  resize(width: number, height: number): void {
    assert(width > 0 && height > 0 && width * height * 4 <= MEMORY.length, "a size within bounds");
    this.width = width;
    this.height = height;
    this.stride = width * 4;
    this.pixels = MEMORY.subarray(0, width * height * 4);
  }
  repaint(x: number, y: number, width: number, height: number): void {
    assert(width > 0 && height > 0, "what is painted has a size");
    this.damage(x, y, width, height);
  }
  damage(x: number, y: number, width: number, height: number): void {
    assert(x + width <= this.width && y + height <= this.height, "damage within the picture");
  }
  onUpdate(): void {
    this.updates++;
  }
  onSize(width: number, height: number): void {
    assert(width === 0 && height === 0 || width === this.width && height === this.height);
  }
  onCursor({ width, height, words }: RfbCursor): void {
    assert(width <= MAX_CURSOR_SIDE && height <= MAX_CURSOR_SIDE);
    assert(words === undefined ? width * height > MAX_CURSOR_PIXELS : words.length === width * height);
    assert(words?.every((word) => word === 0 || word >>> 24 === 255) ?? true);
  }
  onPointer(): void {}
  onPointerMode(): void {}
  onExtendedKeys(): void {}
  onLeds(bits: number): void {
    assert(bits >= 0 && bits <= 255);
  }
}

/** Feeds an input in pieces: what a socket gives. One turn's work, as a step of the source does. */
function decode(input: Bytes, random: SeededRandom): string {
  const view = new DataView(input.buffer);
  const target = new Target();
  let sent = 0;
  const password = random.oneIn(2) ? "secret" : undefined;
  const handshake = new ClientHandshake({ shared: true, password }, (bytes) => sent += bytes.length);
  let stream: UpdateStream | undefined;
  let used = 0;
  for (let end = 0; end < input.length;) {
    end = Math.min(input.length, end + 1 + random.below(random.oneIn(2) ? 16 : 4096));
    if (stream === undefined) {
      used += handshake.feed(input, used, end);
      const { result } = handshake;
      if (result === undefined) continue;
      checkInit(result);
      stream = new UpdateStream(target, target, result.width, result.height, Object.values(ENCODING));
      stream.beginTurn();
    }
    if (stream.span > 0 && random.oneIn(2)) {
      const length = Math.min(stream.span, end - used);
      target.pixels.set(input.subarray(used, used + length), stream.spanOffset);
      if (length > 0) stream.spanRead(length);
      used += length;
    }
    used += stream.feed(input, view, used, end);
    assert(used <= end, "no byte is used that is not there");
    if (stream.isTired) return "tired";
  }
  assert(sent <= 12 + 1 + 16 + 1, "a handshake says little");
  if (stream === undefined) return "greeting";
  return target.updates > 0 ? "updates" : "running";
}

function checkInit({ name }: ServerInit): void {
  assert(name.length <= KEPT_TEXT_BYTES, "a name is kept to a bound");
}

const ENCODINGS = [...Object.values(ENCODING), 2, 5, 16, -314, 0x7fff_ffff];
const SIDES = [0, 1, 2, 8, 15, 16, 17, 64, 255, 256, 1024, 1025, 16_384, 32_767, 32_768, 0xffff];

function aRect(random: SeededRandom): Uint8Array {
  const side = () => random.oneIn(3) ? SIDES[random.below(SIDES.length)] as number : random.below(17);
  const [x, y, w, h] = [side(), side(), side(), side()];
  switch (random.below(9)) {
    case 0:
      return raw(x & 15, y & 15, random.below(17), random.below(17), random.u32());
    case 1:
      return copied(x, y, w, h, [side(), side()]);
    case 2:
      return Uint8Array.from(desktopSize(w, h));
    case 3:
      return extendedDesktopSize(w, h, random.below(256), random.below(3), random.below(3));
    case 4:
      return cursor(random.below(40), random.below(40), [x, y], random.oneIn(2));
    case 5:
      return joined(rect(0, 0, 0, 0, ENCODING.QEMU_LEDS), [random.below(256)]);
    case 6:
      return Uint8Array.from(rect(x, y, w, h, ENCODING.LAST_RECT));
    default:
      return Uint8Array.from(rect(x, y, w, h, ENCODINGS[random.below(ENCODINGS.length)] as number));
  }
}

function aMessage(random: SeededRandom): Uint8Array {
  switch (random.below(8)) {
    case 0:
      return Uint8Array.from([2]);
    case 1:
      return joined([3, 0, 0, 0], u32(random.below(70_000)), new Uint8Array(random.below(100)));
    case 2:
      return joined([1, 0], u16(0, random.below(300)), new Uint8Array(random.below(600)));
    default:
      return update(...Array.from({ length: random.below(5) }, () => aRect(random)));
  }
}

fuzz({
  name: "RFB, what a server says",
  corpus: () => [
    greeting(16, 16),
    joined("RFB 003.003\n", u32(1), serverInit(64, 32, "old")),
    joined("RFB 003.007\n", [2, 2, 1], serverInit(0, 0, "")),
    joined(greeting(16, 16), update(raw(0, 0, 16, 16, 5), copied(1, 1, 8, 8, [0, 0]), desktopSize(32, 8))),
    joined(
      greeting(16, 16),
      update(cursor(9, 9, [1, 1]), extendedDesktopSize(20, 20, 2)),
      [2],
      [3, 0, 0, 0],
      u32(3),
      "abc",
    ),
  ],
  make: (random) =>
    joined(
      greeting(random.below(40), random.below(40), "x".repeat(random.below(300))),
      ...Array.from({ length: 1 + random.below(6) }, () => aMessage(random)),
    ),
  largest: 65_536,
  words: [
    "RFB 003.008\n",
    "RFB 003.007\n",
    "RFB 003.003\n",
    [1, 1],
    [1, 2],
    [0, 0, 0, 0],
    ...ENCODINGS.map((e) => u32(e)),
  ],
  decode,
  mustMeet: [
    "updates",
    "running",
    "tired",
    "greeting",
    "fault:protocol-error",
    "fault:too-large",
    "fault:refused",
    "fault:not-supported",
  ],
});
