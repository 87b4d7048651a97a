/**
 * libvirt as a host, for real: its domains appear with its names, are steered through its monitor, and it may
 * stop, start and be killed meanwhile.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { EventStream } from "../../src/client/event_stream.ts";
import type { Client } from "../../src/client/client.ts";
import { takeInput } from "../../src/client/input_control.ts";
import { keyRecord } from "../../src/client/input_record.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { Libvirtd } from "./libvirtd.ts";

async function isUp(client: Client, name: string, wanted = "up"): Promise<void> {
  await until(`${name} is ${wanted}`, () => {
    const entry = client.roster.list().find((each) => each.name === name);
    return (entry?.state ?? "gone") === wanted;
  }, 180_000);
}

/** The first stream of a client begins with what was told before. */
async function stateIs(stream: EventStream, state: number): Promise<void> {
  for await (const event of stream) if (event.as("VM_LIFECYCLE")?.state === state) return;
}

Deno.test("libvirt: domains come and go by its names; states, keys and memory through its monitor", async () => {
  await using libvirt = await Libvirtd.start();
  await libvirt.domain("plain");
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("watches");
  const plain = libvirt.endpoint("plain");
  await isUp(client, plain);
  assertEquals(client.roster.list().find(({ name }) => name === plain)?.pid, await libvirt.pid("plain"));
  // One that is started while the daemon runs, and whose RAM can be shared.
  await libvirt.domain("shared", { memfd: true });
  const shared = libvirt.endpoint("shared");
  await isUp(client, shared);
  await until("its memory is up", () => {
    return client.roster.list().find(({ name }) => name === shared)?.seams.includes("memctx") === true;
  });

  assertEquals(await client.vmState(plain), { state: "running", detail: "none" });
  const states = client.events({ kinds: ["VM_LIFECYCLE"], endpoints: [await client.endpoint(plain)] });
  await client.vm(plain, "stop");
  await stateIs(states, 1);
  await states.return();
  assertMatch(await libvirt.virsh("domstate", "plain"), /paused/);
  await client.vm(plain, "cont");
  {
    await using input = await takeInput(client, plain);
    await input.frame([keyRecord(30, true)]);
    await input.frame([keyRecord(30, false)]);
  }
  // libvirt itself does something, and it is told.
  const resets = client.events({ kinds: ["VM_LIFECYCLE"], endpoints: [await client.endpoint(plain)] });
  await libvirt.virsh("reset", "plain");
  await stateIs(resets, 3);
  await resets.return();
  const socket = ["--socket", daemon.socket];
  const listed = await vmsig(["console", plain, "list", ...socket]);
  assertMatch(listed.text, /charserial0 +serial/);
  const private_ = await vmsig(["mem", plain, "ps", ...socket]);
  assertEquals(private_.code, 1);
  assertStringIncludes(private_.errors, "not shared");

  await libvirt.virsh("destroy", "plain");
  await isUp(client, plain, "gone");
  await isUp(client, shared);
  await libvirt.virsh("start", "plain");
  await isUp(client, plain);
});

Deno.test("libvirt: it may be killed and come back; a domain that the config names waits for it", async () => {
  await using libvirt = await Libvirtd.start();
  const named = `[[endpoint]]\nname = "web"\nqmp = "libvirt:web"\ninput = "none"\n`;
  await using daemon = await DaemonProcess.start({
    config: `${libvirt.config}discover = false\n${named}`,
  });
  await using client = await daemon.connect("watches");
  await until("it is told", () => daemon.logText.includes("no libvirt domain of that name runs"));
  await libvirt.domain("web");
  await isUp(client, "web");
  assertEquals(client.roster.list().map(({ name }) => name), ["web"]);
  await libvirt.kill();
  await isUp(client, "web", "down");
  await until("the log tells it", () => daemon.logText.includes("libvirt is away"));
  await libvirt.restart();
  await isUp(client, "web");
  assertEquals(await client.vmState("web"), { state: "running", detail: "none" });
});

Deno.test("libvirt: a socket of another user's, and none, are told with what to do", async () => {
  await using libvirt = await Libvirtd.start();
  const users = libvirt.config.replace(/users = .*/, "users = []");
  await using daemon = await DaemonProcess.start({ config: users });
  await until(
    "it is told",
    () => /uid 65534 listens on .*; name it in \[libvirt\] users/.test(daemon.logText),
  );
  await using other = await DaemonProcess.start({ config: `[libvirt]\nsocket = "/nowhere/libvirt-sock"\n` });
  await until("it is told", () => /libvirt is away.*is libvirtd running\?/.test(other.logText));
});
