/**
 * The VNC source against a server in the test's hands: what it asks for and when, mode changes, silence,
 * hostile servers, the end.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { MS, NEVER, SECOND } from "../../../src/base/clock.ts";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { hexOfBytes } from "../../../src/base/hex.ts";
import { MemoryCanvas } from "../../../src/display/canvas.ts";
import { VncSource } from "../../../src/display/vnc/vnc_source.ts";
import { ENCODING } from "../../../src/rfb/protocol.ts";
import {
  copied,
  cursor,
  desktopSize,
  greeting,
  joined,
  type Piece,
  raw,
  rect,
  u16,
  u32,
  update,
} from "../../fixtures/rfb_bytes.ts";
import { ScriptedVnc } from "../../fixtures/scripted_vnc.ts";
import { SourceRig } from "../../fixtures/source_rig.ts";

const KEYS = rect(0, 0, 0, 0, ENCODING.QEMU_EXTENDED_KEY);

function request(incremental: number, ...area: readonly number[]): string {
  return hexOfBytes(joined([3, incremental], u16(...area)));
}

Deno.test("nobody looks: a VNC source asks for no pixel and wants no time", () => {
  using vnc = new ScriptedVnc({ greet: [720, 400] });
  assertEquals([vnc.source.nextNs, vnc.heard().length, vnc.told], [NEVER, 0, ["vm"]]);
  vnc.step(3600 * SECOND);
  assertEquals([vnc.heard().length, vnc.lost, vnc.canvas.commits], [0, undefined, 0]);
});

Deno.test("its format and encodings go out before its first request", () => {
  using vnc = new ScriptedVnc();
  vnc.source.once();
  vnc.say(greeting(64, 32));
  vnc.step();
  const said = hexOfBytes(vnc.heard());
  const begin = "524642203030332e3030380a" + "01" + "01" + "0000000020180001" + "00ff00ff00ff100800000000" +
    "0200000a";
  assertEquals(said.slice(0, begin.length), begin);
  assertEquals(said.slice(-20), request(0, 0, 0, 64, 32));
});

Deno.test("one picture, one answer; then only what has changed, at the pace that is wanted", () => {
  using vnc = new ScriptedVnc({ greet: [64, 32] });
  vnc.source.once();
  assertEquals(hexOfBytes(vnc.heard()), request(0, 0, 0, 64, 32));
  vnc.say(update(raw(0, 0, 64, 32, 0x010203)));
  vnc.step();
  assertEquals([vnc.pictures, vnc.canvas.commits, vnc.canvas.lastDamage], [1, 1, [0, 0, 64, 32]]);
  assertEquals(new Set(vnc.canvas.words), new Set([0x010203]));
  assertEquals(vnc.heard().length, 0);
  vnc.source.demand(10);
  assertEquals(hexOfBytes(vnc.heard()), request(1, 0, 0, 64, 32));
  vnc.say(update(raw(3, 4, 5, 6, 9), copied(20, 20, 5, 6, [3, 4])));
  vnc.step();
  assertEquals([vnc.canvas.commits, vnc.canvas.lastDamage], [2, [3, 4, 22, 22]]);
  assertEquals([vnc.heard().length, vnc.source.nextNs], [0, vnc.nowNs + 100 * MS]);
  vnc.step(100 * MS);
  assertEquals(hexOfBytes(vnc.heard()), request(1, 0, 0, 64, 32));
  // And again one picture as of now: a pixel in any case.
  vnc.source.demand(0);
  vnc.say(update(raw(0, 0, 1, 1, 5)));
  vnc.step();
  vnc.source.once();
  assertEquals(hexOfBytes(vnc.heard()), request(1, 0, 0, 64, 32) + request(0, 47, 25, 1, 1));
  vnc.say(update(raw(47, 25, 1, 1, 5)));
  vnc.step();
  assertEquals([vnc.pictures, vnc.heard().length], [2, 0]);
});

Deno.test("a picture comes in pieces, straight into the canvas where it is as wide, and is shown whole", () => {
  const before = openFdCount();
  {
    using vnc = new ScriptedVnc({ greet: [640, 100] });
    vnc.source.demand(30);
    const pixels = Uint8Array.from({ length: 640 * 100 * 4 }, (_, i) => i * 13 ^ i >> 7);
    const all = update(joined(rect(0, 0, 640, 100, ENCODING.RAW), pixels));
    for (let at = 0, size = 1; at < all.length; at += size, size = Math.min(size * 3, 50_000)) {
      assertEquals(vnc.canvas.commits, 0);
      vnc.say(all.subarray(at, at + size));
      vnc.step();
    }
    assertEquals(vnc.canvas.commits, 1);
    assertEquals(vnc.canvas.pixels, pixels);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a mode change in the middle of an update: another size, and everything is asked for anew", () => {
  using vnc = new ScriptedVnc({ greet: [64, 32] });
  vnc.source.once();
  vnc.heard();
  vnc.say(update(raw(0, 0, 64, 16, 1), desktopSize(16, 8), raw(0, 0, 16, 4, 2)));
  vnc.step();
  assertEquals([vnc.pictures, vnc.canvas.width, vnc.canvas.height], [0, 16, 8]);
  assertEquals(hexOfBytes(vnc.heard()), request(0, 0, 0, 16, 8));
  vnc.say(update(raw(0, 0, 16, 8, 3)));
  vnc.step();
  assertEquals([vnc.pictures, vnc.canvas.words[0]], [1, 3]);
  // To nothing: the last picture stays, and the next size is asked for.
  vnc.source.demand(5);
  vnc.heard();
  vnc.say(update(desktopSize(0, 0)));
  vnc.step();
  assertEquals([hexOfBytes(vnc.heard()), vnc.canvas.width], [request(1, 0, 0, 0, 0), 16]);
  vnc.say(update(desktopSize(16_384, 4)));
  vnc.step();
  assertEquals(hexOfBytes(vnc.heard()), request(0, 0, 0, 16_384, 4));
  vnc.say(update(raw(0, 0, 16_384, 4, 8)));
  vnc.step();
  assertEquals([vnc.canvas.width, vnc.canvas.words[65_535], vnc.lost], [16_384, 8, undefined]);
});

Deno.test("updates that nobody asked for are shown at the pace that is wanted", () => {
  using vnc = new ScriptedVnc({ greet: [8, 8] });
  vnc.source.demand(10);
  vnc.say(update(raw(0, 0, 8, 8, 1)));
  vnc.step();
  const { commits } = vnc.canvas;
  // One of these answers the request for changes that stands by now; the rest waits.
  for (let i = 0; i < 500; i++) vnc.say(update(raw(i % 8, 0, 1, 1, i)));
  vnc.step();
  assert(vnc.canvas.commits <= commits + 1, `${vnc.canvas.commits - commits} commits`);
  vnc.step(100 * MS);
  assert(vnc.canvas.commits <= commits + 2);
  assertEquals(vnc.canvas.words[7], 495);
});

Deno.test("a QEMU that is watched and silent is woken by a key-up of no key; others are not, and not unwatched", () => {
  const wake = "ff0000000000ff1300000000";
  using vnc = new ScriptedVnc({ greet: [8, 8] });
  vnc.source.demand(10);
  vnc.say(update(KEYS), update(raw(0, 0, 8, 8, 1)));
  vnc.step();
  assertEquals(vnc.told, ["vm", "keys"]);
  vnc.step(100 * MS);
  assertEquals(hexOfBytes(vnc.heard()).slice(-44), request(1, 0, 0, 8, 8) + wake);
  vnc.step(499 * MS);
  assertEquals(vnc.heard().length, 0);
  vnc.step(2 * MS);
  assertEquals([hexOfBytes(vnc.heard()), vnc.source.nextNs], [wake, vnc.nowNs + 500 * MS]);
  // Of QEMU a request for changes may be lost: after 3 s of silence it is asked again.
  vnc.step(3 * SECOND);
  assertEquals(hexOfBytes(vnc.heard()).includes(request(1, 0, 0, 8, 8)), true);
  vnc.source.demand(0);
  vnc.step(10 * SECOND);
  assertEquals(vnc.heard().length, 0);
  using other = new ScriptedVnc({ greet: [8, 8] });
  other.source.demand(10);
  other.say(update(raw(0, 0, 8, 8, 1)));
  other.step();
  other.step(100 * MS);
  other.heard();
  other.step(10 * SECOND);
  assertEquals([other.heard().length, other.lost], [0, undefined]);
});

Deno.test("lights, pointer and cursor are told; a cursor only where it is known", () => {
  using vnc = new ScriptedVnc({ greet: [8, 8] });
  vnc.say(
    update(
      KEYS,
      joined(rect(0, 0, 0, 0, ENCODING.QEMU_LEDS), [5]),
      rect(1, 0, 0, 0, ENCODING.QEMU_POINTER_MODE),
    ),
  );
  vnc.say(update(cursor(12, 20, [1, 2])));
  vnc.step();
  assertEquals([vnc.told, vnc.canvas.pointer], [["vm", "keys", 5, "absolute"], undefined]);
  assertEquals([vnc.canvas.shape?.width, vnc.canvas.shape?.words.length, vnc.canvas.lights], [12, 240, 5]);
  vnc.say(update(rect(3, 4, 0, 0, ENCODING.POINTER_POSITION)));
  vnc.step();
  const { x, y, visible, shape } = vnc.canvas.pointer!;
  assertEquals([x, y, visible, shape?.width, shape?.height, shape?.hotX], [3, 4, true, 12, 20, 1]);
  vnc.say(update(cursor(0, 0, [0, 0])));
  vnc.step();
  assertEquals(vnc.canvas.pointer?.visible, false);
  assertEquals(vnc.canvas.shape?.words.length, 0);
  vnc.source[Symbol.dispose]();
  assertEquals([vnc.canvas.shape, vnc.canvas.lights], [undefined, undefined]);
});

Deno.test("a server that says nothing: without -vnc, at the handshake, and to a request that has to be answered", () => {
  using nobody = new ScriptedVnc();
  nobody.step(10 * SECOND - 1);
  assertEquals(nobody.lost, undefined);
  nobody.step(1);
  assertEquals([nobody.lost?.code, nobody.source.events, nobody.source.nextNs], [
    CODE["timed-out"],
    0,
    NEVER,
  ]);
  assertStringIncludes(nobody.lost?.why ?? "", "QEMU runs without -vnc");

  using slow = new ScriptedVnc();
  slow.say("RFB 003.008\n");
  slow.step();
  slow.step(10 * SECOND);
  assertEquals(slow.lost?.code, CODE["timed-out"]);

  using mute = new ScriptedVnc({ greet: [8, 8] });
  mute.source.once();
  mute.step(30 * SECOND - 1);
  assertEquals(mute.lost, undefined);
  mute.step(1);
  assertEquals(mute.lost?.code, CODE["timed-out"]);

  // One that drips: a minute, and no more.
  using drips = new ScriptedVnc({ greet: [8, 8] });
  drips.source.once();
  drips.say(update(rect(0, 0, 8, 8, ENCODING.RAW)));
  for (let i = 0; i < 7; i++) {
    drips.say([1]);
    drips.step(8 * SECOND);
    assertEquals(drips.lost, undefined, `after ${i}`);
  }
  drips.step(8 * SECOND);
  assertEquals(drips.lost?.code, CODE["timed-out"]);
});

Deno.test("a picture that has to come and does not is asked for again, whole", () => {
  using vnc = new ScriptedVnc({ greet: [8, 8] });
  vnc.source.once();
  assertEquals(hexOfBytes(vnc.heard()), request(0, 0, 0, 8, 8));
  vnc.step(2 * SECOND - 1);
  assertEquals(vnc.heard().length, 0);
  vnc.step(1);
  assertEquals(hexOfBytes(vnc.heard()), request(0, 0, 0, 8, 8));
  vnc.step(2 * SECOND);
  assertEquals(hexOfBytes(vnc.heard()), request(0, 0, 0, 8, 8), "and once more");
  vnc.say(update(raw(0, 0, 8, 8, 2)));
  vnc.step();
  assertEquals([vnc.pictures, vnc.lost], [1, undefined]);
  // The first answer comes as well, late: nobody waits for it.
  vnc.say(update(raw(0, 0, 8, 8, 2)));
  vnc.step(60 * SECOND);
  assertEquals([vnc.pictures, vnc.lost, vnc.heard().length], [1, undefined, 0]);
});

Deno.test("a QEMU that answers each request for a picture and sends none is left", () => {
  for (const [answer, isLeft] of [[update(KEYS), true], [update(KEYS, raw(0, 0, 8, 8, 1)), false]] as const) {
    using vnc = new ScriptedVnc({ greet: [8, 8] });
    vnc.say(update(KEYS));
    vnc.step();
    for (let i = 0; i < 8 && vnc.lost === undefined; i++) {
      vnc.source.once();
      vnc.step(SECOND);
      vnc.say(answer);
      vnc.step();
      vnc.step(SECOND);
      vnc.step(SECOND);
    }
    assertEquals(vnc.lost?.code, isLeft ? CODE["timed-out"] : undefined, vnc.lost?.why);
    if (isLeft) assertStringIncludes(vnc.lost?.why ?? "", "QEMU has lost an update");
  }
});

Deno.test("a request for changes may stand for ever", () => {
  using vnc = new ScriptedVnc({ greet: [8, 8] });
  vnc.source.demand(1);
  vnc.say(update(raw(0, 0, 8, 8, 1)));
  vnc.step(SECOND);
  vnc.step(3600 * SECOND);
  assertEquals(vnc.lost, undefined);
});

Deno.test("a server that ends, wherever it is, ends the source once", () => {
  const whole = joined(greeting(8, 8), update(raw(0, 0, 8, 8, 1)));
  for (const length of [0, 5, 12, 14, 30, whole.length - 100, whole.length]) {
    using vnc = new ScriptedVnc();
    vnc.source.demand(30);
    vnc.say(whole.subarray(0, length));
    vnc.step();
    vnc.server.close();
    vnc.step(SECOND);
    assertEquals(vnc.lost?.code, CODE["seam-down"], `${length}`);
    assertMatch(vnc.lost?.why ?? "", length < 38 ? / refuses connections: / : / closed the connection: /);
    // Whoever still calls it does no harm.
    vnc.source.once();
    vnc.source.demand(30);
    vnc.source.step(vnc.nowNs);
  }
});

const HOSTILE: readonly [what: string, code: number, says: Piece][] = [
  ["not RFB", CODE["protocol-error"], "HTTP/1.1 400 Bad Request\r\n"],
  ["a refusal", CODE.refused, joined("RFB 003.008\n", [0], u32(3), "\x1b[m")],
  ["a password", CODE.refused, joined("RFB 003.008\n", [1, 2], new Array(16).fill(1))],
  ["TLS", CODE["not-supported"], joined("RFB 003.008\n", [1, 19])],
  ["a picture of 4 GB", CODE["too-large"], greeting(0xffff, 0xffff)],
  ["another message", CODE["protocol-error"], joined(greeting(8, 8), [77])],
  ["another encoding", CODE["protocol-error"], joined(greeting(8, 8), update(rect(0, 0, 8, 8, 7)))],
  ["a rectangle outside", CODE["protocol-error"], joined(greeting(8, 8), update(rect(1, 0, 8, 8, 0)))],
  ["a copy from outside", CODE["protocol-error"], joined(greeting(8, 8), update(copied(0, 0, 8, 8, [1, 0])))],
  [
    "a huge cursor",
    CODE["protocol-error"],
    joined(greeting(8, 8), update(rect(0, 0, 9999, 9999, ENCODING.CURSOR))),
  ],
  ["a size past every ring", CODE["too-large"], joined(greeting(8, 8), update(desktopSize(32_768, 32_768)))],
];

Deno.test("a hostile server ends the source with a code and a line that can be shown", () => {
  const before = openFdCount();
  for (const [what, code, says] of HOSTILE) {
    using vnc = new ScriptedVnc();
    vnc.source.demand(30);
    vnc.say(says);
    vnc.step();
    assertEquals(vnc.lost?.code, code, what);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f\x7f]/.test(vnc.lost?.why ?? ""), what);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a listener may end the source from within a step", () => {
  using vnc = new ScriptedVnc({ greet: [8, 8] });
  vnc.source.once();
  vnc.onPicture = () => vnc.source[Symbol.dispose]();
  vnc.say(update(raw(0, 0, 8, 8, 1)), update(raw(0, 0, 8, 8, 2)));
  vnc.source.step(vnc.nowNs);
  assertEquals([vnc.source.fd, vnc.lost], [-1, undefined]);
  using early = new ScriptedVnc();
  early.onConnected = () => early.source[Symbol.dispose]();
  early.say(greeting(8, 8));
  early.source.step(early.nowNs);
  assertEquals([early.source.fd, early.lost], [-1, undefined]);
});

Deno.test("over TCP: a server, one that is not there, and what is not an address", async () => {
  const open = (host: string, port: number, rig: SourceRig) =>
    new VncSource({
      address: { kind: "tcp", host, port },
      canvas: rig.canvas,
      listener: rig,
      nowNs: monotonicClock.nowNs(),
    });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  {
    const rig = new SourceRig();
    using source = open("127.0.0.1", port, rig);
    source.once();
    const connection = await listener.accept();
    await connection.write(joined(greeting(8, 8), update(raw(0, 0, 8, 8, 4))));
    await rig.until(source, () => rig.pictures >= 1, "a picture over TCP");
    assertEquals(rig.canvas.words[63], 4);
    connection.close();
    assertEquals((await rig.untilLost(source)).code, CODE["seam-down"]);
  }
  listener.close();
  const rig = new SourceRig();
  using source = open("127.0.0.1", port, rig);
  assertStringIncludes((await rig.untilLost(source)).why, `port ${port}`);
  for (const host of ["localhost", "", "1.2.3", "::g", "\x1b"]) {
    assertEquals(assertThrows(() => open(host, 5900, rig), Fault, "not an IPv4").code, "bad-argument");
  }
  for (const bad of [0, 65_536, 1.5]) {
    assertEquals(assertThrows(() => open("::1", bad, rig), Fault, "is not a port").code, "bad-argument");
  }
  assertThrows(
    () =>
      new VncSource({
        address: { kind: "unix", path: "/nonexistent/vnc" },
        canvas: new MemoryCanvas(),
        listener: rig,
        nowNs: 0,
      }),
    Fault,
    "ENOENT",
  );
});
