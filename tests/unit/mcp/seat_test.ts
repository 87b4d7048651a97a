/**
 * A model's seat when the daemon goes and comes back: nobody has taken its keyboard, and it goes on. And when
 * all is slow.
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { connect } from "../../../src/client/connect.ts";
import { power, vmState } from "../../../src/mcp/power_tools.ts";
import { Seat } from "../../../src/mcp/seat.ts";
import type { Tool, ToolAnswer, ToolHost } from "../../../src/mcp/tool.ts";
import { DaemonProcess, until } from "../../fixtures/daemon_process.ts";
import { stopProcess } from "../../fixtures/stopped_process.ts";

/** What a daemon or a QEMU on a busy machine may well take, ms: more than a client waited until now. */
const SLOW_MS = 6000;

/** Calls a tool as the SDK's server does. */
async function called(seat: Seat, tool: Tool, args: object): Promise<void> {
  const calls: Promise<ToolAnswer>[] = [];
  const server: ToolHost = {
    registerTool: (name, _config, run) =>
      calls.push(run(args, { mcpReq: { id: name, signal: new AbortController().signal } })),
  };
  tool.register(server, seat);
  const answers = await Promise.all(calls);
  assertEquals(answers.map(({ isError = false, content }) => isError ? content : []), [[]]);
}

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

Deno.test("mcp: what is confirmed late has been done, and is not told to have failed", async () => {
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
  await stopProcess(daemon.pid);
  try {
    const asked = Promise.all([
      seat.withInput(vm.endpoint, signal, (input) => input.move(1, 1)),
      called(seat, vmState, { vm: vm.name }),
      called(seat, power, { vm: vm.name, operation: "reset" }),
      // A stub has no console: what matters is that its answer is awaited.
      assertRejects(() => seat.console(vm.endpoint, 0), Fault, "cannot do it"),
    ]);
    await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, SLOW_MS))]);
    Deno.kill(daemon.pid, "SIGCONT");
    await asked;
    assert(await seat.giveBack(vm.endpoint));
  } finally {
    Deno.kill(daemon.pid, "SIGCONT");
  }
});
