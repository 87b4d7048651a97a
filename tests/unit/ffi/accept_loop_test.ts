import { assert, assertEquals, assertThrows } from "@std/assert";
import { AcceptGuard, AcceptLoop, SHORTAGE_PAUSE_NS } from "../../../ffi/accept_loop.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { connectUnix, listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { ManualClock, MS, SECOND } from "../../../src/base/clock.ts";
import { SILENT } from "../../../src/base/log.ts";
import "./loaded_shim.ts";

/** A host that a test turns by hand. */
class Host {
  readonly clock = new ManualClock();
  watched: { onReady(events: number): void } | null = null;
  armedNs = Infinity;
  #timer: { onTimer(nowNs: number): void } | null = null;

  watch(_fd: number, _events: number, handler: { onReady(events: number): void }): void {
    assert(this.watched === null, "watched once");
    this.watched = handler;
  }
  unwatch(): void {
    this.watched = null;
  }
  arm(handler: { onTimer(nowNs: number): void }, deadlineNs: number): void {
    this.#timer = handler;
    this.armedNs = deadlineNs;
  }
  disarm(): void {
    this.#timer = null;
    this.armedNs = Infinity;
  }
  /** One turn. */
  turn(): void {
    if (this.clock.nowNs() >= this.armedNs) {
      const timer = this.#timer;
      this.disarm();
      timer?.onTimer(this.clock.nowNs());
    }
    this.watched?.onReady(1);
  }
}

async function listening(use: (listener: OwnedFd, path: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  const before = openFdCount();
  try {
    const path = `${folder}/a.sock`;
    using listener = listenUnix(path, SOCKET.SEQPACKET);
    use(listener, path);
    listener.close();
    assertEquals(openFdCount(), before, "every descriptor is closed again");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("peers that are kept are taken in one turn, up to a bound", () =>
  listening((listener, path) => {
    const host = new Host();
    const kept: OwnedFd[] = [];
    using _loop = new AcceptLoop({
      listener,
      host,
      log: SILENT,
      what: path,
      mostATurn: 8,
      onPeer: (socket) => (kept.push(socket), "kept"),
    });
    const clients = Array.from({ length: 12 }, () => connectUnix(path, SOCKET.SEQPACKET));
    host.turn();
    assertEquals(kept.length, 8);
    host.turn();
    assertEquals(kept.length, 12);
    for (const fd of [...kept, ...clients]) fd.close();
  }));

/** A loop that turns everybody away, 1,000 a second. */
function turningAway(host: Host, listener: OwnedFd, what: string): AcceptLoop {
  return new AcceptLoop({
    listener,
    host,
    log: SILENT,
    what,
    turnedAwayASecond: 1000,
    onPeer: (socket) => (socket.close(), "turned-away"),
  });
}

Deno.test("who is turned away is taken a few a turn, and no faster than the pace", () =>
  listening((listener, path) => {
    const host = new Host();
    using loop = turningAway(host, listener, path);
    const clients = Array.from({ length: 120 }, () => connectUnix(path, SOCKET.SEQPACKET));
    for (let i = 0; i < 3; i++) host.turn();
    assertEquals(loop.turnedAway, 12, "four a turn");
    for (let i = 0; i < 200; i++) host.turn();
    assertEquals(loop.turnedAway, 65, "those that may come at first, and the one that is over");
    assert(host.watched === null, "the listener is left alone meanwhile");
    for (let i = 0; i < 21; i++) {
      host.clock.advance(MS);
      host.turn();
    }
    assert(
      loop.turnedAway >= 80 && loop.turnedAway <= 86,
      `${loop.turnedAway} after 21 ms at 1,000 a second`,
    );
    for (const fd of clients) fd.close();
  }));

Deno.test("a backlog that never ends is emptied faster after a second", () =>
  listening((listener, path) => {
    const host = new Host();
    using loop = turningAway(host, listener, path);
    // As many come as are turned away: there is always one more.
    const refill = (): void => {
      for (let i = 0; i < 40; i++) connectUnix(path, SOCKET.SEQPACKET).close();
    };
    const round = (): number => {
      const before = loop.turnedAway;
      for (let i = 0; i < 20; i++) {
        host.clock.advance(MS);
        host.turn();
      }
      return loop.turnedAway - before;
    };
    refill();
    refill();
    for (let i = 0; i < 30; i++) host.turn();
    const slow = round();
    assert(slow >= 14 && slow <= 24, `${slow} in 20 ms`);
    refill();
    host.clock.advance(SECOND);
    host.turn();
    const fast = round();
    assert(fast > 2 * slow, `${fast} in 20 ms, and ${slow} before`);
  }));

Deno.test("what the taker throws ends that peer only", () =>
  listening((listener, path) => {
    const host = new Host();
    const faults: unknown[] = [];
    const kept: OwnedFd[] = [];
    using _loop = new AcceptLoop({
      listener,
      host,
      log: SILENT,
      what: path,
      onFault: (error) => faults.push(error),
      onPeer: (socket) => {
        if (kept.length === 0 && faults.length === 0) throw new TypeError("odd peer");
        kept.push(socket);
        return "kept";
      },
    });
    const clients = [connectUnix(path, SOCKET.SEQPACKET), connectUnix(path, SOCKET.SEQPACKET)];
    host.turn();
    host.turn();
    assertEquals([faults.length, kept.length], [1, 1]);
    for (const fd of [...clients, ...kept]) fd.close();
  }));

Deno.test("a listener that is no socket is a fault, and it is tried again later", () =>
  listening((listener, path) => {
    const host = new Host();
    using loop = new AcceptLoop({ listener, host, log: SILENT, what: path, onPeer: () => "kept" });
    using guard = new AcceptGuard({ log: SILENT, what: path });
    using bell = EventFd.create();
    assertThrows(() => guard.accept(bell.fd, 1), OsError);
    loop.onFault();
    assert(host.watched === null);
    host.clock.advance(SHORTAGE_PAUSE_NS);
    host.turn();
    assert(host.watched !== null);
  }));

const PROGRAM = new URL("accept_shortage_program.ts", import.meta.url).pathname;

Deno.test("out of descriptors: told once, rested, one peer by the spare one, and it goes on", async () => {
  const { code, stdout, stderr } = await new Deno.Command("prlimit", {
    args: ["--nofile=64:64", Deno.execPath(), "run", "-A", "--no-check", PROGRAM],
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  assertEquals(JSON.parse(text), {
    first: "spare",
    second: "rests",
    third: "rests",
    afterwards: "plain",
    lines: ["error", "info"],
  });
});
