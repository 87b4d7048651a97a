/**
 * A full house: 64 endpoints and a thousand controls. What the daemon weighs then, whether an event of one
 * endpoint still reaches its watchers as fast as when it is the only one, and how soon a running QEMU is
 * attached.
 *
 * Delivery is timed from the event's own stamp to its last watcher. From the command that makes the event it
 * is 5 us more when the client shares a processor with the loop, and 23 us more when the loop's has to be
 * woken from its idle state: which of the two a daemon gets is the scheduler's choice when its loop starts
 * (40 or 64 us, with one endpoint as with 64), and no figure of ours.
 * @module
 */
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { startFirmware } from "../guest/qemu.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";
import { RawControl } from "./raw_control.ts";
import { serveStubs } from "./served.ts";

const ROUNDS = 7;
const ENDPOINTS = 64;
/** 64 x 15 = 960, and with the endpoints' odd ones 1,000: what is measured is one group of them. */
const WATCHERS = 15;
const EVENTS = 1280;
const OTHER_SEAMS = 1 << SOURCE.INPUT | 1 << SOURCE.MEMCTX | 1 << SOURCE.FRAME;

async function fullHouse(): Promise<BenchResult[]> {
  const floor = cFloor("bus_floor");
  await using full = await serveStubs(ENDPOINTS);
  await using single = await serveStubs(1);
  const deliver = async (socket: string, endpoints: number, endpoint: number): Promise<number> => {
    const args = ["deliver", socket, `${EVENTS}`, `${WATCHERS}`, `${endpoints}`, `${endpoint}`, "hello"];
    return (await numbersOf(floor, args))[1] as number;
  };
  // More controls that stand by and get none of the events that are measured: they want the other seams.
  // (With CORE they would be auditors, whom each command is told.)
  using _standing = standBy(full.socket, 1000 - ENDPOINTS * WATCHERS - 1);
  await deliver(full.socket, ENDPOINTS, -1);
  await deliver(single.socket, 1, -1);
  const ours: number[] = [];
  const peer: number[] = [];
  const rss: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    peer.push(await deliver(single.socket, 1, 0));
    ours.push(await deliver(full.socket, ENDPOINTS, 9 * round));
    rss.push(peakMb(full.pid));
  }
  return [
    resultOf("scale.deliver64", "us", "lower", ours, peer, "the same with one endpoint"),
    resultOf("scale.rss1000", "MB", "lower", rss, null, null),
  ];
}

function standBy(socket: string, count: number): Disposable {
  const controls = Array.from({ length: count }, () => new RawControl(socket, OTHER_SEAMS));
  return {
    [Symbol.dispose]: () => {
      for (const control of controls) control[Symbol.dispose]();
    },
  };
}

/** The most that it ever was: all thousand are gone again when their client ends. */
function peakMb(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  return Number(found?.[1]) / 1000;
}

/** From a trigger file's rename to SEAM_UP of the host plane at a control. */
async function attach(): Promise<BenchResult> {
  await using daemon = await DaemonProcess.start();
  await using vm = await startFirmware({ ramMiB: 64 });
  using control = new RawControl(daemon.socket);
  const table = `name = "vm"\nqmp = "${vm.qmpPath}"\n`;
  const figures: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    control.drain();
    const started = performance.now();
    daemon.drop("vm", table);
    control.await((kind, view) => kind === KIND.SEAM_UP && view.getUint8(FRAME.source) === SOURCE.VMHOST);
    if (round >= 0) figures.push(performance.now() - started);
    daemon.take("vm");
    // Gone from the roster: state 0.
    control.await((kind, view) => kind === KIND.ROSTER && view.getUint32(FRAME.inline, true) === 0);
  }
  return resultOf("scale.attach", "ms", "lower", figures, null, null);
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "scale.deliver64", names: ["scale.deliver64", "scale.rss1000"], run: fullHouse },
  { name: "scale.attach", run: attach },
];
