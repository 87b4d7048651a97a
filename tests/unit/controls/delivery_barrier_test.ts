/** CMD_BARRIER over the socket: through queues that are full and peers that read when they like. */
import type { Prio } from "../../../src/event/priority.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { KIND, KIND_MAX } from "../../../src/event/kind.ts";
import { SOURCE, type Source } from "../../../src/event/source.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";
import { cborOf, type ParsedFrame, rawFrame } from "./raw_frame.ts";
import { type RawClient, type SocketRig, withRig } from "./socket_rig.ts";

const BARRIER = 112;
const NO_ENDPOINT = 0xffffffff;
const CURSOR = 37;
const OVERRUN = 99;
const ACT_ACK = 48;
const ERROR = 3;

function barrier(client: RawClient, corr: number): void {
  client.send({ kind: BARRIER, endpoint: NO_ENDPOINT, corr });
}

function emit(rig: SocketRig, prio: number, n: number, source: number = SOURCE.VMHOST): void {
  const event = rig.core.bus.event(CURSOR, source as Source, 0 as EndpointId);
  event.prio = prio as Prio;
  event.words[0] = n;
  rig.core.bus.up(event);
}

/** What stands behind the answer to a corr, of the events up to a number. */
function late(frames: readonly ParsedFrame[], corr: number, upTo: number): ParsedFrame[] {
  const at = frames.findIndex((frame) => frame.kind === ACT_ACK && frame.corr === corr);
  assert(at >= 0, `barrier ${corr} is answered`);
  return frames.slice(at).filter((frame) => frame.kind === CURSOR && frame.words[0]! <= upTo);
}

Deno.test("WELCOME says how many kinds there are to a HELLO that says it too, and to no other", () => {
  withRig((rig) => {
    assertEquals(cborOf(rig.join({ kinds: 100 }).frames[0]!)["kinds"], KIND_MAX);
    assertEquals(cborOf(rig.join({ kinds: 4_000_000_000 }).frames[0]!)["kinds"], KIND_MAX);
    for (const kinds of [undefined, 0, -1, "many", 2 ** 40, [1]]) {
      const welcome = cborOf(rig.join(kinds === undefined ? {} : { kinds }).frames[0]!);
      assertEquals(Object.keys(welcome).includes("kinds"), false, String(kinds));
    }
  });
});

Deno.test("a control gets events of kinds that it knows, and only of those", () => {
  withRig((rig) => {
    rig.attach(0, SOURCE.VMHOST);
    const emitNew = () => {
      const event = rig.core.bus.event(KIND.SCREEN_TEXT, SOURCE.FRAME, 0 as EndpointId);
      rig.core.bus.up(event);
    };
    const clients = [
      rig.join(),
      rig.join({ kinds: 100 }),
      rig.join({ kinds: KIND.SCREEN_TEXT }),
      rig.join({ kinds: KIND_MAX }),
    ];
    emitNew();
    emit(rig, 1, 1);
    rig.turn();
    const seen = clients.map((
      client,
    ) => (client.read(), [client.of(KIND.SCREEN_TEXT).length, client.of(CURSOR).length]));
    assertEquals(seen, [[0, 1], [0, 1], [0, 1], [1, 1]]);
  });
});

Deno.test("behind the retained roster, whatever its length and however small the queue", () => {
  withRig((rig) => {
    for (let endpoint = 0; endpoint < 60; endpoint++) {
      rig.core.publishRoster(endpoint as EndpointId, {
        state: 2,
        seams: 0,
        pid: 0,
        vmid: endpoint,
        name: `vm${endpoint}`,
      });
    }
    rig.turn();
    const client = rig.join();
    barrier(client, 1);
    rig.turn(20);
    client.read();
    assertEquals(client.of(80).length, 60);
    assertEquals(client.frames.at(-1)?.kind, ACT_ACK);
    for (let endpoint = 0; endpoint < 60; endpoint++) rig.core.forget(endpoint as EndpointId);
  }, { queueEvents: 64 });
});

Deno.test("a peer that does not read: the answer comes behind all of its full queue, and behind the OVERRUN", () => {
  withRig((rig) => {
    rig.attach(0, SOURCE.VMHOST);
    const slow = rig.join();
    const brisk = rig.join();
    slow.read();
    // The socket's own buffer first, then the queue; the barrier must be read while the queue has room.
    let n = 0;
    while (rig.listener.controls.keys().next().value!.queued < 8) {
      emit(rig, 1, ++n);
      rig.turn(1);
    }
    barrier(slow, 7);
    rig.turn(4);
    const mark = n;
    for (let i = 0; i < 40; i++) {
      emit(rig, i % 4, ++n);
      rig.turn(1);
      brisk.read();
    }
    barrier(brisk, 8);
    rig.turn(4);
    brisk.read();
    assertEquals(brisk.acks(8), [0], "another's slowness holds nothing up");
    for (let i = 0; i < 200 && slow.acks(7).length === 0; i++) {
      slow.read();
      rig.turn(4);
    }
    slow.read();
    assertEquals(slow.acks(7), [0]);
    assertEquals(late(slow.frames, 7, mark), []);
    assert(slow.of(OVERRUN).length > 0, "the queue was full");
    const at = (kind: number) => slow.frames.findIndex((frame) => frame.kind === kind);
    assert(at(OVERRUN) < at(ACT_ACK));
  }, { queueEvents: 32 });
});

Deno.test("with a body, descriptors or an endpoint it is refused; one number further is a protocol error", () => {
  withRig((rig) => {
    const client = rig.join();
    client.send({ kind: BARRIER, corr: 1, endpoint: 0 });
    client.send({ kind: BARRIER, corr: 2, endpoint: NO_ENDPOINT, body: Uint8Array.of(1, 2, 3) });
    client.send({ kind: BARRIER, corr: 3, endpoint: NO_ENDPOINT, words: [1, 2, 3], token: 5n });
    rig.turn();
    client.read();
    assertEquals([1, 2, 3].map((corr) => client.acks(corr)), [[7], [7], [0]]);
    client.send({ kind: KIND_MAX, corr: 4, endpoint: NO_ENDPOINT });
    rig.turn();
    client.read();
    assertEquals(client.of(ERROR).map((frame) => frame.words[0]), [13]);
    assert(client.ended);
  });
});

Deno.test("many at once cost no place for good: each is answered, and the bus goes on", () => {
  withRig((rig) => {
    const client = rig.join();
    for (let corr = 1; corr <= 2000; corr++) {
      barrier(client, corr);
      if (corr % 50 === 0) {
        rig.turn(8);
        client.read();
      }
    }
    rig.turn(20);
    client.read();
    assertEquals(
      client.of(ACT_ACK).map((frame) => frame.corr),
      Array.from({ length: 2000 }, (_, i) => i + 1),
    );
  });
});

Deno.test("random traffic over sockets: nothing from before a barrier comes after its answer", () => {
  for (let round = 0; round < 6; round++) withSeed(randomTraffic);
});

function randomTraffic(random: SeededRandom): void {
  withRig((rig) => {
    rig.attach(0, SOURCE.VMHOST);
    const peers = Array.from({ length: 4 }, () => ({ client: rig.join(), marks: new Map<number, number>() }));
    let n = 0;
    let corr = 0;
    for (let step = 0; step < 3000; step++) {
      const peer = peers[random.below(peers.length)]!;
      switch (random.below(8)) {
        case 0:
          rig.turn(1 + random.below(3));
          break;
        case 1:
          // The first reads seldom: its queue and its socket fill.
          if (peer !== peers[0] || random.oneIn(20)) peer.client.read();
          break;
        case 2:
          if (random.oneIn(3)) {
            // What was accepted when the frame was sent had been accepted when it was taken.
            // A peer whose queue was full of urgent events alone is gone, and one that does not read may find
            // the socket full.
            const frame = rawFrame({ kind: BARRIER, endpoint: NO_ENDPOINT, corr: ++corr });
            if (peer.client.sendBytes(frame) > 0) peer.marks.set(corr, n);
          }
          break;
        default:
          emit(rig, random.below(4), ++n);
      }
    }
    for (let i = 0; i < 400; i++) {
      rig.turn(2);
      for (const { client } of peers) client.read();
    }
    for (const { client, marks } of peers) {
      if (client.ended) continue;
      for (const [asked, mark] of marks) {
        assertEquals(late(client.frames, asked, mark), [], `barrier ${asked}`);
      }
    }
    assert(peers.some(({ client, marks }) => !client.ended && marks.size > 10));
  }, { queueEvents: 128 });
}
