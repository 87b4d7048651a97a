/**
 * A libvirt in a container (KubeVirt's) tells the number that its QEMU has in there; the process is found by
 * the number that it has here. The QEMU is in a PID namespace and writes that file itself.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { domainProcess } from "../../src/hosts/libvirt/domain_process.ts";
import { until } from "../fixtures/daemon_process.ts";
import { onPath } from "./qemu.ts";

/** Processes whose command line has this word. */
function pidsWith(word: string): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => {
    try {
      return pid > 0 && Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").includes(word);
    } catch (error) {
      if (error instanceof Error) return false;
      throw error;
    }
  });
}

Deno.test({
  name: "libvirt: the process of a domain in another PID namespace is the one that it is here",
  ignore: Deno.uid() !== 0,
  async fn() {
    const program = await onPath("qemu-system-x86_64");
    assert(program !== undefined, "scripts/setup.sh guest installs QEMU");
    const folder = await Deno.makeTempDir({ prefix: "vmsig-inside-" });
    const file = `${folder}/qemu/run/web.pid`;
    await Deno.mkdir(`${folder}/qemu/run`, { recursive: true });
    const qemu = [program, "-machine", "none", "-S", "-display", "none", "-nodefaults", "-pidfile", file];
    const child = new Deno.Command("unshare", {
      args: ["--pid", "--fork", "--kill-child", ...qemu],
      stdin: "null",
    }).spawn();
    try {
      await until("QEMU has written its number", async () => {
        try {
          return (await Deno.readTextFile(file)).endsWith("\n");
        } catch (error) {
          if (error instanceof Deno.errors.NotFound) return false;
          throw error;
        }
      });
      assertEquals((await Deno.readTextFile(file)).trim(), "1", "in there it is the first process");
      const here = pidsWith(file).find((pid) => pid !== child.pid) as number;
      const root = `/proc/${here}/root`;
      assertEquals(domainProcess(`${root}${folder}/libvirt-sock`, "web"), { pid: here, uid: 0 });
      assertEquals(domainProcess(`${root}${folder}/libvirt-sock`, "db"), undefined);
      await Deno.writeTextFile(file, "4711\n");
      assertEquals(domainProcess(`${root}${folder}/libvirt-sock`, "web"), undefined);
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
});
