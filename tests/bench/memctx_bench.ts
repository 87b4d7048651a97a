/**
 * The memory seam on the bus: how soon the end of an epoch is told after a reset, and what a write costs
 * beside a plain echo.
 *
 * Reset: a bare machine with a memory context is reset again and again; the time is from the command to the
 * frame at the control, the peer the RESET of the same reset at the same control: what counts is that the
 * epoch's end is not told later. Write: one control writes 8 bytes into a guest's process and asks a stub for
 * its state, in turn, over the same socket.
 * @module
 */
import { LEASE_CLASS, VM_OP, VM_STATE_NUMBER } from "../../src/event/body_number.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { startFirmware, startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { RawControl } from "./raw_control.ts";
import { serveStubs } from "./served.ts";
import { findGuest } from "../../src/guest/find_guest.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { openQemuRam } from "../../src/ram/qemu_ram.ts";

const ROUNDS = 9;
const RESETS = 31;
/** The firmware resets itself once more, 25 to 70 ms after the host's reset. */
const REST_MS = 250;
const WRITES = 3000;

async function withConfig<T>(text: string, body: (args: string[]) => Promise<T>): Promise<T> {
  const path = await Deno.makeTempFile({ prefix: "vmsig-bench-", suffix: ".toml" });
  try {
    // A benchmark's daemon keeps away from the other VMs of this host.
    await Deno.writeTextFile(path, `${text}[discovery]\nprobe = false\n`);
    return await body(["--config", path]);
  } finally {
    await Deno.remove(path);
  }
}

async function invalidate(): Promise<BenchResult> {
  await using vm = await startFirmware({ memory: "memfd", qmpSockets: 1 });
  const config = `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\nguest = "none"\n`;
  return await withConfig(config, async (args) => {
    await using daemon = await serveStubs(0, args);
    using control = new RawControl(daemon.socket);
    control.await((kind) => kind === KIND.MEMCTX);
    const endpoint = control.endpoints.get("vm") ?? -1;
    const lease = control.ask(control.frameOf(KIND.CMD_ACQUIRE, endpoint, (event) => {
      event.words[0] = LEASE_CLASS.POWER;
    }));
    if (lease.getUint16(FRAME.kind, true) !== KIND.LEASE_GRANTED) throw new Error("no power lease");
    const ours: number[] = [];
    const peer: number[] = [];
    for (let i = 0; i < RESETS; i++) {
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      const frame = control.frameOf(KIND.CMD_VM, endpoint, (event) => (event.words[0] = VM_OP.RESET));
      // The firmware's own reset has ended an epoch too.
      control.drain();
      const startNs = RawControl.nowNs();
      control.tell(frame);
      let endedNs = NaN;
      control.await((kind, view) => {
        if (kind === KIND.MEMCTX_INVALIDATED && Number.isNaN(endedNs)) endedNs = RawControl.nowNs();
        return kind === KIND.VM_LIFECYCLE && view.getUint32(FRAME.inline, true) === VM_STATE_NUMBER.RESET;
      });
      peer.push((RawControl.nowNs() - startNs) / 1000);
      // One that is told after the RESET counts as long as it took.
      if (Number.isNaN(endedNs)) {
        control.await((kind) => kind === KIND.MEMCTX_INVALIDATED);
        endedNs = RawControl.nowNs();
      }
      ours.push((endedNs - startNs) / 1000);
    }
    return resultOf("mem.invalidate", "us", "lower", ours, peer, "the same reset's RESET");
  });
}

/** The root of a process in a QEMU's guest. */
function rootOf(qemuPid: number, pid: number): number {
  using ram = openQemuRam(qemuPid);
  const found = findGuest(ram.memory, [(memory) => findLinux(memory)]);
  const root = found.found ? found.os.process(pid)?.root : undefined;
  if (root === undefined) throw new Error(`process ${pid} is not in the guest`);
  return root;
}

function numbersOf(socket: string): { endpoint: number; stub: number } {
  using first = new RawControl(socket);
  first.await((kind) => kind === KIND.MEMCTX);
  return { endpoint: first.endpoints.get("vm") ?? -1, stub: first.endpoints.get("stub0") ?? -1 };
}

async function write(): Promise<BenchResult> {
  await using vm = await startGuest({ programs: ["pattern"] });
  const program = await vm.agent.start("pattern", "1", "1");
  const [, address = ""] = await program.lineMatching(/^ready \d+ (0x[0-9a-f]+) \d+/);
  const config = `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\n[write]\n` +
    `extents = [{ endpoint = "vm", space = "process", from = "${address}", to = "0x7fffffffffff" }]\n`;
  const root = rootOf(vm.pid, program.pid);
  return await withConfig(config, async (args) => {
    await using daemon = await serveStubs(1, args);
    const { endpoint, stub } = numbersOf(daemon.socket);
    // Without CORE in its subscription it is no auditor, which would be sent a second frame a write.
    using control = new RawControl(daemon.socket, 1 << SOURCE.MEMCTX);
    control.await((kind) => kind === KIND.MEMCTX);
    control.ask(control.frameOf(KIND.CMD_ACQUIRE, endpoint, (event) => {
      event.words[0] = LEASE_CLASS.MEMWRITE;
    }));
    const store = control.frameOf(KIND.CMD_MEMWRITE, endpoint, ({ view }) => {
      view.setBigUint64(0, BigInt(address), true);
      view.setUint32(8, 8, true);
      view.setUint32(12, 1 | 4, true);
      view.setBigUint64(16, BigInt(root), true);
      view.setBigUint64(24, 0x1122334455667788n, true);
    });
    const echo = control.frameOf(KIND.CMD_VM, stub, (event) => (event.words[0] = VM_OP.QUERY));
    const measure = (frame: Uint8Array<ArrayBuffer>, check: boolean): number => {
      const times = new Float64Array(WRITES);
      for (let i = 0; i < WRITES; i++) {
        const startNs = RawControl.nowNs();
        const answer = control.ask(frame);
        times[i] = (RawControl.nowNs() - startNs) / 1000;
        if (check) RawControl.mustBeOk(answer);
      }
      return times.sort()[WRITES / 2] as number;
    };
    measure(echo, false);
    measure(store, true);
    const ours: number[] = [];
    const peer: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      peer.push(measure(echo, false));
      ours.push(measure(store, true));
    }
    await program.write("peek 0 8\n");
    const seen = await program.line();
    if (seen !== "peek 8877665544332211") throw new Error(`the guest sees ${seen}`);
    return resultOf("mem.memwrite", "us", "lower", ours, peer, "a query to a stub");
  });
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [
  { name: "mem.invalidate", run: invalidate },
  { name: "mem.memwrite", run: write },
];
