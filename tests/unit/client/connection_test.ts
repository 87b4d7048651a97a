/**
 * The connection's pump: it waits on a thread of its own, which nothing wakes that it need not see.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
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
