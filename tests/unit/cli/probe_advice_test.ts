/** What probe says of who has a monitor, and what it advises then. */
import { assertEquals } from "@std/assert";
import {
  isReachedByHost,
  lackOf,
  monitorClient,
  monitorWords,
  needsListing,
} from "../../../src/client/cli/probe_advice.ts";
import { describeVm, type ProbedVm } from "../../../src/roster/host_probe.ts";
import { readQemuCommandLine } from "../../../src/roster/qemu_command_line.ts";

/** A QEMU of another user, as the probe describes it. */
async function described(line: string, ...busy: string[]): Promise<ProbedVm> {
  const process = {
    ...{ pid: 7, started: "1", uid: 64_055, cwd: "/", isConfirmed: true, isBlank: false },
    setup: readQemuCommandLine(line.split(" ")),
    ownSockets: new Set<string>(),
  };
  const view = {
    ownUid: 0,
    sockets: () => Promise.resolve(new Set(["1"])),
    placeDefect: () => Promise.resolve(""),
  };
  return await describeVm(view, process, new Map(busy.map((path) => [path, ["1"]])));
}

const INPUT = "-device virtio-keyboard-pci -device virtio-tablet-pci";
const RAM = "-object memory-backend-memfd,id=r,size=1M,share=on -machine q35,memory-backend=r";
const FREE = `-name web -qmp unix:/run/a,server=on,wait=off ${INPUT} ${RAM}`;
const DOMAIN = `-name guest=web -chardev socket,id=charmonitor,fd=26,server=on,wait=off ` +
  `-mon chardev=charmonitor,id=monitor,mode=control ${INPUT} ${RAM}`;

Deno.test("a monitor that vmsig's daemon holds is said to be that, and nothing is missing", async () => {
  const vm = await described(FREE, "/run/a");
  const held = (isDaemon: boolean) =>
    monitorClient(vm, ({ kind }) => kind === "unix" ? { pid: 9, name: "socat" } : undefined, () => isDaemon);
  assertEquals(monitorWords(vm, held(true)), "held by vmsig's daemon (9)");
  assertEquals([lackOf(vm, held(true)), needsListing(vm, held(true))], [[], false]);
  assertEquals(monitorWords(vm, held(false)), "held by socat (9)");
  assertEquals([lackOf(vm, held(false)).length, needsListing(vm, held(false))], [1, true]);
  const unknown = monitorClient(vm, () => undefined, () => true);
  assertEquals([unknown, monitorWords(vm, unknown)], [undefined, "held by another client"]);
});

Deno.test("a monitor that connects to vmsig's daemon is held by it; another peer of its is in nobody's way", async () => {
  const vm = await described(`-name web -qmp unix:/run/a ${INPUT} ${RAM}`);
  const held = (isDaemon: boolean) => monitorClient(vm, () => ({ pid: 9, name: "vmsig" }), () => isDaemon);
  assertEquals(monitorWords(vm, held(true)), "held by vmsig's daemon (9)");
  assertEquals([lackOf(vm, held(true)), lackOf(vm, held(false)).length, held(false)], [[], 1, undefined]);
});

Deno.test("who looks nobody up where nobody is connected, or the manager is", async () => {
  const never = () => {
    throw new Error("nobody is to be looked up");
  };
  assertEquals(monitorClient(await described(FREE), never, never), undefined);
  assertEquals(monitorClient(await described(DOMAIN), never, never), undefined);
});

Deno.test("a libvirt domain needs no listed user, unless it has a monitor of its own besides", async () => {
  const domain = await described(DOMAIN);
  assertEquals(domain.missing, [
    "a table [libvirt] in vmsigd.toml: vmsig speaks to it by libvirt, and the VM stays as it is",
  ]);
  assertEquals([needsListing(domain, undefined), monitorWords(domain, undefined)], [
    false,
    "held by libvirt",
  ]);
  const both = await described(`${DOMAIN} -qmp unix:/run/a,server=on,wait=off`);
  assertEquals([needsListing(both, undefined), monitorWords(both, undefined)], [true, "/run/a"]);
  assertEquals(needsListing(await described(FREE), undefined), true);
});

Deno.test("a libvirt domain lacks nothing where the config has the table, and needs no listed user", async () => {
  const hosts = ["libvirt"];
  for (const line of [DOMAIN, `${DOMAIN} -qmp unix:/run/a,server=on,wait=off`]) {
    const domain = await described(line);
    assertEquals(isReachedByHost(domain, hosts), true);
    assertEquals([lackOf(domain, undefined, hosts), needsListing(domain, undefined, hosts)], [[], false]);
    assertEquals(isReachedByHost(domain, []), false);
  }
  assertEquals(isReachedByHost(await described(FREE), hosts), false);
});
