/**
 * The v2v figures between two processes, each beside its floor in C from the same run: 64-byte messages
 * beside a SEQPACKET socket pair with one message a call, 64 KiB messages and the stream beside memcpy,
 * ping-pong beside two eventfds. A round of ours and one of the floor's take turns.
 * @module
 */
import { V2V_MEASURES, type V2vMeasure } from "../../src/rendezvous/v2v_bench.ts";
import { compiledProgram } from "../guest/c_program.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const ROUNDS = 5;
const path = (name: string): string => new URL(name, import.meta.url).pathname;

/** What the floor program is told, what it is called, and what turns its figure into our unit. */
const FLOORS: Readonly<Record<string, readonly [args: string[], name: string, scale: number]>> = {
  "v2v.msg64": [["seqpacket", "1000000"], "SEQPACKET pair in C, one 64-byte message a call", 1],
  "v2v.msg64k": [["memcpy", "65536", "4e9"], "memcpy of 64 KiB blocks in C", 1e-9],
  "v2v.pingpong": [["pingpong", "6000"], "eventfd ping-pong in C", 1e-3],
  "v2v.pingpongFast": [["pingpong", "6000"], "eventfd ping-pong in C", 1e-3],
  "v2v.stream": [["memcpy", "65536", "4e9"], "memcpy of 64 KiB blocks in C", 1e-9],
};

async function floor(args: readonly string[], scale: number): Promise<number> {
  const program = await compiledProgram({ name: "v2v_floor", sources: [path("./c/v2v_floor.c")] });
  const { code, stdout } = await new Deno.Command(program.path, { args: [...args], stderr: "inherit" })
    .output();
  if (code !== 0) throw new Error(`v2v_floor ${args[0]} ended with ${code}`);
  return Number(new TextDecoder().decode(stdout)) * scale;
}

async function startProcess(runtimeDir: string, prefix: string, words: readonly string[]): Promise<void> {
  const args = ["run", "-A", "--quiet", path("./v2v_peer.ts"), runtimeDir, prefix, ...words];
  const { code } = await new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "inherit" })
    .output();
  if (code !== 0) throw new Error(`the other process of the bench ended with ${code}`);
}

async function measure(what: V2vMeasure): Promise<BenchResult> {
  const [args, peerName, scale] = FLOORS[what.name] ?? [[], "", 1];
  const dir = await Deno.makeTempDir({ prefix: "vmsig-v2v-bench-" });
  const ours: number[] = [], peer: number[] = [];
  try {
    for (let i = 0; i < ROUNDS; i++) {
      ours.push(await what.round(dir, startProcess));
      peer.push(await floor(args, scale));
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  return resultOf(what.name, what.unit, what.better, ours, peer, peerName);
}

/** The benches of section 6 that begin with `v2v.`. */
export const benches: Bench[] = V2V_MEASURES.map((what) => ({ name: what.name, run: () => measure(what) }));
