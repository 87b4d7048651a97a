/**
 * The connection's pump: it waits on a thread of its own, which nothing wakes that it need not see.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { sendOne } from "../../../ffi/datagram.ts";
import { MAX_FRAME_BYTES } from "../../../src/base/limits.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO } from "../../../src/event/priority.ts";
import { BODY, EventPool } from "../../../src/event/transfer_event.ts";
import { encodeFrame } from "../../../src/protocol/frame.ts";
import { Connection } from "../../../src/client/connection.ts";

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

Deno.test("a connection that is flooded with large frames takes them all in order, and leaves timers their turn", async () => {
  const [own, daemon] = socketPair(SOCKET.SEQPACKET);
  const frames = 400;
  const pool = new EventPool(1);
  const bytes = new Uint8Array(MAX_FRAME_BYTES);
  let sent = 0;
  const sendMore = () => {
    for (; sent < frames; sent++) {
      const event = pool.acquire();
      event.kind = KIND.CONSOLE_OUT;
      event.prio = PRIO.NORMAL;
      event.words[0] = sent;
      event.setBody(BODY.RAW, new Uint8Array(65_536));
      const length = encodeFrame(event, sent, new DataView(bytes.buffer), bytes, 0);
      event.release();
      if (sendOne(daemon.fd, bytes, 0, length) < 0) return;
    }
  };
  const came: number[] = [];
  const all = Promise.withResolvers<void>();
  const connection = new Connection(own, {
    onEvent: (event) => {
      came.push(event.view.getUint32(0, true));
      // There is always more: the daemon has filled the socket again by then.
      sendMore();
      if (came.length === frames) all.resolve();
    },
    mayRead: () => true,
    onEnd: (fault) => all.reject(fault),
  });
  let cameBefore = -1;
  const timer = setTimeout(() => cameBefore = came.length, 0);
  try {
    sendMore();
    connection.start();
    await all.promise;
    assertEquals(came, Array.from({ length: frames }, (_, i) => i));
    assertEquals(cameBefore >= 0 && cameBefore < frames, true);
  } finally {
    clearTimeout(timer);
    await connection.close();
    daemon.close();
  }
});
