/**
 * A VM that no QEMU runs is named by the probe, so that who looks for it knows why it is not there. The
 * processes are copies of `sleep` under those programs' names: a name is all that the probe goes by.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { otherVmmOf } from "../../../src/qemu/program.ts";
import { vmsig } from "../../fixtures/daemon_process.ts";

Deno.test("probe: a VM of another VMM is said to be that", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-foreign-" });
  const children: Deno.ChildProcess[] = [];
  try {
    for (const name of ["firecracker", "cloud-hypervisor", "crosvm"]) {
      await Deno.copyFile(await Deno.realPath("/bin/sleep"), `${folder}/${name}`);
      children.push(new Deno.Command(`${folder}/${name}`, { args: ["3600"], stdin: "null" }).spawn());
    }
    const { code, text } = await vmsig(["probe"]);
    assertEquals(code, 0);
    for (const [i, vmm] of ["Firecracker", "Cloud Hypervisor", "crosvm"].entries()) {
      const { pid } = children[i] as Deno.ChildProcess;
      assertMatch(
        text,
        new RegExp(`^process ${pid} is a VM of ${vmm}, which is no QEMU: vmsig joins QEMU's alone$`, "m"),
      );
    }
  } finally {
    for (const child of children) {
      child.kill("SIGKILL");
      await child.status;
    }
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("another VMM is known by its program, also when that was replaced or wrapped", () => {
  assertEquals(
    ["/opt/kata/bin/cloud-hypervisor", "/usr/bin/firecracker (deleted)", "/nix/store/x/.crosvm-wrapped"].map(
      otherVmmOf,
    ),
    ["Cloud Hypervisor", "Firecracker", "crosvm"],
  );
  assertEquals(["/usr/bin/qemu-system-x86_64", "/bin/sleep", ""].map(otherVmmOf), [
    undefined,
    undefined,
    undefined,
  ]);
});
