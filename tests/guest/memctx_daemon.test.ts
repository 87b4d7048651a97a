/**
 * MEMCTX as the daemon serves it: the scan on its worker, the context over the socket to whoever comes when,
 * `vmsig mem` as a person calls it, and no work once a context stands.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Mapping } from "../../ffi/mapping.ts";
import { statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import { assertThrows } from "@std/assert";
import type { ClientEvent } from "../../src/client/client_event.ts";
import { GuestView } from "../../src/client/guest_view.ts";
import { MEMCTX } from "../../src/event/body_layout.ts";
import { DaemonProcess, vmsig } from "../fixtures/daemon_process.ts";
import { checkPids } from "./mem_guest.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** The config of a daemon with one endpoint, "vm". */
const config = (vm: Qemu, more = "") =>
  `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\n${more}`;

const lines = (text: string) => text.trim().split("\n").map((line) => JSON.parse(line));
const epochOf = (event: ClientEvent) => event.view.getUint32(MEMCTX.at.epoch, true);

Deno.test("mem over the daemon: context, reboot, late subscribers, and rest", async () => {
  await using vm = await startSavedGuest({ programs: ["procs"] });
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await using early = await daemon.connect("early");
  const stream = early.events({ kinds: ["MEMCTX", "MEMCTX_INVALIDATED", "VM_LIFECYCLE"] });
  const next = async (kind: string): Promise<ClientEvent> => {
    for (;;) {
      const { value, done } = await stream.next();
      assert(!done, `${kind} comes`);
      if (value.kindName === kind) return value.detach();
    }
  };
  {
    using first = await next("MEMCTX");
    assertEquals([epochOf(first), first.fdCount], [1, 1]);
    assertEquals(statFd(first.fd(0)).mode & 0o777, 0o400);
    assertThrows(() => Mapping.map(first.fd(0), 0, 4096, { write: true }), OsError, "EACCES");
  }
  // A late subscriber opens the guest by itself: its processes are the guest's own.
  {
    await using late = await daemon.connect("late");
    await using view = await GuestView.open(late, "vm");
    assert(view.guest.found);
    const { os } = view.guest;
    await checkPids(vm, () => os.processes().items.map(({ pid }) => pid));
    await view.check();
    await vm.agent.power("reboot");
    using ended = await next("MEMCTX_INVALIDATED");
    assertEquals(ended.view.getUint32(0, true), 1);
    assertEquals((await next("VM_LIFECYCLE")).view.getUint32(0, true), 3, "the reset is told behind it");
    // What the late one still holds is of the past, and it is told so.
    const refused = await view.check().then(() => "fine", (error: Error) => error.message);
    assertStringIncludes(refused, "reset or ended while it was read");
  }
  await vm.agent.ready(2);
  using second = await next("MEMCTX");
  assertEquals(epochOf(second), 2);
  // With a context it rests: a daemon that polled would not.
  await daemon.rests(0.3);
  await stream.return();
});

Deno.test("mem as a command: over the daemon and by pid, for a person and as JSON", async () => {
  await using vm = await startSavedGuest({ programs: ["pattern"] });
  const program = await vm.agent.start("pattern", "1", "7");
  const [, base = ""] = await program.lineMatching(/^ready \d+ (0x[0-9a-f]+) \d+/);
  const pid = `${program.pid}`;
  const write =
    `[write]\nextents = [{ endpoint = "vm", space = "process", from = "${base}", to = "0x7fffffffffff" }]\n`;
  await using daemon = await DaemonProcess.start({ config: config(vm, write) });
  await daemon.hasContext("vm");
  for (
    const [target, ...more] of [["vm", "--socket", daemon.socket], [`pid:${vm.pid}`]] as [
      string,
      ...string[],
    ][]
  ) {
    const mem = (...args: string[]) => vmsig(["mem", target, ...args, ...more]);
    const info = lines((await mem("info", "--json")).text)[0];
    assertEquals([info.os, info.levels, info.kpti, info.ramBytes], ["linux", 4, false, 512 * 2 ** 20]);
    assertEquals([info.version, info.epoch], [vm.agent.release, target === "vm" ? 1 : null]);
    const ps = lines((await mem("ps", "--json")).text) as { pid: number; name: string; root: string }[];
    assertEquals(ps.find((process) => process.pid === program.pid)?.name, "pattern");
    assertMatch((await mem("ps")).text, new RegExp(`^${pid} +\\d+ +0x[0-9a-f]+ +pattern$`, "m"));
    const maps = lines((await mem("maps", pid, "--json")).text) as { start: string; perms: string }[];
    const inGuest = (await vm.agent.cat(`/proc/${pid}/maps`)).trim().split("\n")
      .filter((line) => !line.includes("[vsyscall]")).map((line) => line.split(/\s+/).slice(0, 2).join(" "));
    const seen = maps.map((map: { start: string; perms: string; end?: string }) =>
      `${map.start.slice(2).padStart(8, "0")}-${map.end?.slice(2).padStart(8, "0")} ${map.perms}`
    ).filter((line) => !line.startsWith("ffffffffff600000"));
    assertEquals(seen, inGuest);
    const modules = lines((await mem("modules", "--json")).text) as { name: string }[];
    const loaded = (await vm.agent.cat("/proc/modules")).trim().split("\n").map((line) => line.split(" ")[0]);
    assertEquals(modules.map(({ name }) => name).sort(), loaded.sort());
    const written = await mem("write", pid, base, "de ad be ef");
    assertEquals([written.code, written.errors], [0, ""]);
    await program.write("peek 0 4\n");
    assertEquals(await program.line(), "peek deadbeef");
    assertEquals(lines((await mem("read", pid, base, "4", "--json")).text), [{ gva: base, hex: "deadbeef" }]);
    assertEquals(
      (await mem("read", pid, base, "4", "--raw")).bytes,
      new Uint8Array([0xde, 0xad, 0xbe, 0xef]),
    );
    assertStringIncludes((await mem("read", pid, base, "32")).text, "de ad be ef");
    assertEquals(lines((await mem("find", pid, "deadbeef", "--json")).text), [{ gva: base }]);
    await program.write("poke 0 00000000\n");
    await program.line();
    const faults: [string[], number, RegExp][] = [
      [["read", "kernel", "0x10", "8"], 1, /^vmsig: not-mapped: Cannot read 8 bytes at 0x10/],
      [["read", "kernel", "0x8000000000000000", "8"], 1, /non-canonical/],
      [["read", pid, base, "0"], 2, /^vmsig: usage: .* is not a valid length/],
      [["read", pid, base, "0x10000000000"], 2, /^vmsig: usage: .*too many to read at once/],
      [["read", "999999", base, "8"], 1, /^vmsig: bad-argument: Cannot find process 999999/],
      [["write", pid, base, "xyz"], 2, /not bytes in hexadecimal/],
      [
        ["write", pid, "0x400000", "00"],
        1,
        target === "vm" ? /^vmsig: outside-extent/ : /^vmsig: refused: .* mapped read-only/,
      ],
      [["maps", "kernel"], 2, /takes a process number/],
      [["dance"], 2, /there is no action dance/],
    ];
    for (const [args, code, message] of faults) {
      const outcome = await mem(...args);
      assertEquals([outcome.code, outcome.text], [code, ""], `${args.join(" ")}: ${outcome.errors}`);
      assertMatch(outcome.errors, message);
    }
  }
});
