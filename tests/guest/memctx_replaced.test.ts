/**
 * MEMCTX when what it found is not what runs any more, or is hidden: RAM that loadvm has replaced, a VM that
 * only stood still, and a process that fills the guest with notes of kernels that are not there.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { MemctxRig } from "./memctx_rig.ts";
import { startGuest } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";

async function hmp(qmp: TestQmp, line: string): Promise<void> {
  assertEquals(await qmp.execute("human-monitor-command", { "command-line": line }), "", line);
}

Deno.test("MEMCTX: savevm, a reboot, loadvm: the context of the boot that was loaded; stop and cont: the same one", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-vmstate-" });
  try {
    const disk = `${dir}/state.qcow2`;
    const made = await new Deno.Command("qemu-img", { args: ["create", "-q", "-f", "qcow2", disk, "1G"] })
      .output();
    assert(made.success, "qemu-img makes a disk");
    const extraArgs = ["-drive", `if=none,id=state,format=qcow2,file=${disk}`];
    await using vm = await startSavedGuest({ ramMiB: 256, qmpSockets: 2, extraArgs });
    await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
    await using rig = new MemctxRig(vm.qmpPath);
    const listener = rig.join();
    const first = await rig.event(listener, "MEMCTX");
    await rig.during(hmp(qmp, "savevm one"));
    const stops = () => listener.of("VM_LIFECYCLE").length;
    for (let i = 0; i < 3; i++) {
      const before = stops();
      await rig.during(qmp.execute("stop"));
      await rig.during(qmp.execute("cont"));
      await rig.until("both to be told", () => stops() >= before + 2);
    }
    assertEquals(listener.of("MEMCTX_INVALIDATED"), []);
    // KASLR puts one boot in a hundred where the first was.
    let boots = 1;
    for (let root = first.fields["kcr3"]; root === first.fields["kcr3"]; boots++) {
      assert(boots <= 8, "the kernel lies in the same place 8 times");
      await rig.during(vm.agent.power("reboot"));
      root = (await rig.event(listener, "MEMCTX", boots + 1)).fields["kcr3"];
      assertEquals(listener.of("MEMCTX_INVALIDATED")[boots - 1]?.fields, { epoch: boots, reason: 0 });
      await rig.during(vm.agent.ready(boots + 1));
    }
    await rig.during(hmp(qmp, "loadvm one"));
    const loaded = await rig.event(listener, "MEMCTX", boots + 1);
    assertEquals(listener.of("MEMCTX_INVALIDATED")[boots - 1]?.fields, { epoch: boots, reason: 2 });
    assertEquals({ ...loaded.fields }, { ...first.fields, epoch: boots + 1 });
    // The one before the loaded one, once more: the VM is the same, and so is what was saved.
    await rig.during(hmp(qmp, "loadvm one"));
    await rig.during(qmp.execute("stop"));
    await rig.during(qmp.execute("cont"));
    assertEquals(listener.of("MEMCTX").length, boots + 1);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a process that writes 20,000 pages like a kernel's note hides no kernel", async () => {
  await using vm = await startGuest({ programs: ["decoys"] });
  const decoys = await vm.agent.start("decoys", "20000");
  await decoys.lineMatching(/^ready$/);
  using ram = openQemuRam(vm.pid);
  ram.memory.refresh();
  const found = findLinux(ram.memory);
  assert(found.found, found.found ? "" : found.detail);
  assert(!found.os.version.includes("decoy"));
  assert(found.os.processes().items.some(({ name }) => name === "decoys"));
  await using rig = new MemctxRig(vm.qmpPath);
  const told = await rig.event(rig.join(), "MEMCTX");
  assertEquals(Number(told.fields["kcr3"]), found.os.kernel.root);
});
