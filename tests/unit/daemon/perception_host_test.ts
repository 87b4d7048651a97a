// The main thread's side of perception: a worker that hangs is noticed, ended and replaced; one that goes
// round is left alone.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { EventFd } from "../../../ffi/event_fd.ts";
import { isPeerGone } from "../../../ffi/datagram.ts";
import { readInto } from "../../../ffi/stream.ts";
import { acceptUnix, listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { Log } from "../../../src/base/log.ts";
import { PerceptionLoop } from "../../../src/controls/perception/perception_loop.ts";
import { PerceptionHost } from "../../../src/daemon/perception_host.ts";
import { until } from "../../fixtures/daemon_process.ts";

const HANGING = new URL("../../fixtures/hanging_worker.ts", import.meta.url);

Deno.test({
  name: "a perception worker that hangs is taken off the bus, replaced, told and counted",
  // The threads of workers that hang end in their own time.
  sanitizeResources: false,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      using listener = listenUnix(`${folder}/bus.sock`, SOCKET.SEQPACKET);
      const lines: string[] = [];
      const log = new Log("vmsig", "info", (line) => lines.push(line), false);
      using host = new PerceptionHost(`${folder}/bus.sock`, "info", false, log, {
        workerUrl: HANGING,
        checkMs: 25,
        restartMs: 50,
      });
      host.want();
      for (let round = 1; round <= 2; round++) {
        let joined = acceptUnix(listener.fd);
        await until("it joins", () => (joined ??= acceptUnix(listener.fd)) !== undefined);
        using connection = joined!;
        await until("its connection has ended", () => {
          const read = readInto(connection.fd, new Uint8Array(1), 0, 1);
          return read === 0 || isPeerGone(read);
        });
        assertEquals(host.replaced, round);
      }
      assertEquals(lines.length >= 2, true);
      for (const line of lines) assertMatch(line, /perception.*it hangs, and is replaced/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("perception says that it goes round, also while there is no daemon", () => {
  using bell = EventFd.create();
  let beats = 0;
  const loop = new PerceptionLoop({
    socketPath: "/nonexistent/bus.sock",
    bellFd: bell.fd,
    onBeat: () => {
      if (++beats === 2) bell.signal();
    },
  }, new Log("perception", "error", () => {}, false));
  loop.run();
  assert(beats >= 2);
});
