/**
 * Which descriptors count as given to this process, and by which names. That real ones work is shown with a
 * real daemon (tests/guest/qmp_listen.test.ts).
 * @module
 */
import "../../ffi/loaded_shim.ts";
import { assertMatch, assertThrows } from "@std/assert";
import { SOCKET, socketPair } from "../../../../ffi/unix_socket.ts";
import { Fault } from "../../../../src/base/fault.ts";
import { InheritedSockets } from "../../../../src/qemu/monitor/inherited_sockets.ts";

function refusalOf(descriptor: number | string, env: Readonly<Record<string, string>> = {}): string {
  const sockets = new InheritedSockets((name) => env[name]);
  return assertThrows(() => sockets.take(descriptor), Fault).message;
}

Deno.test("a name is looked for among those that systemd gives this very process", () => {
  assertMatch(refusalOf("web"), /the descriptor web as a monitor: systemd gives this process none; set File/);
  const given = { LISTEN_PID: `${Deno.pid}`, LISTEN_FDS: "2", LISTEN_FDNAMES: "db:mail:web" };
  assertMatch(
    refusalOf("web", given),
    /systemd gives db, mail; set FileDescriptorName=web in a \.socket unit/,
  );
  assertMatch(refusalOf("db", { ...given, LISTEN_PID: "1" }), /systemd gives this process none/);
  for (const count of ["", "x", "-1", "0"]) {
    assertMatch(refusalOf("db", { ...given, LISTEN_FDS: count }), /systemd gives this process none/, count);
  }
  assertMatch(refusalOf("db", { ...given, LISTEN_FDNAMES: "db:db" }), /systemd gives several of that name/);
});

Deno.test("a number that is not open, or that this process has opened itself, is refused", () => {
  assertMatch(refusalOf(65_000), /this process was not started with it$/);
  const [near, far] = socketPair(SOCKET.STREAM);
  assertMatch(refusalOf(near.fd), /this process was not started with it, and has opened it itself/);
  near.close();
  far.close();
});
