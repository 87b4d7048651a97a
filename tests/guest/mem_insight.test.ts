/**
 * What can be known of a real Linux guest beyond its lists, against its own dmesg and /proc: the kernel's log
 * (of one that has panicked, too), what processes are doing, their files, sockets, environments, mounts; and
 * its types.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Process } from "../../src/guest/process.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { checkInsight, insightOf, whole } from "./insight_checks.ts";
import { found } from "./linux_checks.ts";
import { startSavedGuest } from "./saved_guest.ts";

Deno.test("a Linux guest's log, processes, files, sockets and mounts are its own", async (t) => {
  await using vm = await startSavedGuest({ ramMiB: 512, programs: ["procs", "insight"] });
  const procs = await vm.agent.start("procs", "20", "2");
  await procs.lineMatching(/^ready/);
  using ram = openQemuRam(vm.pid);

  const os = found(ram);
  await checkInsight(t, vm, os);
  const insight = insightOf(os);
  await t.step("symbols of loaded modules are those of its /proc/kallsyms", async () => {
    const lines = (await vm.agent.cat("/proc/kallsyms")).split("\n");
    const places = new Map<string, Set<number>>();
    const names = new Map<number, Set<string>>();
    let count = 0;
    for (const line of lines) {
      const [, hex = "", symbol = "", module] = /^([0-9a-f]{16}) \w ([^\t]+)\t\[(.+)\]$/.exec(line) ?? [];
      // Programs that the kernel compiles for BPF stand there as well; they are no module's.
      if (module === undefined || /^(bpf|__builtin__)/.test(module)) continue;
      const address = Number(BigInt.asIntN(64, BigInt(`0x${hex}`)));
      const name = `${module}:${symbol}`;
      places.set(name, (places.get(name) ?? new Set()).add(address));
      names.set(address, (names.get(address) ?? new Set()).add(name));
      count++;
    }
    assert(count > 20, `${count} symbols of modules`);
    const step = Math.ceil(places.size / 200);
    const some = [...places].filter((_, i) => i % step === 0);
    for (const [name, addresses] of some) {
      const address = os.symbol(name);
      assert(address !== undefined && addresses.has(address), `${name} is at ${address}`);
      const nearest = os.nearestSymbol(address);
      assert(nearest !== undefined && nearest.offsetBytes === 0 && nearest.module !== undefined, name);
      assert(names.get(address)?.has(`${nearest.module}:${nearest.name}`), `${name} is ${nearest.name}`);
    }
    const [first = ""] = some[0] ?? [];
    const own = first.slice(first.indexOf(":") + 1);
    assert(os.symbol(own) !== undefined, "a module's name need not be told");
    assertEquals(os.symbol(`no_such_module:${own}`), undefined);
    assertEquals(os.symbol("no_such_symbol_of_a_module"), undefined);
  });
  await t.step("values are the kernel's, and pointers lead where they should", () => {
    const init = os.symbol("init_task") as number;
    const value = insight.value("task_struct", init, { follow: ["next"] });
    assert(value !== undefined && !("unsupported" in value) && value.kind === "struct");
    const field = (name: string) => value.members.find((member) => member.name === name)?.value;
    const comm = field("comm");
    assert(comm?.kind === "text" && comm.text === "swapper/0");
    const pid = field("pid");
    assert(pid?.kind === "integer" && pid.value === 0n);
    // The list of all processes: it goes in a circle, and init_task's own links are a part of the whole.
    const tasks = field("tasks");
    assert(tasks?.kind === "struct");
    const next = tasks.members[0]?.value;
    assert(next?.kind === "pointer" && typeof next.target === "object");
    const first = os.process(1) as Process;
    const parent = insight.value("task_struct", first.object, { follow: ["real_parent", "mm"] });
    assert(parent !== undefined && !("unsupported" in parent) && parent.kind === "struct");
    const real = parent.members.find(({ name }) => name === "real_parent")?.value;
    assert(real?.kind === "pointer" && real.symbol === "init_task" && typeof real.target === "object");
    assertEquals(insight.value("no_such_type", init), undefined);
  });
});

Deno.test("the log of a Linux guest that has panicked holds the panic", async () => {
  await using vm = await startSavedGuest({
    ramMiB: 512,
    devices: ["pvpanic"],
    extraArgs: ["-action", "panic=pause"],
  });
  await vm.agent.power("panic");
  await vm.waitForConsole(/Kernel panic - not syncing/);
  using ram = openQemuRam(vm.pid);
  const insight = insightOf(found(ram));
  const text = whole(insight.log()).map((record) => record.text).join("\n");
  assertMatch(text, /sysrq: Trigger a crash/);
  assertMatch(text, /Kernel panic - not syncing: sysrq triggered crash/);
});
