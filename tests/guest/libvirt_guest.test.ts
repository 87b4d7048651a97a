/**
 * A domain with a real guest in it, as a person with virt-manager has one: its screen by VNC past the
 * password, its second head, its text, its console, its agent, its memory; and all of it again when libvirtd
 * was started anew in between.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { AgentControl } from "../../src/client/agent_control.ts";
import type { Client } from "../../src/client/client.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { agentFiles, startAgent } from "./agent_payload.ts";
import { buildGuest, INPUT_MODULES } from "./build.ts";
import { GuestAgent } from "./guest_agent.ts";
import { LIBVIRT_UID, Libvirtd } from "./libvirtd.ts";
import { KERNEL_WORDS } from "./qemu.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A libvirtd with a domain that has booted, and the harness' own line into it. */
class GuestDomain implements AsyncDisposable {
  readonly libvirt: Libvirtd;
  readonly agent: GuestAgent;
  readonly #port: Deno.Conn;
  readonly #serving: Promise<void>;

  private constructor(libvirt: Libvirtd, port: Deno.Conn) {
    this.libvirt = libvirt;
    this.#port = port;
    this.agent = new GuestAgent(port);
    this.#serving = this.agent.serve();
  }

  static async start(name: string): Promise<GuestDomain> {
    const image = await buildGuest({
      programs: ["worker"],
      modules: [...INPUT_MODULES, "virtio_console"],
      files: await agentFiles(),
    });
    const libvirt = await Libvirtd.start();
    try {
      const { folder } = libvirt;
      // The checkout may be out of its user's reach.
      const kernel = `${folder}/vmlinuz`;
      const initrd = `${folder}/initrd`;
      await Deno.copyFile(image.kernelPath, kernel);
      await Deno.copyFile(image.initrdPath, initrd);
      for (const path of [kernel, initrd]) await Deno.chown(path, LIBVIRT_UID, LIBVIRT_UID);
      await libvirt.domain(name, {
        ramMiB: 512,
        memfd: true,
        isPaused: true,
        boot: { kernel, initrd, words: KERNEL_WORDS },
        devices: `<serial type='unix'><source mode='bind' path='${folder}/port'/><target port='1'/></serial>
          <graphics type='vnc' passwd='secret'><listen type='socket' socket='${folder}/vnc'/></graphics>
          <video><model type='virtio' heads='1'/></video>`,
      });
      const guest = new GuestDomain(
        libvirt,
        await Deno.connect({ transport: "unix", path: `${folder}/port` }),
      );
      await libvirt.virsh("resume", name);
      await guest.agent.ready(1, 360_000);
      return guest;
    } catch (error) {
      await libvirt[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.libvirt[Symbol.asyncDispose]();
    await this.#serving;
    try {
      this.#port.close();
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

/** Everything that a person asks of the domain. */
async function allOf(client: Client, daemon: DaemonProcess, web: string): Promise<void> {
  for (const seam of ["vmhost", "frame", "input", "console", "agent", "memctx"]) await has(client, web, seam);
  const socket = ["--socket", daemon.socket];
  const folder = daemon.folder;
  const run = async (...args: string[]): Promise<string> => {
    const said = await vmsig([args[0] as string, web, ...socket, ...args.slice(1)]);
    assertEquals([said.code, said.errors], [0, ""], args.join(" "));
    return said.text;
  };
  assertMatch(await run("screen", "-o", `${folder}/web.png`), /\d+x\d+, by (vnc|screendump|vram)\b/);
  const picture = decodePng(await Deno.readFile(`${folder}/web.png`));
  assert(picture.width >= 640 && picture.height >= 400, `${picture.width}x${picture.height}`);
  assertMatch(await run("screen", "--head", "1", "-o", `${folder}/second.png`), /screendump/);
  assertMatch(await run("screen", "--text"), /SeaBIOS|iPXE|Booting|\S/);
  await run("key", "a");
  await run("type", "x");
  await run("mouse", "move", "100", "100");
  assertMatch(await run("mem", "ps"), /qemu-ga/);
  assertMatch(await run("vm", "query"), /running/);
  assertEquals((await run("exec", "--", "/bin/worker", "echo", "hello")).trim(), "hello");
  const large = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 2_654_435_761) >>> 13);
  await Deno.writeFile(`${folder}/large`, large);
  const there = await vmsig(["cp", `${folder}/large`, `${web}:/tmp/large`, ...socket]);
  assertEquals([there.code, there.errors], [0, ""]);
  const back = await vmsig(["cp", `${web}:/tmp/large`, `${folder}/back`, ...socket]);
  assertEquals([back.code, back.errors], [0, ""]);
  assertEquals(await Deno.readFile(`${folder}/back`), large);
}

Deno.test("libvirt: screen, keys, memory and agent of a guest; libvirtd started anew in between", async () => {
  await using guest = await GuestDomain.start("web");
  const { libvirt } = guest;
  await startAgent(guest.agent);
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("watches");
  const web = libvirt.endpoint("web");
  await allOf(client, daemon, web);
  const { text: listed } = await vmsig(["ls", "--socket", daemon.socket]);
  assertMatch(listed, /frame \(vnc\)/);
  await using agent = await AgentControl.of(client, web);
  const failed = await agent.exec("/bin/worker", ["exit", "7"]);
  assertEquals([failed.code, text(failed.err)], [7, "sorry\n"]);
  await agent[Symbol.asyncDispose]();

  await libvirt.kill();
  await until("its seams are down", () => {
    return client.roster.list().find(({ name }) => name === web)?.seams.length === 0;
  });
  const { code, errors } = await vmsig([
    "screen",
    web,
    "--socket",
    daemon.socket,
    "-o",
    `${daemon.folder}/no.png`,
  ]);
  assertEquals(code, 1);
  assertMatch(errors, /(?:libvirt is away|the way through libvirt has ended): .*(?:start libvirtd|start it)/);
  await libvirt.restart();
  await allOf(client, daemon, web);
  assertEquals(daemon.logText.match(/custom-monitor/g)?.length, 1, "what the taint means is told once");
});

/** libvirt has the terminal for one daemon; another one is told so. */
async function isNamed(libvirt: Libvirtd, web: string): Promise<void> {
  await using second = await DaemonProcess.start({ config: libvirt.config });
  await using other = await second.connect("comes late");
  await has(other, web, "console");
  const said = await vmsig(["console", web, "--send", "\\n", "--socket", second.socket]);
  assertEquals(said.code, 1);
  assertMatch(
    said.errors,
    /another client has the console: process \d+ \(libvirtd, for virsh or virt-manager\)/,
  );
}

Deno.test("libvirt: a console by the pty, and by libvirt's stream where the pty may not be opened", async () => {
  const image = await buildGuest({});
  await using libvirt = await Libvirtd.start();
  const { folder } = libvirt;
  await Deno.copyFile(image.kernelPath, `${folder}/vmlinuz`);
  await Deno.chown(`${folder}/vmlinuz`, LIBVIRT_UID, LIBVIRT_UID);
  // Without a system the kernel tells much, and then panics.
  const boot = { kernel: `${folder}/vmlinuz`, initrd: `${folder}/vmlinuz`, words: "console=ttyS0" };
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("reads");
  for (const name of ["pty", "stream"]) {
    await libvirt.domain(name, { ramMiB: 256, isPaused: true, boot });
    const web = libvirt.endpoint(name);
    await has(client, web, "console");
    if (name === "stream") {
      // A terminal of another user's is none that the daemon opens; libvirt does.
      const pty = /\/dev\/pts\/\d+/.exec(await libvirt.virsh("dumpxml", name))?.[0] ?? "";
      await Deno.chmod(pty, 0o666);
      await Deno.chown(pty, 1, 1);
    }
    const console = await client.console(web, { port: 0 });
    await libvirt.virsh("resume", name);
    if (name === "stream") await isNamed(libvirt, web);
    await console.expect(/Command line: .*console=ttyS0|Linux version|PnP ACPI/, { timeoutMs: 360_000 });
    await console[Symbol.asyncDispose]();
    // libvirt takes its lock of the terminal away with the domain.
    await libvirt.virsh("destroy", name);
  }
});
