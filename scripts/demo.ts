/**
 * The demonstration: a small real Linux guest under TCG, and vmsig at work on it. Everything that it starts is its
 * own and is gone at the end, also after Ctrl-C. scripts/demo sets up what it needs and runs it.
 * @module
 */
import { exitCodeOf, messageOf } from "../src/base/fault.ts";
import { type Qemu, startGuest } from "../tests/guest/qemu.ts";

/** One aligned line. */
function show(what: string, detail: string): void {
  console.log(`${what.padEnd(12)} ${detail}`);
}

/** Boots the guest that everything is shown on: 512 MiB of shared RAM, a keyboard and a tablet. */
async function bootGuest(): Promise<Qemu> {
  const started = performance.now();
  const vm = await startGuest({
    programs: ["evrec"],
    devices: ["virtio-input", "pvpanic"],
    qmpSockets: 1,
    name: "demo",
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  show(
    "guest",
    `Linux ${vm.agent.release}, q35, 512 MiB, booted in ${seconds} s (QEMU is process ${vm.pid}, under TCG)`,
  );
  return vm;
}

async function demo(): Promise<void> {
  await using vm = await bootGuest();
  const interrupt = () => {
    vm[Symbol.asyncDispose]().then(() => Deno.exit(130), () => Deno.exit(130));
  };
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    show("qmp", vm.qmpPath);
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
  await vm.agent.power("poweroff");
  await vm.ended;
  show("guest", "powered off; nothing is left behind");
}

try {
  await demo();
} catch (error) {
  console.error(`vmsig: ${messageOf(error)}`);
  Deno.exit(exitCodeOf(error));
}
