/**
 * A key to a libvirt domain until QEMU has acknowledged it: by the daemon, which speaks libvirt's protocol
 * itself, beside libvirt's own library in C with the same command, in turn on the same domain.
 *
 * Needs libvirtd and its headers: `scripts/setup.sh bench`.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { Libvirtd } from "../guest/libvirtd.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";

/** Short rounds, so that both meet the same machine. */
const ROUNDS = 27;
const COMMANDS = 100;

async function run(): Promise<BenchResult> {
  const floor = cFloor("libvirt_client", ["-lvirt", "-lvirt-qemu"]);
  await using libvirt = await Libvirtd.start({ isSystem: true });
  await libvirt.domain("web");
  await using daemon = await DaemonProcess.start({ config: libvirt.config });
  await using client = await daemon.connect("bench");
  const name = libvirt.endpoint("web");
  await until("the domain has its input", () => {
    return client.roster.list().find((each) => each.name === name)?.seams.includes("input") === true;
  }, 180_000);
  const endpoint = await client.endpoint(name);
  const uri = `qemu:///system?socket=${libvirt.socket}`;
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const [their = 0] = await numbersOf(floor, [uri, "web", `${COMMANDS}`]);
    const [our = 0] = await numbersOf(cFloor("input_client"), [
      "ack",
      daemon.socket,
      `${endpoint}`,
      `${COMMANDS}`,
    ]);
    // The first round warms both.
    if (round < 0) continue;
    ours.push(our);
    theirs.push(their);
  }
  return resultOf("input.libvirt.p50", "us", "lower", ours, theirs, "virDomainQemuMonitorCommand from C");
}

/** The benchmark. */
export const benches: readonly Bench[] = [{ name: "input.libvirt.p50", run }];
