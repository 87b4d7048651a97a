/**
 * The RFB server over transports in memory: who is let in, what a viewer gets and when, what it may say, and
 * what becomes of one that is slow, silent or hostile.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  keyEvent,
  pointerEvent,
  setEncodings,
  setPixelFormat,
  updateRequest,
} from "../../../src/rfb/client_messages.ts";
import { extendedKeyEvent } from "../../../src/rfb/client_messages.ts";
import { BGRX } from "../../../src/rfb/pixel_format.ts";
import { ENCODING } from "../../../src/rfb/protocol.ts";
import { RfbServer, type Viewer, type ViewerSeat } from "../../../src/rfb/server/rfb_server.ts";
import { HANDSHAKE_MS, STALL_MS, type ViewerLink } from "../../../src/rfb/server/viewer_link.ts";
import { vncResponse } from "../../../src/rfb/vnc_auth.ts";
import { joined, u16, u32 } from "../../fixtures/rfb_bytes.ts";
import { MemoryTransport, SeenPicture } from "../../fixtures/rfb_viewer.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";

const WIDTH = 100;
const HEIGHT = 60;
const ALL = { x: 0, y: 0, width: WIDTH, height: HEIGHT };
/** What a server says to 3.8 without a password before ServerInit. */
const GREETING = 12 + 2 + 4;

/** Notes what viewers do. */
class Seat implements ViewerSeat {
  readonly seen: unknown[] = [];
  viewers: Viewer[] = [];
  onEnter(viewer: Viewer): void {
    this.viewers.push(viewer);
  }
  onKey(viewer: Viewer, ...what: [boolean, number, number | undefined]): void {
    this.seen.push([viewer.label, ...what]);
  }
  onPointer(viewer: Viewer, ...what: [number, number, number]): void {
    this.seen.push([viewer.label, ...what]);
  }
  onLeave(viewer: Viewer): void {
    this.viewers = this.viewers.filter((each) => each !== viewer);
  }
}

/** A server with what it tells. */
class Rig implements Disposable {
  readonly seat = new Seat();
  readonly demand: boolean[] = [];
  readonly ended: string[] = [];
  readonly server: RfbServer;

  constructor(password?: string) {
    this.server = new RfbServer({
      name: "web",
      seat: this.seat,
      onDemand: (isWanted) => this.demand.push(isWanted),
      onEnded: (viewer, why) => this.ended.push(`${viewer.label}: ${why}`),
      mostViewers: 3,
      ...(password === undefined ? {} : { password }),
    });
    this.frame(0);
  }

  /** Shows a frame of one colour. */
  frame(colour: number, part = ALL): void {
    this.server.frame({
      words: new Int32Array(WIDTH * HEIGHT).fill(colour),
      stride: WIDTH,
      width: WIDTH,
      height: HEIGHT,
    }, part);
  }

  /** A viewer that is let in and knows these encodings. */
  enter(label: string, encodings: readonly number[] = [ENCODING.ZRLE]): Seen {
    const transport = new MemoryTransport();
    const viewer = this.server.accept(transport, label) as ViewerLink;
    viewer.receive(joined("RFB 003.008\n", [1], [1]));
    const said = transport.take();
    assertEquals(new TextDecoder().decode(said.subarray(0, 12)), "RFB 003.008\n");
    assertEquals([...said.subarray(12, GREETING)], [1, 1, 0, 0, 0, 0]);
    viewer.receive(setEncodings(encodings));
    return new Seen(transport, viewer);
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
  }
}

/** A viewer with its picture. */
class Seen {
  readonly picture = new SeenPicture(WIDTH, HEIGHT, BGRX);
  readonly transport: MemoryTransport;
  readonly viewer: ViewerLink;
  constructor(transport: MemoryTransport, viewer: ViewerLink) {
    this.transport = transport;
    this.viewer = viewer;
  }

  /** Asks for an update, and reads it if there is one. */
  ask(incremental: boolean): number[] {
    this.viewer.receive(updateRequest(incremental, ALL));
    return this.read();
  }

  /** The encodings of the updates that have come. */
  read(): number[] {
    const seen: number[] = [];
    for (let bytes = this.transport.take(); bytes.length > 0;) {
      const { rects, length } = this.picture.update(bytes);
      seen.push(...rects.map(({ encoding }) => encoding));
      bytes = bytes.subarray(length);
    }
    return seen;
  }
}

/** Waits until a viewer may get its next update. */
function gap(ms = 40): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("versions 3.3, 3.7 and 3.8 are let in, byte by byte, and what is none of RFB 3 is not", () => {
  using rig = new Rig();
  for (
    const [version, rest, said] of [
      ["RFB 003.003\n", [1], 4],
      ["RFB 003.005\n", [1], 4],
      ["RFB 003.007\n", [1, 1], 2],
      ["RFB 003.008\n", [1, 0], 6],
      ["RFB 003.889\n", [1, 0], 6],
    ] as const
  ) {
    const transport = new MemoryTransport();
    const viewer = rig.server.accept(transport, version);
    for (const byte of joined(version, rest)) viewer.receive(new Uint8Array([byte]));
    const bytes = transport.take();
    assertEquals([...bytes.subarray(12 + said, 16 + said)], [...u16(WIDTH, HEIGHT)]);
    assertEquals(new TextDecoder().decode(bytes.subarray(-3)), "web");
    assertEquals(rig.server.isWanted, true);
    viewer.gone();
    assertEquals(transport.closed, 1);
  }
  assertEquals(rig.demand, [true, false, true, false, true, false, true, false, true, false]);
  for (const line of ["GET / HTTP/1.1\r\n", "RFB 004.000\n", "RFB 003.00x\n"]) {
    const transport = new MemoryTransport();
    rig.server.accept(transport, "other").receive(joined(line));
    assertEquals(transport.closed, 1);
    assertMatch(rig.ended.at(-1) ?? "", /not one of RFB 3/);
  }
  assertEquals(rig.server.viewers, 0);
});

Deno.test("a password lets in, a wrong one does not, and guessing is slow", () => {
  using rig = new Rig("secret");
  const attempt = (password: string, version: string): Uint8Array => {
    const transport = new MemoryTransport();
    const viewer = rig.server.accept(transport, "guess");
    const isOld = version === "RFB 003.003\n";
    viewer.receive(joined(version, isOld ? [] : [2]));
    const challenge = transport.take().slice(isOld ? 16 : 14);
    viewer.receive(vncResponse(password, challenge));
    const answer = transport.take();
    viewer.gone();
    return answer;
  };
  assertEquals([...attempt("secret", "RFB 003.008\n")], [0, 0, 0, 0]);
  assertEquals([...attempt("secret", "RFB 003.003\n")], [0, 0, 0, 0]);
  assertEquals([...attempt("wrong", "RFB 003.007\n")], [0, 0, 0, 1]);
  const refused = attempt("wrong", "RFB 003.008\n");
  assertEquals([...refused.subarray(0, 4)], [0, 0, 0, 1]);
  assertMatch(new TextDecoder().decode(refused.subarray(8)), /password is wrong/);
  assertMatch(rig.ended.at(-1) ?? "", /its password is wrong/);
  // Too many were tried: the right one has to wait, too; unless the machine paused just then.
  const isLetIn = () => {
    for (let i = 0; i < 20; i++) attempt(`guess ${i}`, "RFB 003.008\n");
    return attempt("secret", "RFB 003.008\n")[3] === 0;
  };
  for (let round = 0; isLetIn(); round++) assert(round < 10, "guessing is slow");
  const none = new MemoryTransport();
  rig.server.accept(none, "none").receive(joined("RFB 003.008\n", [1]));
  assertEquals(none.closed, 1);
});

Deno.test("a viewer gets all of the picture, then what changes, when it asks", async () => {
  using rig = new Rig();
  const seen = rig.enter("one", [ENCODING.TIGHT, ENCODING.COMPRESS_0 + 2, ENCODING.RAW]);
  assertEquals(seen.ask(false), [ENCODING.TIGHT]);
  assertEquals(seen.ask(true), []);
  await gap();
  rig.frame(0x123456);
  assertEquals(seen.read(), [ENCODING.TIGHT]);
  assertEquals(new Set(seen.picture.values), new Set([0x123456]));
  // Not asked for; and a frame that is told as damage and is the same is nothing.
  rig.frame(0x654321);
  await gap();
  assertEquals(seen.read(), []);
  assertEquals(seen.ask(true), [ENCODING.TIGHT]);
  rig.frame(0x654321);
  await gap();
  assertEquals(seen.ask(true), []);
  // Only what damage covers is looked at.
  rig.frame(0x111111, { x: 32, y: 16, width: 1, height: 1 });
  await gap();
  assertEquals(seen.read(), [ENCODING.TIGHT]);
  assertEquals(seen.picture.values.filter((value) => value === 0x111111).length, 16 * 16);
});

Deno.test("ten viewers of one format share what is encoded; each has its own stream", async () => {
  using rig = new Rig();
  const both = [rig.enter("one"), rig.enter("two")];
  await gap();
  for (const seen of both) assertEquals(seen.ask(false), [ENCODING.ZRLE]);
  for (let round = 1; round < 5; round++) {
    await gap();
    rig.frame(round);
    // One of them misses what is encoded for the other.
    for (const seen of both.slice(round % 2)) {
      assertEquals(seen.ask(true), [ENCODING.ZRLE]);
      assertEquals(new Set(seen.picture.values), new Set([round]));
    }
  }
});

Deno.test("a new size is told alone, first of all, in the way that a viewer knows", async () => {
  using rig = new Rig();
  const plain = rig.enter("plain", [ENCODING.RAW, ENCODING.DESKTOP_SIZE]);
  const extended = rig.enter("extended", [ENCODING.RAW, ENCODING.EXTENDED_DESKTOP_SIZE]);
  const neither = rig.enter("neither", [ENCODING.RAW]);
  assertEquals(plain.ask(false), [ENCODING.RAW]);
  assertEquals(extended.ask(false), [ENCODING.EXTENDED_DESKTOP_SIZE]);
  assertEquals(neither.ask(false), [ENCODING.RAW]);
  await gap();
  const words = new Int32Array(150 * 50).fill(0xabcdef);
  rig.server.frame({ words, stride: 150, width: 150, height: 50 }, ALL);
  assertEquals(plain.ask(true), [ENCODING.DESKTOP_SIZE]);
  assertEquals(extended.ask(true), [ENCODING.EXTENDED_DESKTOP_SIZE]);
  assertEquals(new Set(neither.ask(true)), new Set([ENCODING.RAW]));
  assertEquals([plain.picture.width, extended.picture.height, neither.picture.width], [150, 50, WIDTH]);
  await gap();
  assertEquals(new Set(plain.ask(true)), new Set([ENCODING.RAW]));
  assertEquals(new Set(plain.picture.values), new Set([0xabcdef]));
  // What it does not know stays.
  assertEquals(new Set(neither.picture.values.subarray(0, WIDTH * 50)), new Set([0xabcdef]));
  assertEquals(new Set(neither.picture.values.subarray(WIDTH * 50)), new Set([0]));
  extended.viewer.receive(joined([251, 0], u16(800, 600), [1, 0], new Uint8Array(16)));
  const { rects } = extended.picture.update(extended.transport.take());
  assertEquals(rects.map(({ encoding, x, y }) => [encoding, x, y]), [[ENCODING.EXTENDED_DESKTOP_SIZE, 1, 1]]);
});

Deno.test("what scrolls is copied, whatever else changes, and whatever a viewer has missed", async () => {
  const random = new SeededRandom();
  using rig = new Rig();
  const [width, height] = [64, 160];
  const words = new Int32Array(width * height).map(() => random.u32() & 0xff_ffff);
  const all = { x: 0, y: 0, width, height };
  const show = () => rig.server.frame({ words, stride: width, width, height }, all);
  show();
  const encodings = [ENCODING.ZRLE, ENCODING.COPY_RECT, ENCODING.DESKTOP_SIZE];
  const viewers = [rig.enter("one", encodings), rig.enter("two", [ENCODING.TIGHT])];
  for (const each of viewers) [each.picture.width, each.picture.height] = [width, height];
  for (const each of viewers) each.picture.values = new Uint32Array(width * height);
  let copies = 0;
  for (let round = 0; round < 120; round++) {
    if (!random.oneIn(5)) {
      const by = 1 + random.below(40);
      if (random.oneIn(3)) words.copyWithin(by * width, 0, (height - by) * width);
      else words.copyWithin(0, by * width);
    }
    for (let i = random.below(9); i > 0; i--) words[random.below(words.length)] = random.u32() & 0xff_ffff;
    await gap(20);
    show();
    for (const each of viewers) {
      if (random.oneIn(3)) continue;
      each.viewer.receive(updateRequest(true, all));
      copies += each.read().filter((encoding) => encoding === ENCODING.COPY_RECT).length;
      assertEquals(
        each.picture.values.findIndex((value, i) => value !== words[i]),
        -1,
        `round ${round} of seed ${random.seed}`,
      );
    }
  }
  assert(copies > 10, `${copies} copies`);
});

Deno.test("keys, extended keys and the pointer reach the seat; the pointer lies in the picture", () => {
  using rig = new Rig();
  const { viewer } = rig.enter("one");
  viewer.receive(joined(
    keyEvent(true, 0x61),
    extendedKeyEvent(false, 0xff0d, 28),
    pointerEvent(5, 7, 9),
    pointerEvent(0, 5000, 65_535),
    [6, 0, 0, 0],
    u32(5),
    "words",
    keyEvent(false, 0x61),
  ));
  assertEquals(rig.seat.seen, [
    ["one", true, 0x61, undefined],
    ["one", false, 0xff0d, 28],
    ["one", 5, 7, 9],
    ["one", 0, WIDTH - 1, HEIGHT - 1],
    ["one", false, 0x61, undefined],
  ]);
  viewer.gone();
  viewer.receive(keyEvent(true, 1));
  assertEquals([rig.seat.seen.length, rig.seat.viewers.length], [5, 0]);
});

Deno.test("title, cursor, lights, pointer mode and keys are told to viewers that know them", async () => {
  using rig = new Rig();
  const seen = rig.enter("one", [
    ENCODING.RAW,
    ENCODING.DESKTOP_NAME,
    ENCODING.CURSOR,
    ENCODING.QEMU_LEDS,
    ENCODING.QEMU_EXTENDED_KEY,
    ENCODING.QEMU_POINTER_MODE,
  ]);
  const silent = rig.enter("silent", []);
  const first = new Set(seen.ask(false));
  assert(first.has(ENCODING.QEMU_EXTENDED_KEY) && first.has(ENCODING.QEMU_POINTER_MODE));
  assertEquals(silent.ask(false), [ENCODING.RAW]);
  await gap();
  rig.server.leds = 5;
  rig.server.isAbsolute = false;
  rig.server.cursor = { width: 2, height: 1, hotX: 1, hotY: 0, words: new Int32Array([-1, 0x00ff_ffff]) };
  seen.viewer.note = "in control";
  silent.viewer.note = "in control";
  seen.viewer.receive(updateRequest(true, ALL));
  const { rects } = seen.picture.update(seen.transport.take());
  const bodyOf = (encoding: number) => rects.find((each) => each.encoding === encoding)?.body;
  assertEquals([...bodyOf(ENCODING.QEMU_LEDS) ?? []], [5]);
  assertEquals(new TextDecoder().decode(bodyOf(ENCODING.DESKTOP_NAME)?.subarray(4)), "web (in control)");
  assertEquals([...bodyOf(ENCODING.CURSOR) ?? []], [255, 255, 255, 0, 255, 255, 255, 0, 0x80]);
  assertEquals(rects.find(({ encoding }) => encoding === ENCODING.QEMU_POINTER_MODE)?.x, 0);
  assertEquals(silent.ask(true), []);
  seen.viewer.bell();
  assertEquals([...seen.transport.take()], [2]);
});

Deno.test("updates come by themselves where a viewer wants that, as far as it answers fences", async () => {
  using rig = new Rig();
  const seen = rig.enter("one", [ENCODING.RAW, ENCODING.FENCE, ENCODING.CONTINUOUS]);
  assertEquals([...seen.transport.take()], [248, 0, 0, 0, 0x80, 0, 0, 0, 0, 150]);
  seen.viewer.receive(joined([248, 0, 0, 0], u32(0x8000_0003), [3], "abc"));
  assertEquals([...seen.transport.take()], [248, 0, 0, 0, 0, 0, 0, 3, 3, 97, 98, 99]);
  seen.viewer.receive(joined([150, 1], u16(0, 0, WIDTH, HEIGHT)));
  let updates = 0;
  for (let colour = 1; colour < 12; colour++) {
    await gap();
    rig.frame(colour);
    for (let bytes = seen.transport.take(); bytes.length > 0; updates++) {
      bytes = bytes.subarray(seen.picture.update(bytes).length);
      assertEquals([...bytes.subarray(0, 10)], [248, 0, 0, 0, 0x80, 0, 0, 1, 1, 1]);
      bytes = bytes.subarray(10);
    }
  }
  assertEquals(updates, 3);
  seen.viewer.receive(joined([248, 0, 0, 0], u32(1), [1, 1]));
  assert(seen.transport.take().length > 0);
  seen.viewer.receive(joined([150, 0], u16(0, 0, WIDTH, HEIGHT)));
  assertEquals([...seen.transport.take()], [150]);
});

Deno.test("who reads slowly has one update waiting; who reads nothing, or does not get in, is ended", async () => {
  using rig = new Rig();
  const seen = rig.enter("slow", [ENCODING.RAW]);
  seen.ask(false);
  seen.transport.bufferedBytes = 1e6;
  const { total } = seen.transport;
  for (let colour = 1; colour < 50; colour++) {
    rig.frame(colour);
    seen.viewer.receive(updateRequest(colour % 2 === 0, ALL));
    seen.viewer.bell();
  }
  await gap();
  assertEquals(seen.transport.total, total);
  seen.transport.bufferedBytes = 0;
  seen.viewer.drained();
  assertEquals([...seen.transport.sent.shift() ?? []], [2], "one bell of all that rang meanwhile");
  assertEquals(seen.read(), [ENCODING.RAW]);
  assertEquals(new Set(seen.picture.values), new Set([49]));
  seen.transport.bufferedBytes = 5;
  const nowMs = performance.now();
  seen.viewer.check(nowMs + STALL_MS - 1000);
  assertEquals(seen.transport.closed, 0);
  seen.viewer.check(nowMs + STALL_MS + 1000);
  assertEquals(seen.transport.closed, 1);
  const silent = new MemoryTransport();
  const viewer = rig.server.accept(silent, "silent") as ViewerLink;
  viewer.receive(joined("RFB 003."));
  viewer.check(performance.now() + HANDSHAKE_MS + 1);
  assertEquals(silent.closed, 1);
  assertEquals(rig.ended, ["slow: it does not read", "silent: its handshake takes too long"]);
  assertEquals(rig.server.viewers, 0);
});

Deno.test("what is not RFB ends its viewer and no other; texts and encodings without end are thrown away", () => {
  using rig = new Rig();
  const other = rig.enter("other");
  for (
    const [bytes, why] of [
      [[99], /message of type 99/],
      [[255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], /QEMU's message 1/],
      [joined([6, 0, 0, 0], u32(0x7fff_ffff)), /a text of 2147483647 bytes/],
      [joined([6, 0, 0, 0], u32(0x8000_0000)), /a text of 2147483648 bytes/],
      [joined([248, 0, 0, 0], u32(0), [65]), /a fence of 65 bytes/],
      [setPixelFormat({ ...BGRX, bitsPerPixel: 24 }), /24 bits per pixel/],
    ] as const
  ) {
    const { transport, viewer } = rig.enter("bad");
    viewer.receive(Uint8Array.from(bytes));
    assertEquals(transport.closed, 1);
    assertMatch(rig.ended.at(-1) ?? "", why);
  }
  const encodings = new Uint8Array(4 * 65_535);
  other.viewer.receive(joined([2, 0, 255, 255]));
  other.viewer.receive(encodings);
  other.viewer.receive(joined([6, 0, 0, 0], u32(16 * 1024 * 1024)));
  for (let i = 0; i < 256; i++) other.viewer.receive(new Uint8Array(65_536));
  assertEquals(other.ask(false), [ENCODING.RAW]);
  assertEquals(rig.server.viewers, 1);
});

Deno.test("there are so many viewers and no more, and all are sent away when the server ends", () => {
  const rig = new Rig();
  const transports = [1, 2, 3].map((i) => rig.enter(`${i}`).transport);
  assertEquals(rig.server.isFull, true);
  rig[Symbol.dispose]();
  assertEquals(transports.map(({ closed }) => closed), [1, 1, 1]);
  assertEquals([rig.server.viewers, rig.seat.viewers.length, rig.demand.at(-1)], [0, 0, false]);
});

Deno.test("a viewer that wants a map of colours gets one", () => {
  using rig = new Rig();
  const { viewer, transport } = rig.enter("old");
  viewer.receive(setPixelFormat({ ...BGRX, bitsPerPixel: 8, depth: 8, trueColour: false }));
  const map = transport.take();
  assertEquals([...map.subarray(0, 6)], [1, 0, 0, 0, 1, 0]);
  assertEquals([map.length, ...map.subarray(-6)], [6 + 256 * 6, 255, 255, 255, 255, 255, 255]);
});
