/**
 * What a viewer is fed beside pixels: the cursor and the lights that were told before it came, those that are
 * told later, to the last viewer of the chain (an RFB client); and what is no cursor.
 */
import { assertEquals } from "@std/assert";
import type { EndpointId } from "../../../src/base/ids.ts";
import type { Client } from "../../../src/client/client.ts";
import { connect } from "../../../src/client/connect.ts";
import { eventWords } from "../../../src/client/event_words.ts";
import type { PointerNews } from "../../../src/client/pointer_news.ts";
import { ScreenFeed } from "../../../src/client/vnc/screen_feed.ts";
import { ROSTER_STATE } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { CURSOR_SHAPE_STATE, LED } from "../../../src/event/kinds/pointer_kinds.ts";
import { BODY } from "../../../src/event/transfer_event.ts";
import { RfbServer } from "../../../src/rfb/server/rfb_server.ts";
import { until } from "../../fixtures/daemon_process.ts";
import { FakeDaemon, type Peer } from "./fake_daemon.ts";

const SEAT = { onEnter() {}, onKey() {}, onPointer() {}, onLeave() {} };

interface Shape {
  readonly head?: number;
  readonly state?: number;
  readonly side?: number;
  readonly hotX?: number;
  readonly bytes?: number;
}

function shape(
  peer: Peer,
  { head = 0, state = 1, side = 2, hotX = 1, bytes = 4 * side * side }: Shape,
): void {
  peer.send(KIND.CURSOR_SHAPE, (event) => {
    event.words[0] = head;
    event.words[1] = state;
    event.words[2] = side | side << 16;
    event.words[3] = hotX;
    if (bytes > 0) event.setBody(BODY.RAW, new Uint8Array(bytes).map((_, i) => i + 1));
  });
}

function leds(peer: Peer, known: number, bits: number): void {
  peer.send(KIND.KEYBOARD_LEDS, (event) => {
    event.words[1] = known;
    event.words[2] = bits;
  });
}

async function fed(body: (peer: Peer, told: PointerNews[], client: Client) => Promise<void>): Promise<void> {
  await using daemon = new FakeDaemon({
    endpoints: ["vm"],
    onCommand: (command, peer) => peer.ack(command),
    onJoin: (peer) => {
      peer.roster(0, "vm", ROSTER_STATE.UP, 0b1100110);
      shape(peer, {});
      leds(peer, 1, LED.NUM);
    },
  });
  await using client = await connect({ socket: daemon.path, name: "viewer" });
  const told: PointerNews[] = [];
  const feed = new ScreenFeed({
    ...{ client, ref: "vm", head: 0, perSecond: 1, onTrouble: () => {} },
    taker: { onFrame: () => {} },
    onPointer: (news) => told.push(news),
  });
  feed.want(true);
  try {
    await until("what was known is told", () => told.length > 0);
    await body(daemon.peer, told, client);
  } finally {
    await feed.close();
  }
}

Deno.test("a viewer that comes later is told the cursor and the lights, and what becomes of them", async () => {
  await fed(async (peer, told, client) => {
    const { cursor } = told[0] as PointerNews;
    assertEquals([cursor?.width, cursor?.height, cursor?.hotX, told[0]?.leds], [2, 2, 1, LED.NUM]);
    assertEquals(cursor?.words[0], 0x04030201);
    leds(peer, 1, LED.CAPS);
    await until("other lights", () => told.at(-1)?.leds === LED.CAPS);
    assertEquals(told.at(-1)?.cursor, cursor, "the cursor stays");
    shape(peer, { side: 0, hotX: 0 });
    await until("none is to be seen", () => told.at(-1)?.cursor?.words.length === 0);
    for (const bad of [{ bytes: 12 }, { side: 300, bytes: 0 }, { hotX: 3 }, { state: 2 }]) {
      shape(peer, {});
      await until("a good one", () => told.at(-1)?.cursor?.width === 2);
      shape(peer, bad);
      await until("it is not one", () => told.at(-1)?.cursor === undefined);
    }
    shape(peer, { head: 1 });
    shape(peer, { head: 99 });
    leds(peer, 0, 7);
    await until("not known", () => told.at(-1)?.leds === undefined);
    assertEquals(client.screens.pointers.of(0 as EndpointId, 1).cursor?.width, 2, "another head's");
    assertEquals(told.at(-1)?.cursor, undefined);
    peer.roster(0, "vm", ROSTER_STATE.GONE, 0);
    await until("forgotten", () => client.screens.pointers.of(0 as EndpointId, 1).cursor === undefined);
  });
  assertEquals(CURSOR_SHAPE_STATE.KNOWN, 1);
});

Deno.test("cursors and lights are told in words, as vmsig watch prints them", async () => {
  await fed(async (peer, _, client) => {
    const words: string[] = [];
    const stream = client.events({ kinds: ["CURSOR_SHAPE", "KEYBOARD_LEDS"] });
    shape(peer, {});
    shape(peer, { side: 0, hotX: 0 });
    shape(peer, { state: 0, bytes: 0 });
    leds(peer, 1, LED.NUM | LED.CAPS);
    leds(peer, 1, 0);
    leds(peer, 0, 0);
    for await (const event of stream) if (words.push(eventWords(event)) === 6) break;
    assertEquals(words, [
      "head 0: 2x2 pixels, points at 1,0",
      "head 0: none is seen",
      "head 0: not known",
      "head 0: num lock, caps lock",
      "head 0: none is on",
      "head 0: not known",
    ]);
  });
});

Deno.test("an RFB server tells no cursor until one is known, and an empty one when it is not any more", () => {
  using server = new RfbServer({ name: "vm", seat: SEAT });
  server.pointer({ cursor: undefined, leds: undefined });
  assertEquals([server.cursor, server.leds], [undefined, undefined]);
  const cursor = { width: 1, height: 1, hotX: 0, hotY: 0, words: new Int32Array([-1]) };
  server.pointer({ cursor, leds: 2 });
  assertEquals([server.cursor, server.leds], [cursor, 2]);
  server.pointer({ cursor: undefined, leds: undefined });
  assertEquals([server.cursor?.words.length, server.leds], [0, 2]);
});
