/**
 * Run under a low RLIMIT_NOFILE: uses up every descriptor, and tells what an accept guard makes of it.
 * @module
 */
import { AcceptGuard, isShortage, SHORTAGE_PAUSE_NS } from "../../../ffi/accept_loop.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { connectUnix, listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { SECOND } from "../../../src/base/clock.ts";
import { Log } from "../../../src/base/log.ts";
import "./loaded_shim.ts";

const folder = await Deno.makeTempDir();
const path = `${folder}/a.sock`;
const lines: string[] = [];
const log = new Log("accept", "info", (line) => lines.push(line.split(" ")[0] ?? ""));
const listener = listenUnix(path, SOCKET.SEQPACKET);
const guard = new AcceptGuard({ log, what: path });
const clients = [1, 2, 3].map(() => connectUnix(path, SOCKET.SEQPACKET));
const filling: EventFd[] = [];
try {
  for (;;) filling.push(EventFd.create());
} catch (error) {
  if (!isShortage(error)) throw error;
}
let nowNs = SECOND;
const outcome = (): string => {
  const accepted = guard.accept(listener.fd, nowNs);
  if (accepted === undefined) return guard.pausedUntilNs > nowNs ? "rests" : "nobody";
  return accepted.isSpare ? "spare" : "plain";
};
const first = outcome(); // it is kept: the spare one is gone
const second = outcome();
const third = outcome();
for (const fd of filling) fd[Symbol.dispose]();
nowNs += 2 * SHORTAGE_PAUSE_NS;
const afterwards = outcome();
console.log(JSON.stringify({ first, second, third, afterwards, lines }));
for (const client of clients) client.close();
await Deno.remove(folder, { recursive: true });
