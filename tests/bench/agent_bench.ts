/**
 * 100 MB to a guest and back through the daemon, as files that alternate with those of a bare client of the
 * same agent, Debian's qemu-guest-agent in a real guest, with the same size of a piece.
 * @module
 */
import { AgentControl } from "../../src/client/agent_control.ts";
import { MAX_AGENT_PIECE } from "../../src/event/agent_op.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { agentChannel, agentFiles, START_AGENT } from "../guest/agent_payload.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { numbersOf } from "./c_floor.ts";

const ROUNDS = 4;
/** Of one file. */
const BYTES = Number(Deno.env.get("VMSIG_BENCH_AGENT_MB") ?? 100) / ROUNDS * 1e6;

async function run(): Promise<BenchResult[]> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-bench-" });
  try {
    const path = `${folder}/ga.sock`;
    await using vm = await startGuest({
      modules: ["virtio_pci", "virtio_console"],
      files: await agentFiles(),
      extraArgs: agentChannel(path),
      ramMiB: 768,
    });
    const config =
      `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\nmemory = "none"\ndisplay = "none"\n`;
    await using daemon = await DaemonProcess.start({ config });
    await vm.agent.start(...START_AGENT);
    await using client = await daemon.connect("bench");
    await until("the agent is up", async () => {
      return (await client.completeRoster())[0]?.seams.includes("agent") === true;
    }, 60_000);
    await using agent = await AgentControl.of(client, "vm");
    await agent.ping();
    const local = `${folder}/file`;
    const bytes = new Uint8Array(BYTES);
    for (let at = 0; at < BYTES; at += 65_536) {
      crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65_536, BYTES)));
    }
    await Deno.writeFile(local, bytes);
    const rate = (ns: number) => BYTES / 1e6 / (ns / 1e9);
    const cp = async (from: string, to: string): Promise<number> => {
      const startMs = performance.now();
      const { code, errors } = await vmsig(["cp", from, to, "--socket", daemon.socket]);
      if (code !== 0) throw new Error(errors);
      return rate((performance.now() - startMs) * 1e6);
    };
    const peer = async (what: string, here: string): Promise<number> => {
      const program = new URL("./python/agent_peer.py", import.meta.url).pathname;
      const [ns = 0] = await numbersOf("python3", [
        program,
        path,
        what,
        here,
        "/tmp/f",
        `${MAX_AGENT_PIECE}`,
      ]);
      return rate(ns);
    };
    const to = { ours: [] as number[], theirs: [] as number[] };
    const from = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      to.ours.push(await cp(local, "vm:/tmp/f"));
      to.theirs.push(await peer("put", local));
    }
    for (let round = 0; round < ROUNDS; round++) {
      from.ours.push(await cp("vm:/tmp/f", `${folder}/back`));
      from.theirs.push(await peer("get", `${folder}/theirs`));
      for (const copy of [`${folder}/back`, `${folder}/theirs`]) {
        if (!await isSame(copy, bytes)) throw new Error(`${copy} is not what was sent`);
        await Deno.remove(copy);
      }
    }
    const name = "a bare client in Python";
    return [
      resultOf("agent.cp.to", "MB/s", "higher", to.ours, to.theirs, name),
      resultOf("agent.cp.from", "MB/s", "higher", from.ours, from.theirs, name),
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function isSame(path: string, bytes: Uint8Array): Promise<boolean> {
  const other = await Deno.readFile(path);
  return other.length === bytes.length && other.every((byte, i) => byte === bytes[i]);
}

/** The benchmarks. */
export const benches: readonly Bench[] = [
  { name: "agent.cp.to", names: ["agent.cp.to", "agent.cp.from"], run },
];
