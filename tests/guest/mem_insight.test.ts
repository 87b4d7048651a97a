/**
 * What can be known of a real Linux guest beyond its lists, against its own dmesg and /proc: the kernel's log
 * (of one that has panicked, too), what processes are doing, their files, sockets, environments, mounts; and
 * its types.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertMatch } from "@std/assert";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { checkInsight, insightOf, whole } from "./insight_checks.ts";
import { found } from "./linux_checks.ts";
import { startGuest } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

Deno.test("a Linux guest's log, processes, files, sockets and mounts are its own", async (t) => {
  await using vm = await startSavedGuest({ ramMiB: 512, programs: ["procs", "insight"] });
  const procs = await vm.agent.start("procs", "20", "2");
  await procs.lineMatching(/^ready/);
  using ram = openQemuRam(vm.pid);

  await checkInsight(t, vm, found(ram));
});

Deno.test("the log of a Linux guest that has panicked holds the panic", async () => {
  await using vm = await startGuest({
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
