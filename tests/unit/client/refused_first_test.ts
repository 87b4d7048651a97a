import "../ffi/loaded_shim.ts";
import { assertEquals, assertRejects } from "@std/assert";
import { sendOne } from "../../../ffi/datagram.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { CODE } from "../../../src/base/codes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { Link } from "../../../src/client/link.ts";
import { Session } from "../../../src/client/session.ts";
import { refusedFrame } from "../../../src/protocol/opening_frame.ts";

Deno.test("a daemon that refuses before the HELLO, and is gone by then, is heard all the same", async () => {
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  const frame = refusedFrame(CODE["not-admitted"], "uid 4242 is not admitted");
  sendOne(far.fd, frame, 0, frame.length);
  far.close();
  const session = new Session({ socketPath: "/run/x.sock", name: "late", sub: {}, timeoutMs: 60_000 });
  const fault = await assertRejects(
    () => session.open(new Link(near, "/run/x.sock", session)),
    Fault,
    "uid 4242 is not admitted",
  );
  assertEquals(fault.code, "not-admitted");
  await session.close();
});
