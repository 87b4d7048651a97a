/**
 * Domains as virt-install writes them, (a) plain, (b) with memfd, (c) with an extra monitor, each with a real
 * guest: ls, watch, vm, key, type, mouse, screen by VNC, mem, console, exec, and a snapshot.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { agentFiles, startAgent } from "./agent_payload.ts";
import { buildGuest, INPUT_MODULES } from "./build.ts";
import { GuestAgent } from "./guest_agent.ts";
import { LIBVIRT_UID, Libvirtd } from "./libvirtd.ts";
import { KERNEL_WORDS } from "./qemu.ts";
import { virtInstallXml } from "./virt_install.ts";

/** A domain's second serial port, with the harness' agent behind it. */
class Port implements AsyncDisposable {
  readonly agent: GuestAgent;
  readonly #connection: Deno.Conn;
  readonly #serving: Promise<void>;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
    this.agent = new GuestAgent(connection);
    this.#serving = this.agent.serve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#serving;
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

async function has(client: Client, name: string, seam: string): Promise<void> {
  await until(`${name} has ${seam}`, () => {
    return client.roster.list().find((each) => each.name === name)?.seams.includes(seam) === true;
  }, 180_000);
}

/** Each thing that a person asks of a domain. */
async function allOf(daemon: DaemonProcess, web: string, pid: number, isShared: boolean): Promise<void> {
  const socket = ["--socket", daemon.socket];
  const run = async (command: string, ...args: string[]): Promise<string> => {
    const said = await vmsig([command, web, ...socket, ...args]);
    assertEquals([said.code, said.errors], [0, ""], `${command} ${args.join(" ")}`);
    return said.text;
  };
  const seen = vmsig(["watch", web, ...socket, "--kind", "VM_LIFECYCLE", "--count", "2"]);
  assertMatch(await run("vm", "query"), /running/);
  assertEquals(await run("exec", "--", "/bin/worker", "echo", "hello"), "hello\n");
  await run("key", "a");
  await run("type", "x");
  // virt-install's tablet is on USB, for which this guest has no driver: it is told, and not lost.
  const mouse = await vmsig(["mouse", web, ...socket, "move", "100", "100"]);
  assertEquals(mouse.code, 1);
  assertMatch(mouse.errors, /the guest does not use its tablet .*no driver reads it/);
  assertMatch(await run("screen", "-o", `${daemon.folder}/web.png`), /\d+x\d+, by vnc\b/);
  assert((await Deno.stat(`${daemon.folder}/web.png`)).size > 100);
  if (isShared) assertMatch(await run("mem", "ps"), /qemu-ga/);
  else {
    const refused = await vmsig(["mem", web, "ps", ...socket]);
    assertEquals(refused.code, 1);
    assertMatch(refused.errors, /not shared/);
    // Root reads what nobody shares.
    const byProcess = await vmsig(["mem", `pid:${pid}`, "ps"]);
    assertEquals([byProcess.code, byProcess.errors], [0, ""]);
    assertMatch(byProcess.text, /qemu-ga/);
  }
  assertMatch(await run("console", "list"), /charserial0 +serial/);
  assertMatch(await run("console", "--send", "\\n"), /^/);
  await run("vm", "save", "before");
  assertMatch(await run("vm", "snapshots"), /before/);
  await run("vm", "load", "before");
  await run("vm", "delete", "before");
  const { code, text } = await vmsig(["ls", ...socket]);
  assertEquals(code, 0);
  assertMatch(text, new RegExp(`${web} +up +.*frame \\(vnc\\)`));
  await run("vm", "stop");
  await run("vm", "cont");
  assertMatch((await seen).text, /VM_LIFECYCLE/);
}

for (const shape of ["plain", "memfd", "monitor"] as const) {
  Deno.test(`libvirt: everything of a domain of virt-install's, ${shape}`, async () => {
    const image = await buildGuest({
      programs: ["worker"],
      modules: [...INPUT_MODULES, "virtio_console"],
      files: await agentFiles(),
    });
    await using libvirt = await Libvirtd.start();
    const { folder } = libvirt;
    const [kernel, initrd, disk] = [`${folder}/vmlinuz`, `${folder}/initrd`, `${folder}/disk.qcow2`];
    await Deno.copyFile(image.kernelPath, kernel);
    await Deno.copyFile(image.initrdPath, initrd);
    const made = await new Deno.Command("qemu-img", { args: ["create", "-q", "-f", "qcow2", disk, "1G"] })
      .output();
    assert(made.success);
    for (const path of [kernel, initrd, disk]) await Deno.chown(path, LIBVIRT_UID, LIBVIRT_UID);
    const port = `${folder}/port`;
    const monitor = shape === "monitor" ? `${folder}/run/web.qmp` : "";
    const memfd = shape === "memfd";
    await libvirt.define(
      "web",
      virtInstallXml({ name: "web", kernel, initrd, words: KERNEL_WORDS, disk, port, memfd, monitor }),
      "--paused",
    );
    const serial = new Port(await Deno.connect({ transport: "unix", path: port }));
    try {
      await libvirt.virsh("resume", "web");
      await serial.agent.ready(1, 180_000);
      await startAgent(serial.agent);
      const named = shape === "monitor"
        ? `discover = false\n[[endpoint]]\nname = "web"\nqmp = "${monitor}"\n`
        : "";
      await using daemon = await DaemonProcess.start({ config: libvirt.config + named });
      await using client = await daemon.connect("watches");
      const web = shape === "monitor" ? "web" : libvirt.endpoint("web");
      for (const seam of ["vmhost", "frame", "input", "console"]) await has(client, web, seam);
      for (const seam of ["vmhost", "frame", "input", "console", "agent"]) await has(client, web, seam);
      if (memfd) await has(client, web, "memctx");
      await allOf(daemon, web, await libvirt.pid("web") as number, memfd);
    } finally {
      await libvirt.virsh("destroy", "web");
      await serial[Symbol.asyncDispose]();
    }
  });
}
