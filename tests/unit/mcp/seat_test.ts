/**
 * A model's seat when the daemon goes and comes back: nobody has taken its keyboard, and it goes on. And when
 * all is slow.
 */
import "../ffi/loaded_shim.ts";
import { assert, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { DEFAULT_TIMEOUT_MS } from "../../../src/client/command_options.ts";
import { connect } from "../../../src/client/connect.ts";
import { Seat } from "../../../src/mcp/seat.ts";
import { DaemonProcess, until } from "../../fixtures/daemon_process.ts";

Deno.test("mcp: a seat takes keyboard and mouse anew from a daemon that was restarted", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-seat-" });
  let daemon = await DaemonProcess.start({ stubs: 1, folder });
  try {
    const { socket } = daemon;
    await using seat = await Seat.open({
      join: (sub, reconnect) => connect({ socket, name: "seat", sub, reconnect }),
      limits: { readOnly: false, noPower: false, endpoints: [] },
      tell: () => {},
    });
    const [vm] = await seat.roster();
    assert(vm !== undefined);
    const { signal } = new AbortController();
    await seat.withInput(vm.endpoint, signal, () => Promise.resolve());
    assert(seat.hasInput(vm.endpoint));

    // One that is in the middle is told what happened, and not that somebody has taken them.
    const begun = Promise.withResolvers<void>();
    const middle = seat.withInput(vm.endpoint, signal, async (input) => {
      begun.resolve();
      for (;;) await input.move(1, 1);
    });
    const failed = assertRejects(() => middle, Fault);
    await begun.promise;
    await daemon[Symbol.asyncDispose]();
    const { code, message } = await failed;
    // How the daemon ended decides which of them.
    assert(code === "unreachable" || code === "seam-down", message);

    daemon = await DaemonProcess.start({ stubs: 1, folder });
    await until("it is back", async () => {
      try {
        return (await seat.roster()).length === 1;
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        return false;
      }
    });
    await seat.withInput(vm.endpoint, signal, () => Promise.resolve());
    assert(seat.hasInput(vm.endpoint));
  } finally {
    await daemon[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("mcp: input that is confirmed later than a command's usual time has been done, and is not told to have failed", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const { socket } = daemon;
  await using seat = await Seat.open({
    join: (sub, reconnect) => connect({ socket, name: "seat", sub, reconnect }),
    limits: { readOnly: false, noPower: false, endpoints: [] },
    tell: () => {},
  });
  const [vm] = await seat.roster();
  assert(vm !== undefined);
  const { signal } = new AbortController();
  await seat.withInput(vm.endpoint, signal, () => Promise.resolve());
  Deno.kill(daemon.pid, "SIGSTOP");
  try {
    await until(
      "all its threads stand still",
      () =>
        [...Deno.readDirSync(`/proc/${daemon.pid}/task`)].every(({ name }) =>
          / T /.test(Deno.readTextFileSync(`/proc/${daemon.pid}/task/${name}/stat`))
        ),
    );
    const moved = seat.withInput(vm.endpoint, signal, (input) => input.move(1, 1));
    await Promise.race([moved, new Promise((resolve) => setTimeout(resolve, DEFAULT_TIMEOUT_MS + 1000))]);
    Deno.kill(daemon.pid, "SIGCONT");
    await moved;
  } finally {
    Deno.kill(daemon.pid, "SIGCONT");
  }
});
