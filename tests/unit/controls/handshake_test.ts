import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { encode } from "cborg";
import { maskOf } from "../../../src/access/grant.ts";
import { CAP } from "../../../src/event/capability.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { cborOf, rawFrame, rawHello } from "./raw_frame.ts";
import { type RawClient, withRig } from "./socket_rig.ts";

const HELLO = 96;
const WELCOME = 97;
const REFUSED = 98;
const ERROR = 3;

/** What a client that is sent away got: nothing but one frame of a kind, then the end. */
function soleFrame(client: RawClient, kind: number) {
  client.read();
  assertEquals(client.frames.map((frame) => frame.kind), [kind]);
  assert(client.ended, "the socket is closed behind it");
  return client.frames[0]!;
}

Deno.test("HELLO is answered by WELCOME with the effective grant", () => {
  withRig((rig) => {
    const caps = CAP.OBSERVE | CAP.VM;
    rig.grant = { principal: 1234, endpoints: maskOf([1, 2, 63]), sources: 0x7e, caps, arbPrio: 12 };
    const client = rig.join({ sub: { sources: 0x23, prio_min: 1, endpoints: (1n << 63n) | 6n } });
    const welcome = client.frames[0]!;
    assertEquals(
      [welcome.kind, welcome.dir, welcome.seq, welcome.token, welcome.format],
      [WELCOME, 0, 0, 0n, 2],
    );
    assertEquals(cborOf(welcome), {
      proto: 1,
      control: 1,
      principal: 1234,
      endpoints: (1n << 63n) | 6n,
      sources: 0x22,
      caps,
      arb_prio: 12,
    });
  });
});

Deno.test("WELCOME, then the retained ROSTER, then MEMCTX, then FRAME_RING, then live events", () => {
  withRig((rig) => {
    const [host] = rig.attach(1, SOURCE.VMHOST);
    const [memory, frame] = rig.attach(4, SOURCE.MEMCTX, SOURCE.FRAME);
    frame!.at.emit(frame!.at.event(83));
    memory!.at.emit(memory!.at.event(77));
    rig.core.publishRoster(4 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 4, name: "four" });
    rig.core.publishRoster(1 as EndpointId, { state: 2, seams: 0, pid: 0, vmid: 1, name: "one" });
    rig.turn();
    const client = rig.join();
    assertEquals(client.frames.map((frame) => frame.kind), [WELCOME, 80, 80, 77, 83]);
    assertEquals(client.of(80).map((frame) => frame.endpoint), [1, 4]);
    assertEquals(client.frames.slice(1).map((frame) => frame.seq), [1, 2, 3, 4]);
    host!.at.emit(host!.at.event(1));
    rig.turn();
    assertEquals(client.read().map((frame) => [frame.kind, frame.seq]), [[1, 5]]);
    rig.core.forget(1 as EndpointId);
    rig.core.forget(4 as EndpointId);
  });
});

Deno.test("who is not admitted, or has no rights, gets REFUSED with code 17 and the end", () => {
  withRig((rig) => {
    rig.grant = undefined;
    const client = rig.connect();
    client.sendBytes(rawHello());
    rig.turn();
    assertEquals(cborOf(soleFrame(client, REFUSED)), { code: 17, reason: "not you" });
    rig.grant = { principal: 7, endpoints: maskOf([]), sources: 0x7f, caps: 0x1fff, arbPrio: 1 };
    const empty = rig.connect();
    empty.sendBytes(rawHello());
    rig.turn();
    assertEquals(cborOf(soleFrame(empty, REFUSED))["code"], 17);
    assertEquals(rig.core.fanOut.controls.size, 0);
  });
});

Deno.test("a HELLO whose body is not in order is refused with the reason", () => {
  withRig((rig) => {
    const bodies: [body: Uint8Array, code: number, reason: RegExp][] = [
      [new Uint8Array(0), 13, /CBOR/],
      [new Uint8Array([0xff, 1, 2]), 13, /CBOR/],
      [encode([1]), 13, /map/],
      [encode({ proto: 2 }), 15, /protocol 1/],
      [encode({}), 15, /protocol 1/],
      [encode({ proto: 1, name: 5 }), 13, /name/],
      [encode({ proto: 1, sub: 5 }), 13, /sub/],
      [encode({ proto: 1, sub: { sources: -1 } }), 13, /sources/],
      [encode({ proto: 1, sub: { sources: 2 ** 32 } }), 13, /sources/],
      [encode({ proto: 1, sub: { prio_min: 4 } }), 13, /prio_min/],
      [encode({ proto: 1, sub: { endpoints: -1 } }), 13, /endpoints/],
      [encode({ proto: 1, sub: { endpoints: "all" } }), 13, /endpoints/],
      // Arrays in arrays, deeper than a stack likes.
      [new Uint8Array(60_000).fill(0x81), 13, /CBOR/],
    ];
    for (const [body, code, reason] of bodies) {
      const client = rig.connect();
      client.sendBytes(rawFrame({ kind: HELLO, format: 2, body }));
      rig.turn();
      const refused = cborOf(soleFrame(client, REFUSED));
      assertEquals(refused["code"], code, String(reason));
      assertMatch(String(refused["reason"]), reason);
    }
  });
});

Deno.test("whatever is no HELLO gets one ERROR 13 and the end, however much is behind it", () => {
  withRig((rig) => {
    const openings: Uint8Array<ArrayBuffer>[] = [
      new Uint8Array([1, 2, 3]),
      new Uint8Array(0),
      rawFrame({ kind: 70 }),
      rawFrame({ kind: WELCOME, dir: 0 }),
      rawFrame({ kind: HELLO, dir: 0 }),
      rawFrame({ kind: HELLO, magic: 0x32475356 }),
      rawFrame({ kind: HELLO, reserved: 1 }),
      rawFrame({ kind: HELLO, fds: 1 }),
      rawFrame({ kind: 66 }),
      new Uint8Array(96 + 65_537),
    ];
    for (const opening of openings) {
      const client = rig.connect();
      client.sendBytes(opening);
      for (let i = 0; i < 20; i++) client.sendBytes(rawHello());
      rig.turn();
      const error = soleFrame(client, ERROR);
      assertEquals([error.words[0], error.prio, error.endpoint], [13, 3, 0xffffffff]);
    }
    assertEquals(rig.core.fanOut.controls.size, 0);
  });
});

Deno.test("no HELLO within five seconds: closed without a word; one that came in time stays", () => {
  withRig((rig) => {
    const silent = rig.connect();
    rig.turn();
    const prompt = rig.join();
    rig.clock.advance(4_999_000_000);
    rig.turn();
    silent.read();
    assert(!silent.ended);
    rig.clock.advance(1_000_000);
    rig.turn();
    silent.read();
    assert(silent.ended);
    assertEquals(silent.frames, []);
    prompt.read();
    assert(!prompt.ended);
    assertEquals(rig.loop.armed, 0, "no timer is left running");
  });
});

Deno.test("a second HELLO is a protocol error", () => {
  withRig((rig) => {
    const client = rig.join();
    client.sendBytes(rawHello());
    rig.turn();
    assertEquals(client.read().map((frame) => [frame.kind, frame.words[0]]), [[ERROR, 13]]);
    assert(client.ended);
  });
});

Deno.test("what is sent behind the HELLO without waiting is carried out", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const client = rig.connect();
    client.sendBytes(rawHello());
    for (let i = 1; i <= 5; i++) client.send({ kind: 70, corr: i, words: [1] });
    rig.turn(20);
    client.read();
    assertEquals([1, 2, 3, 4, 5].map((corr) => client.acks(corr)), [[0], [0], [0], [0], [0]]);
    assertEquals(host!.commands.length, 5);
  });
});

Deno.test("more controls than are allowed: busy; more silent peers than are allowed: busy", () => {
  withRig((rig) => {
    rig.join();
    rig.join();
    const third = rig.connect();
    third.sendBytes(rawHello());
    rig.turn();
    assertEquals(cborOf(soleFrame(third, REFUSED))["code"], 18);
    const silent = [rig.connect(), rig.connect(), rig.connect()];
    rig.turn();
    silent[0]!.read();
    assert(!silent[0]!.ended);
    assertEquals(cborOf(soleFrame(silent[2]!, REFUSED))["code"], 18);
  }, { maxControls: 2 });
});

Deno.test("a daemon that stops refuses who has not said HELLO yet", () => {
  withRig((rig) => {
    const client = rig.connect();
    rig.turn();
    rig.listener.close();
    assertEquals(cborOf(soleFrame(client, REFUSED))["code"], 16);
  });
});
