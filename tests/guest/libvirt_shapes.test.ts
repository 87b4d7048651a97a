/**
 * Domains as virt-install writes them, (a) plain, (b) with memfd, (c) with an extra monitor, each with a real
 * guest: ls, watch, vm, key, type, mouse, screen by VNC, mem, console, agent, exec, cp, and snapshots. Then
 * libvirtd goes, each of them is refused with what to do, and libvirtd comes back: all of it once more.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { agentFiles, startAgent } from "./agent_payload.ts";
import { compiledProgram } from "./c_program.ts";
import { buildGuest, LEGACY_INPUT_MODULES } from "./build.ts";
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

/** The domain, as it is asked. */
interface Shape {
  readonly daemon: DaemonProcess;
  /** The endpoint's name. */
  readonly web: string;
  /** QEMU's process. */
  readonly pid: number;
  /** Whether its RAM is shared. */
  readonly isShared: boolean;
}

/** Each thing that a person asks of a domain. */
async function allOf({ daemon, web, pid, isShared }: Shape): Promise<void> {
  const socket = ["--socket", daemon.socket];
  const run = async (command: string, ...args: string[]): Promise<string> => {
    const said = await vmsig([command, web, ...socket, ...args]);
    assertEquals([said.code, said.errors], [0, ""], `${command} ${args.join(" ")}`);
    return said.text;
  };
  const seen = vmsig(["watch", web, ...socket, "--kind", "VM_LIFECYCLE", "--count", "2"]);
  assertMatch(await run("vm", "query"), /running/);
  assertEquals(await run("exec", "--", "/bin/worker", "echo", "hello"), "hello\n");
  assertEquals(await run("agent", "ping"), `${web}: its agent answers\n`);
  assertMatch(await run("agent", "network"), /"lo"/);
  assertEquals(await run("agent", "freeze", "--", "echo", "frozen"), "frozen\n");
  assertEquals(await run("agent", "freeze-status"), "thawed\n");
  const nothing = await vmsig(["exec", web, ...socket, "--", "/bin/nothing"]);
  assertEquals(nothing.code, 1);
  // libvirt's preamble and the agent's own would leave no room for the reason.
  assertMatch(nothing.errors, /refused it: Failed to execute child process .*No such file or directory\)\n$/);
  await run("key", "a");
  await run("type", "x");
  await run("mouse", "move", "100", "100");
  // The first picture after libvirtd is back may be a screendump: VNC is tried again while one is wanted.
  await until("its picture comes by VNC", async () => {
    return /\d+x\d+, by vnc\b/.test(await run("screen", "-o", `${daemon.folder}/web.png`));
  }, 180_000);
  assert((await Deno.stat(`${daemon.folder}/web.png`)).size > 100);
  if (isShared) assertMatch(await run("mem", "ps"), /qemu-ga/);
  else {
    const refused = await vmsig(["mem", web, "ps", ...socket]);
    assertEquals(refused.code, 1);
    assertMatch(refused.errors, new RegExp(`not shared.*vmsig mem pid:${pid}\\)`));
    // Root reads what nobody shares.
    const byProcess = await vmsig(["mem", `pid:${pid}`, "ps"]);
    assertEquals([byProcess.code, byProcess.errors], [0, ""]);
    assertMatch(byProcess.text, /qemu-ga/);
  }
  assertMatch(await run("console", "list"), /charserial0 +serial/);
  const login = ["--send", "\\r", "--expect", "login: ", "--send", "bob\\r", "--expect", "hello bob"];
  assertMatch(await run("console", ...login), /hello bob/);
  const large = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2_654_435_761) >>> 13);
  await Deno.writeFile(`${daemon.folder}/large`, large);
  for (const [from, to] of [[`${daemon.folder}/large`, `${web}:/tmp/`], [`${web}:/tmp/large`, "/back"]]) {
    const target = to === "/back" ? `${daemon.folder}/back` : `${to}`;
    const copied = await vmsig(["cp", `${from}`, target, ...socket]);
    assertEquals([copied.code, copied.errors], [0, ""]);
  }
  assertEquals(await Deno.readFile(`${daemon.folder}/back`), large);
  await run("vm", "save", "before");
  assertMatch(await run("vm", "snapshots"), /before/);
  await run("vm", "load", "before");
  await run("vm", "delete", "before");
  assertEquals(await run("vm", "snapshots"), "no snapshots\n");
  const { code, text } = await vmsig(["ls", ...socket]);
  assertEquals(code, 0);
  assertMatch(text, new RegExp(`${web} +up +.*frame \\(vnc\\)`));
  await run("vm", "stop");
  await run("vm", "cont");
  assertMatch((await seen).text, /VM_LIFECYCLE/);
}

/** What a paused guest's agent is told as, and a guest that shuts itself down. */
async function lastOf({ daemon, web }: Shape, client: Client): Promise<void> {
  const run = (command: string, ...args: string[]) =>
    vmsig([command, web, "--socket", daemon.socket, ...args]);
  assertEquals((await run("vm", "stop")).code, 0);
  const paused = await run("exec", "--", "/bin/worker", "echo");
  assertEquals(paused.code, 1);
  assertMatch(paused.errors, /refused it: the VM is paused, and its agent with it; continue it first\n$/);
  assertEquals((await run("vm", "cont")).code, 0);
  const { code, text, errors } = await run("agent", "shutdown");
  assertEquals([code, text, errors], [0, `${web}: asked for shutdown\n`, ""]);
  await until("the domain has ended", () => {
    return client.roster.list().find(({ name }) => name === web)?.state !== "up";
  });
}

/** Without libvirtd: what needs it says so, with what to do. */
async function noneOf({ daemon, web, isShared }: Shape): Promise<void> {
  const asked = [
    ["vm", "query"],
    ["vm", "snapshots"],
    ["key", "a"],
    ["mouse", "move", "1", "1"],
    ["screen", "-o", `${daemon.folder}/no.png`],
    ["console", "--send", "\\r"],
    ["agent", "ping"],
    ["exec", "--", "/bin/worker", "echo"],
    ...isShared ? [["mem", "ps"]] : [],
  ];
  for (const [command = "", ...args] of asked) {
    const { code, errors } = await vmsig([command, web, "--socket", daemon.socket, ...args]);
    // A console that is still open from before goes on: it is QEMU's terminal, which needs no libvirtd.
    if (command === "console" && code === 0) continue;
    assertEquals(code, 1, command);
    // Which of the daemon's connections to libvirtd ends first is chance.
    const what = /(libvirtd closed .*start it|is libvirtd running\?|"vmsig vm \S+ query" tells what to do)/;
    assertMatch(errors, /libvirt is away[;:] |the way through libvirt has ended[;:] /, command);
    assertMatch(errors, what, command);
  }
}

/** Ends a domain's QEMU, if it still runs. */
function endProcess(pid: number | undefined): void {
  try {
    if (pid !== undefined) Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

for (const shape of ["plain", "memfd", "monitor"] as const) {
  Deno.test(`libvirt: everything of a domain of virt-install's, ${shape}`, async () => {
    const worker = await compiledProgram("worker");
    const image = await buildGuest({
      kernel: "generic",
      programs: ["worker", "talker"],
      modules: [...LEGACY_INPUT_MODULES, "virtio_pci", "virtio_console"],
      // The agent runs it by this path.
      files: { ...await agentFiles(), "/sbin/shutdown": await Deno.readFile(worker.path) },
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
      await (await serial.agent.start("talker", "/dev/ttyS0", "login")).lineMatching(/^ready/);
      const named = shape === "monitor"
        ? `discover = false\n[[endpoint]]\nname = "web"\nqmp = "${monitor}"\n`
        : "";
      await using daemon = await DaemonProcess.start({ config: libvirt.config + named });
      await using client = await daemon.connect("watches");
      const web = shape === "monitor" ? "web" : libvirt.endpoint("web");
      const seams = ["vmhost", "frame", "input", "console", "agent", ...memfd ? ["memctx"] : []];
      const asked = { daemon, web, pid: await libvirt.pid("web") as number, isShared: memfd };
      for (const seam of seams) await has(client, web, seam);
      await allOf(asked);

      await libvirt.kill();
      // Its own monitor needs no libvirtd.
      if (shape === "monitor") {
        const { code, errors } = await vmsig(["vm", web, "query", "--socket", daemon.socket]);
        assertEquals([code, errors], [0, ""]);
      } else {
        await until("its seams are down", () => {
          return client.roster.list().find(({ name }) => name === web)?.seams.length === 0;
        });
        await noneOf(asked);
      }
      await libvirt.restart();
      for (const seam of seams) await has(client, web, seam);
      await allOf(asked);
      await lastOf(asked, client);
    } finally {
      // libvirtd may be away when something has failed.
      endProcess(await libvirt.pid("web"));
      await serial[Symbol.asyncDispose]();
    }
  });
}
