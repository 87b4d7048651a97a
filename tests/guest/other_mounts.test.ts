/**
 * A QEMU in a mount namespace of its own, as in a container: its monitor and its console lie where nobody
 * else sees them, behind a link that leads elsewhere from here, and are found all the
 * same.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { pathFromHere, pathFromHereSync } from "../../src/qemu/other_root.ts";
import { probeHost } from "../../src/roster/host_probe.ts";
import { ProcHost } from "../../src/roster/proc_host.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";

const START = `set -e
mount -t tmpfs none "$0/inner"
ln -s "$0/inner" "$0/inner/link"
exec "$@"`;

Deno.test({
  name: "a QEMU in another mount namespace is attached by its own paths: monitor and console",
  ignore: Deno.uid() !== 0,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-mounts-" });
    await Deno.mkdir(`${folder}/inner`);
    const at = `${folder}/inner/link`;
    const socket = (id: string) => `socket,id=${id},path=${at}/${id},server=on,wait=off`;
    const words = ["-nodefaults", "-machine", "q35,accel=tcg", "-m", "32", "-S", "-display", "none"];
    words.push("-name", "inside", "-qmp", `unix:${at}/qmp,server=on,wait=off`);
    words.push("-chardev", socket("serial"), "-serial", "chardev:serial", "-device", "virtio-serial");
    words.push(
      "-chardev",
      socket("qga"),
      "-device",
      "virtserialport,chardev=qga,name=org.qemu.guest_agent.0",
    );
    const args = ["-m", "sh", "-c", START, folder, "qemu-system-x86_64", ...words];
    const qemu = new Deno.Command("unshare", { args, stdin: "null" }).spawn();
    try {
      const { pid } = qemu;
      const find = async () =>
        (await probeHost(new ProcHost())).find((vm) => vm.pid === pid && vm.qmp !== "");
      await until("it is found", async () => await find() !== undefined, 60_000);
      const place = `/proc/${pid}/root${folder}/inner/qmp`;
      assertEquals((await find())?.qmp, place);
      // What is the same file for both is called by its plain name.
      assertEquals(await pathFromHere(pid, "/etc/passwd"), "/etc/passwd");
      assertEquals([pathFromHereSync(pid, `${at}/qmp`), pathFromHereSync(pid, `${at}/none`)], [
        place,
        `${at}/none`,
      ]);

      await using daemon = await DaemonProcess.start({
        config: `[[endpoint]]\nname = "inside"\nqmp = "${place}"\n`,
      });
      await using client = await daemon.connect("watches");
      await until("its seams are up", () => {
        const seams = client.roster.list().find(({ name }) => name === "inside")?.seams ?? [];
        return ["vmhost", "console"].every((seam) => seams.includes(seam));
      }, 20_000);
      assertEquals((await client.vmState("inside")).state, "paused");
      const console = await client.console("inside", { port: 0 });
      await console[Symbol.asyncDispose]();
      const probed = await vmsig(["probe"]);
      assertMatch(probed.text, /inside \(\d+\) has: serial unix:.*, agent unix:/);
    } finally {
      qemu.kill("SIGKILL");
      await qemu.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
});
