/**
 * A key to a libvirt domain until QEMU has acknowledged it: by the daemon, which speaks libvirt's protocol
 * itself, beside libvirt's own library in C with the same command, in turn on the same domain. And the same
 * with a monitor of the daemon's own (QEMU 11.1), beside a QMP socket of the same QEMU.
 *
 * Needs libvirtd and its headers: `scripts/setup.sh bench`. QEMU 11.1 is another suite's, by the variables
 * that `deno task nightly sid` sets for its tests (PATH, VMSIG_TEST_USR).
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/client.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { LIBVIRT_QEMU_UID, Libvirtd } from "../guest/libvirtd.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";

/** Short rounds, so that both meet the same machine. */
const ROUNDS = 27;
const COMMANDS = 100;
/** A socket of QEMU's own, in libvirt's /run. */
const DIRECT = "direct/qmp";

async function endpointWithInput(client: Client, name: string): Promise<number> {
  await until(`${name} has its input`, () => {
    return client.roster.list().find((each) => each.name === name)?.seams.includes("input") === true;
  }, 180_000);
  return await client.endpoint(name);
}

/** The daemon's p50 of one acknowledged key. */
async function ack({ socket }: DaemonProcess, endpoint: number): Promise<number> {
  const [p50 = 0] = await numbersOf(cFloor("input_client"), ["ack", socket, `${endpoint}`, `${COMMANDS}`]);
  return p50;
}

/** Rounds of several in turn; the first one warms all. */
async function inTurn(measures: readonly (() => Promise<number>)[]): Promise<number[][]> {
  const figures: number[][] = measures.map(() => []);
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i, measure] of measures.entries()) {
      const figure = await measure();
      if (round >= 0) figures[i]?.push(figure);
    }
  }
  return figures;
}

async function throughLibvirt(): Promise<BenchResult> {
  const floor = cFloor("libvirt_client", ["-lvirt", "-lvirt-qemu"]);
  await using libvirt = await Libvirtd.start({ isSystem: true });
  await libvirt.domain("web");
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("bench");
  const endpoint = await endpointWithInput(client, libvirt.endpoint("web"));
  const uri = `qemu:///system?socket=${libvirt.socket}`;
  const [theirs = [], ours = []] = await inTurn([
    async () => (await numbersOf(floor, [uri, "web", `${COMMANDS}`]))[0] ?? 0,
    () => ack(daemon, endpoint),
  ]);
  return resultOf("input.libvirt.p50", "us", "lower", ours, theirs, "virDomainQemuMonitorCommand from C");
}

async function byOwnMonitor(): Promise<BenchResult[]> {
  await using libvirt = await Libvirtd.start({ isSystem: true });
  const path = `${libvirt.folder}/run/${DIRECT}`;
  const folder = path.slice(0, path.lastIndexOf("/"));
  await Deno.mkdir(folder);
  await Deno.chown(folder, LIBVIRT_QEMU_UID, LIBVIRT_QEMU_UID);
  const sockets = [path, `${path}.bare`].map((each) => {
    const inside = `/run${each.slice(`${libvirt.folder}/run`.length)}`;
    return `<qemu:arg value='-qmp'/><qemu:arg value='unix:${inside},server=on,wait=off'/>`;
  });
  await libvirt.domain("web", { more: `<qemu:commandline>${sockets.join("")}</qemu:commandline>` });
  const config = `${libvirt.config}own_monitor = true\n[[endpoint]]\nname = "direct"\nqmp = "${path}"\n`;
  await using daemon = await DaemonProcess.start({ config });
  await using client = await daemon.connect("bench");
  const own = await endpointWithInput(client, libvirt.endpoint("web"));
  const direct = await endpointWithInput(client, "direct");
  if (!daemon.logText.includes("QEMU has a monitor of our own")) {
    throw new Fault("missing", "this QEMU has one monitor alone: QEMU 11.1 is needed");
  }
  const [ours = [], same = [], bare = []] = await inTurn([
    () => ack(daemon, own),
    () => ack(daemon, direct),
    async () => (await numbersOf(cFloor("qmp_client"), ["ack", `${path}.bare`, `${COMMANDS}`]))[0] ?? 0,
  ]);
  return [
    resultOf("input.own_monitor.p50", "us", "lower", ours, same, "the daemon on a QMP socket of that QEMU"),
    resultOf(
      "input.own_monitor.bare",
      "us",
      "lower",
      ours,
      bare,
      "C QMP client on a QMP socket of that QEMU",
    ),
  ];
}

/** The benchmarks. */
export const benches: readonly Bench[] = [
  { name: "input.libvirt.p50", run: throughLibvirt },
  {
    name: "input.own_monitor.p50",
    names: ["input.own_monitor.p50", "input.own_monitor.bare"],
    run: byOwnMonitor,
  },
];
