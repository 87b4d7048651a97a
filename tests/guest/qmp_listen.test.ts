/**
 * A real QEMU that is the client of its monitor, and a real daemon that listens for it: whichever of them is
 * first, and whichever starts anew.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { Client } from "../../src/client/client.ts";
import { configText, DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { type Qemu, startFirmware } from "./qemu.ts";

/** A QEMU without a monitor of its own that listens: it connects to the path, again and again. */
function startClient(path: string): Promise<Qemu> {
  return startFirmware({
    qmpSockets: 0,
    extraArgs: [
      "-chardev",
      `socket,id=m,path=${path},server=off,reconnect=1`,
      "-mon",
      "chardev=m,mode=control",
    ],
  });
}

function isUp(client: Client, pid: number): boolean {
  const vm = client.roster.find("web");
  return vm !== undefined && client.roster.get(vm)?.pid === pid &&
    client.roster.get(vm)?.seams.includes("vmhost") === true;
}

Deno.test("QEMU connects to the daemon: both ways around, and again after either has started anew", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-listen-" });
  try {
    const path = `${folder}/web.qmp`;
    const config = `[[endpoint]]\nname = "web"\nqmp = "listen:${path}"\n`;
    let second: Qemu | undefined;
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
      second = await startClient(path);
      const { pid } = second;
      await until("another QEMU", () => isUp(client, pid));
      await using third = await startClient(path);
      await daemon.says(/refused: another QEMU is connected/);
      assertEquals(isUp(client, pid), true);
      void third;
      assertEquals((await daemon.stop()).code, 0);
      await assertGone(path);
    }
    await using running = second;
    {
      await using daemon = await DaemonProcess.start({ config, folder });
      await using client = await daemon.connect("watches");
      await until("QEMU was first", () => isUp(client, running.pid));
      await daemon.reload(configText(""));
      await until("it is detached", () => client.roster.list().length === 0);
      await assertGone(path);
      await daemon.reload(configText(config));
      await until("it is attached again", () => isUp(client, running.pid));
    }
    await assertGone(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function assertGone(path: string): Promise<void> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path.slice(0, path.lastIndexOf("/")))) names.push(name);
  assertEquals(names.includes(path.slice(path.lastIndexOf("/") + 1)), false, names.join(" "));
}
