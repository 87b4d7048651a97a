/**
 * TCP connections to literal addresses: made, refused, and what is not an address.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { connectInet, connectionOutcome } from "../../../ffi/inet_socket.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { OUT, Poller } from "../../../ffi/poller.ts";
import { Fault } from "../../../src/base/fault.ts";

function untilWritable(fd: number): void {
  using poller = new Poller(1);
  poller.add(fd, OUT, 0);
  assert(poller.wait(60_000) === 1, "a connection on loopback is made or refused");
  poller.remove(fd);
}

Deno.test("a TCP connection is begun without waiting, and its outcome told when it is writable", async () => {
  const before = openFdCount();
  for (const hostname of ["127.0.0.1", "::1"]) {
    let listener: Deno.TcpListener;
    try {
      listener = Deno.listen({ hostname, port: 0 });
    } catch (error) {
      // A machine without IPv6 has no ::1.
      if (hostname === "::1" && !(error instanceof TypeError)) continue;
      throw error;
    }
    const { port } = listener.addr as Deno.NetAddr;
    {
      using socket = connectInet(hostname, port);
      untilWritable(socket.fd);
      connectionOutcome(socket.fd, "it");
      (await listener.accept()).close();
    }
    listener.close();
    try {
      using socket = connectInet(hostname, port);
      untilWritable(socket.fd);
      const error = assertThrows(() => connectionOutcome(socket.fd, "nobody"), OsError, "connect to nobody");
      assertEquals(error.errnoName, "ECONNREFUSED");
    } catch (error) {
      // Loopback may refuse at once.
      assertEquals((error as OsError).errnoName, "ECONNREFUSED");
    }
  }
  assertEquals(openFdCount(), before);
});

Deno.test("what is not an address or a port is told so", () => {
  for (const bad of ["", "localhost", "1.2.3", "1.2.3.4.5", "fe80::1%lo", ":", "\x1b[m"]) {
    assertEquals(assertThrows(() => connectInet(bad, 1), Fault, "not an IPv4 or IPv6").code, "bad-argument");
  }
  for (const port of [0, -1, 65_536, 1.5, NaN]) {
    assertEquals(
      assertThrows(() => connectInet("127.0.0.1", port), Fault, "not a port").code,
      "bad-argument",
    );
  }
});
