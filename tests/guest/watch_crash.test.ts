/**
 * `vmsig watch` of a guest that panics, and whose QEMU ends at once: the last records of its log stand beside
 * the event, as text and as JSON; not for who may not read its memory, and not when none is wanted.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { runHere } from "../unit/cli/command_world.ts";
import { startSavedGuest } from "./saved_guest.ts";

const SEAMS = ["vmhost", "input", "memctx", "frame"];

/** A watch that ends with the second event that it prints: the roster's entry, and the crash. */
class Watch {
  text = "";
  readonly ended: Promise<{ readonly code: number; readonly err: string }>;

  constructor(...words: string[]) {
    const decoder = new TextDecoder();
    const line = ["watch", "vm", "--kind", "ROSTER,VM_LIFECYCLE", "--count", "2", ...words];
    this.ended = runHere(line, (bytes) => void (this.text += decoder.decode(bytes)));
  }
}

Deno.test("the last records of a panicked guest's log come with the event, for who may read its memory", async () => {
  await using daemon = await DaemonProcess.start();
  await using vm = await startSavedGuest({ ramMiB: 512, devices: ["pvpanic"] });
  daemon.drop("vm", `name = "vm"\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n`);
  const socket = ["--socket", daemon.socket];
  const ready = await runHere(["wait", "vm", "--ready", ...socket]);
  assertEquals(ready.code, 0, ready.err);
  await daemon.hasContext("vm");
  // What the roster tells of the VM changes no more.
  {
    await using client = await daemon.connect("looks");
    const seams = () => client.roster.list()[0]?.seams ?? [];
    await until("all its seams", () => SEAMS.every((seam) => seams().includes(seam)));
  }
  const watches = {
    text: new Watch(...socket),
    json: new Watch("--json", ...socket),
    few: new Watch("--json", "--dmesg", "3", ...socket),
    none: new Watch("--dmesg", "0", ...socket),
  };
  await until("all have joined", () => Object.values(watches).every(({ text }) => text.includes("vm")));
  await vm.agent.power("panic");
  for (const [name, watch] of Object.entries(watches)) {
    const { code, err } = await watch.ended;
    assertEquals(code, 0, `${name}: ${err}`);
  }
  assertMatch(watches.text.text, /VM_LIFECYCLE +vm +crashed \(panic\)\n {2}\[ +[0-9.]+\] /);
  assertMatch(
    watches.text.text,
    /\n {2}\[ +[0-9.]+\] emerg +Kernel panic - not syncing: sysrq triggered crash/,
  );
  const crash = JSON.parse(watches.json.text.trim().split("\n")[1] ?? "");
  assertEquals([crash.kind, crash.stateName], ["VM_LIFECYCLE", "crashed"]);
  const panic = crash.dmesg.find(({ text }: { text: string }) => text.startsWith("Kernel panic"));
  assertEquals(panic?.level, 0);
  assert(crash.dmesg.length <= 41 && crash.dmesg.length > 10, `${crash.dmesg.length} records`);
  const few = JSON.parse(watches.few.text.trim().split("\n")[1] ?? "");
  assertEquals(
    few.dmesg.map(({ seq }: { seq: number }) => seq),
    [panic, ...crash.dmesg.slice(-3)].map(({ seq }: { seq: number }) => seq),
    "the last three, and the panic's own message",
  );
  assert(watches.none.text.includes("crashed") && !watches.none.text.includes("Kernel panic"));
  await vm.ended;
});
