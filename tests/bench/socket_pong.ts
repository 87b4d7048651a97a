/**
 * The other end of a bare round trip over a unix socket: a process that sends back what it gets, and waits as
 * the daemon does. It says "ready" when it listens, and ends with its standard input.
 *
 *   deno run -A tests/bench/socket_pong.ts PATH
 */
import { ReceiveBatch, sendOne } from "../../ffi/datagram.ts";
import { IN, Poller } from "../../ffi/poller.ts";
import { wholeShim } from "../../ffi/shim.ts";
import { acceptUnix, listenUnix, SOCKET, unlinkSocket } from "../../ffi/unix_socket.ts";
import { MAX_FRAME_BYTES } from "../../src/base/limits.ts";

wholeShim();
const [path = ""] = Deno.args;
const listener = listenUnix(path, SOCKET.SEQPACKET);
const poller = new Poller(2);
poller.add(listener.fd, IN, 1);
console.log("ready");
await poller.waitAsync(-1);
const peer = acceptUnix(listener.fd);
if (peer === undefined) throw new Error("nobody came");
unlinkSocket(path);
poller.remove(listener.fd);
poller.add(peer.fd, IN, 2);
const batch = new ReceiveBatch(32, MAX_FRAME_BYTES, 8);
const bytes = new Uint8Array(MAX_FRAME_BYTES);
for (;;) {
  await poller.waitAsync(-1);
  const frames = batch.receive(peer.fd);
  if (batch.closed) break;
  for (let i = 0; i < frames; i++) {
    const { buffer, byteOffset } = batch.view;
    const length = batch.length(i);
    bytes.set(new Uint8Array(buffer, byteOffset + batch.offset(i), length));
    sendOne(peer.fd, bytes, 0, length);
  }
}
Deno.exit(0);
