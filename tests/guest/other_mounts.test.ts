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
import { agentChannel, agentFiles, START_AGENT } from "./agent_payload.ts";
import { exists } from "./content_cache.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";

/** Connects to a socket, and keeps it until its input ends. */
const HOLDER = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
print("connected", flush=True); sys.stdin.read()`;

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
      await until("it is found", async () => await find() !== undefined, 180_000);
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
      }, 180_000);
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

Deno.test({
  name: "the guest's agent of a QEMU in another mount namespace answers, by its channel's own path",
  ignore: Deno.uid() !== 0,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-mounts-" });
    try {
      await Deno.mkdir(`${folder}/inner`);
      const channel = `${folder}/inner/link/ga.sock`;
      await using vm = await startSavedGuest({
        programs: ["worker"],
        modules: ["virtio_pci", "virtio_console"],
        files: await agentFiles(),
        extraArgs: agentChannel(channel),
        wrapper: ["unshare", "-m", "sh", "-c", START, folder],
      });
      assertEquals(await exists(channel), false, "it is not to be seen from here");
      await vm.agent.start(...START_AGENT);
      const echo = async (): Promise<Awaited<ReturnType<typeof vmsig>>> => {
        await using daemon = await DaemonProcess.start({
          config: `[[endpoint]]\nname = "inside"\nqmp = "${vm.qmpPath}"\n`,
        });
        await using client = await daemon.connect("watches");
        await until("the agent is up", () => {
          return client.roster.list().find(({ name }) => name === "inside")?.seams.includes("agent") === true;
        }, 180_000);
        return await vmsig([
          "exec",
          "inside",
          "--socket",
          daemon.socket,
          "--",
          "/bin/worker",
          "echo",
          "hello",
        ]);
      };
      const said = await echo();
      assertEquals([said.code, said.text, said.errors], [0, "hello\n", ""]);
      // Another client has its channel: it is named.
      const holder = new Deno.Command("nsenter", {
        args: ["-t", `${vm.pid}`, "-m", "python3", "-c", HOLDER, channel],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      try {
        for await (const bytes of holder.stdout.values({ preventCancel: true })) {
          if (bytes.includes(10)) break;
        }
        const refused = await echo();
        assertEquals(refused.code, 1);
        assertMatch(
          refused.errors,
          new RegExp(
            `another client has the agent's channel: process ${holder.pid} \\(python3\\); disconnect it`,
          ),
        );
      } finally {
        await holder.stdin.close();
        await holder.stdout.cancel();
        await holder.status;
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
