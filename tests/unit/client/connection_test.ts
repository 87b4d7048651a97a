/**
 * The connection's pump: it waits on a thread of its own, which nothing wakes that it need not see.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { sendOne } from "../../../ffi/datagram.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { MAX_FRAME_BYTES } from "../../../src/base/limits.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { Connection } from "../../../src/client/connection.ts";
import { defaultPrio, DIR, SOURCE_OF_KIND } from "../../../src/event/defaults.ts";
import { KIND } from "../../../src/event/kind.ts";
import type { Source } from "../../../src/event/source.ts";
import { EventPool } from "../../../src/event/transfer_event.ts";
import { encodeFrame } from "../../../src/protocol/frame.ts";
import { until } from "../../fixtures/daemon_process.ts";

Deno.test("a connection that waits for its socket is not woken when nothing waits to be sent", async () => {
  const [own, daemon] = socketPair(SOCKET.SEQPACKET);
  let looks = 0;
  const connection = new Connection(own, {
    onEvent: () => {},
    mayRead: () => ++looks > 0,
    onEnd: () => {},
  });
  try {
    connection.start();
    const waiting = looks;
    for (let i = 0; i < 20; i++) {
      connection.wake();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assertEquals(looks, waiting);
  } finally {
    await connection.close();
    daemon.close();
  }
});

Deno.test("a connection that is held back reads on when it is woken, and its end waits for nothing", async () => {
  const [own, daemon] = socketPair(SOCKET.SEQPACKET);
  let isHeld = true;
  const end = Promise.withResolvers<string>();
  const connection = new Connection(own, {
    onEvent: () => {},
    mayRead: () => !isHeld,
    onEnd: (fault) => end.resolve(fault.code),
  });
  connection.start();
  daemon.close();
  isHeld = false;
  connection.wake();
  assertEquals(await end.promise, "unreachable");
  await connection.close();
});

Deno.test("answers to what is sent promptly are there before the program goes on", async () => {
  const [own, daemon] = socketPair(SOCKET.SEQPACKET);
  const events: ClientEvent[] = [];
  const connection = new Connection(own, {
    onEvent: (event) => events.push(event),
    mayRead: () => true,
    onEnd: () => {},
  });
  const event = new EventPool(0).acquire();
  event.kind = KIND.ACT_ACK;
  event.endpoint = 0 as EndpointId;
  event.dir = DIR.UP;
  event.source = SOURCE_OF_KIND[KIND.ACT_ACK] as Source;
  event.prio = defaultPrio(KIND.ACT_ACK, false);
  event.tsNs = 1000;
  const frame = new Uint8Array(MAX_FRAME_BYTES);
  const length = encodeFrame(event, 1, new DataView(frame.buffer), frame, 0);
  const answer = () => void sendOne(daemon.fd, frame, 0, length);
  try {
    connection.start();
    connection.promptly(answer, () => events.length === 1, 60_000);
    assertEquals(events.length, 1);
    // What nobody answers is not awaited for ever, and what comes later is read as ever.
    connection.promptly(() => {}, () => events.length === 2, 5);
    assertEquals(events.length, 1);
    answer();
    await until("the pump reads on", () => events.length === 2);
  } finally {
    await connection.close();
    daemon.close();
    event.release();
  }
});
