/**
 * A real QEMU that is the client of its monitor, and a real daemon that listens for it: whichever of them is
 * first, and whichever starts anew. And sockets that the daemon is started with.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { configText, DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { type Qemu, startFirmware } from "./qemu.ts";

/** A QEMU without a monitor of its own that listens: it connects to the path, again and again. */
function startClient(path: string): Promise<Qemu> {
  const chardev = `socket,id=m,path=${path},server=off,${reconnectOption()}`;
  return startFirmware({ qmpSockets: 0, extraArgs: ["-chardev", chardev, "-mon", "chardev=m,mode=control"] });
}

/** QEMU 9.2 has both, later ones have the second alone. */
function reconnectOption(): string {
  const { stdout } = new Deno.Command("qemu-system-x86_64", { args: ["--version"] }).outputSync();
  const version = /version (\d+)\.(\d+)/.exec(new TextDecoder().decode(stdout));
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
  return major > 9 || (major === 9 && minor >= 2) ? "reconnect-ms=1000" : "reconnect=1";
}

function isUp(client: Client, pid: number, name = "web"): boolean {
  const vm = client.roster.find(name);
  return vm !== undefined && client.roster.get(vm)?.pid === pid &&
    client.roster.get(vm)?.seams.includes("vmhost") === true;
}

Deno.test("QEMU connects to the daemon: both ways around, and again after either has started anew", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-listen-" });
  try {
    const path = `${folder}/web.qmp`;
    const config = `[[endpoint]]\nname = "web"\nqmp = "listen:${path}"\n`;
    {
      await using daemon = await DaemonProcess.start({ config, folder });
      await using client = await daemon.connect("watches");
      {
        await using first = await startClient(path);
        await until("the daemon was first", () => isUp(client, first.pid));
        await client.vm("web", "stop");
      }
      await until("QEMU's end is told", () => client.roster.list()[0]?.seams.length === 0);
      assertMatch(daemon.logText, /the QEMU process has ended/);
      await using second = await startClient(path);
      await until("another QEMU", () => isUp(client, second.pid));
      await using third = await startClient(path);
      await daemon.says(/refused: another QEMU is connected/);
      assertEquals(isUp(client, second.pid), true);
      void third;
      assertEquals((await daemon.stop()).code, 0);
      await assertGone(path);
    }
    // Nobody listens there when it starts.
    await using running = await startClient(path);
    {
      await using daemon = await DaemonProcess.start({ config, folder });
      await using client = await daemon.connect("watches");
      await until("QEMU was first", () => isUp(client, running.pid));
    }
    await assertGone(path);
    {
      await using daemon = await DaemonProcess.start({ config, folder });
      await using client = await daemon.connect("watches");
      await until("another daemon", () => isUp(client, running.pid));
      assertEquals((await probed(running.pid)).heldBy?.pid, daemon.pid);
      assertEquals((await probed(running.pid)).missing.filter((each) => each.includes("qmp")), []);
      await daemon.reload(configText(""));
      await until("it is detached", () => client.roster.list().length === 0);
      await assertGone(path);
      const advice = `an [[endpoint]] with qmp = "listen:${path}" in vmsigd.toml`;
      assertStringIncludes((await probed(running.pid)).missing.join("\n"), advice);
      await daemon.reload(configText(config));
      await until("it is attached again", () => isUp(client, running.pid));
    }
    await assertGone(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface Probed {
  readonly pid: number;
  readonly missing: readonly string[];
  readonly heldBy?: { readonly pid: number };
}

/** What `vmsig probe` says of a QEMU. */
async function probed(pid: number): Promise<Probed> {
  const { text } = await vmsig(["probe", "--json"]);
  const rows = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Probed);
  const found = rows.find((row) => row.pid === pid);
  assert(found !== undefined, text);
  return found;
}

/**
 * Becomes the command in its arguments, with descriptors as systemd gives them: a listening socket, a
 * connection to a monitor, a file, a socket of another family, packets.
 */
const GIVER = `import os, socket, sys
listening = socket.socket(socket.AF_UNIX); listening.bind(sys.argv[1]); listening.listen()
connected = socket.socket(socket.AF_UNIX); connected.connect(sys.argv[2])
inet = socket.socket(socket.AF_INET); inet.bind(("127.0.0.1", 0)); inet.listen()
packets, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
given = [listening.fileno(), connected.fileno(), os.open("/dev/null", os.O_RDONLY), inet.fileno(), packets.fileno()]
given = [os.dup(fd) for fd in given]
copies = [os.dup2(fd, 100 + i) for i, fd in enumerate(given)]
for i in range(len(copies)): os.dup2(copies[i], 3 + i); os.close(copies[i])
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="5", LISTEN_FDNAMES="web:db:file:inet:packets")
os.execvp(sys.argv[3], sys.argv[3:])`;

Deno.test("sockets that the daemon is started with: one that listens, a connection, and what is neither", async () => {
  await using server = await startFirmware();
  const path = `${server.dir}/given.qmp`;
  const given = { web: "web", db: "4", file: "file", inet: "inet", packets: "packets", none: "none" };
  const config = (more: object = {}, without = "") =>
    Object.entries({ ...given, ...more }).filter(([name]) => name !== without)
      .map(([name, fd]) => `[[endpoint]]\nname = "${name}"\nqmp = "fd:${fd}"\n`).join("");
  await using daemon = await DaemonProcess.start({
    config: config(),
    wrapper: ["python3", "-c", GIVER, path, server.qmpPath],
  });
  await using client = await daemon.connect("watches");
  await until("the connection is used", () => {
    const vm = client.roster.find("db");
    return vm !== undefined && client.roster.get(vm)?.seams.includes("vmhost") === true;
  });
  await client.vm("db", "stop");
  {
    await using running = await startClient(path);
    await until("QEMU connects to the socket", () => isUp(client, running.pid));
    await daemon.reload(configText(config({}, "web")));
    await until("it is detached", () => client.roster.find("web") === undefined);
    await daemon.reload(configText(config()));
    await until("it is attached again", () => isUp(client, running.pid));
  }
  assertEquals((await Deno.stat(path)).isSocket, true, "the file is whoever's has made it");
  for (
    const [descriptor, why] of [
      ["file", "it is not a unix socket that is connected or listens"],
      ["inet", "it is not a unix socket that is connected or listens"],
      ["packets", "it is not a stream socket"],
      ["none", "systemd gives web, db, file, inet, packets; set FileDescriptorName=none"],
    ]
  ) await daemon.says(new RegExp(`the descriptor ${descriptor} as a monitor: ${why}`));
  for (const number of [3, 4]) {
    assertEquals(await isInheritable(daemon.pid, number), false, "no child gets what was taken");
  }
  await daemon.reload(configText(config({}, "db")));
  await until("it is detached", () => client.roster.find("db") === undefined);
  await daemon.reload(configText(config()));
  await daemon.says(/the descriptor 4: its connection was used, and a monitor greets once/);
});

/** Whether a descriptor is open in a process, and would be in its children. */
async function isInheritable(pid: number, number: number): Promise<boolean> {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(await Deno.readTextFile(`/proc/${pid}/fdinfo/${number}`))?.[1];
    return (Number.parseInt(flags ?? "", 8) & 0o2000000) === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function assertGone(path: string): Promise<void> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path.slice(0, path.lastIndexOf("/")))) names.push(name);
  assertEquals(names.includes(path.slice(path.lastIndexOf("/") + 1)), false, names.join(" "));
}
