/**
 * Pre-emption over uinput, where the release of everything held is one write: the daemon runs in a guest,
 * because a test host seldom has the device. Beside it a control in C, which grabs the daemon's keyboard as a
 * QEMU that passes it on does, and asks the guest's kernel itself which keys are down when the lease is
 * granted.
 *
 * The peer is one acknowledged command through the same daemon: the last of the 20 keys, pressed alone, just
 * before each pre-emption. Both are measured after the same rest, because the first turn after one is the
 * dear one under TCG (of the same commands without a pause, each takes a third of that). One virtual CPU: two
 * would wait for each other's wake-ups and for the host's cores.
 * @module
 */
import { GUEST_DENO } from "../guest/deno_payload.ts";
import type { GuestAgent } from "../guest/guest_agent.ts";
import { startGuest } from "../guest/qemu.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { goFirst } from "./go_first.ts";
import { mustHaveRecorded } from "./recorded_keys.ts";

const ROUNDS = 7;
const WARM_UP_ROUNDS = 2;
const PREEMPTIONS = 300;
/** Of the round that the recorder reads; that one is not measured. */
const RECORDED_PREEMPTIONS = 5;
const OTHER_UID = 65_534;
const SLOT = 1;
const CONFIG_PATH = "/bench/vmsig.toml";
const SOCKET_PATH = "/bench/control.sock";
const CLIENT = new URL("./c/input_client.c", import.meta.url).pathname;
/** The keys that input_client holds, evdev codes. */
const HELD = Array.from({ length: 20 }, (_, i) => 2 + i);

function configText(): string {
  const rule = (uid: number, prio: number) =>
    `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n`;
  // Warnings only: what the guest's log says goes over its serial line, which costs more than what is
  // measured.
  return `[daemon]\nlog = "warn"\n[discovery]\nprobe = false\n` +
    `[[endpoint]]\nname = "vm"\nvmid = ${SLOT}\ninput = "uinput"\nmemory = "none"\nguest = "none"\n` +
    rule(0, 20) + rule(OTHER_UID, 10);
}

/** The node of the keyboard that the daemon has made. */
async function keyboardOf(agent: GuestAgent): Promise<string> {
  const devices = await agent.cat("/proc/bus/input/devices");
  const node = devices.match(/Name="vmsig vm keyboard"[^]*?\b(event\d+)/)?.[1];
  if (node === undefined) throw new Error(`the daemon has made no keyboard:\n${devices}`);
  return `/dev/input/${node}`;
}

/** Runs input_client: p50 and p99 of the lease, p50 and p99 of one key, us. */
async function preemptions(agent: GuestAgent, count: number, ...device: string[]): Promise<number[]> {
  const words = ["preempt", SOCKET_PATH, `${SLOT}`, `${count}`, `${OTHER_UID}`, ...device];
  const { code, text } = await agent.run("input_client", ...words);
  if (code !== 0) throw new Error(`input_client ${words.join(" ")}: ${text.trim()}`);
  return text.trim().split(" ").map(Number);
}

async function preempt(): Promise<BenchResult> {
  await using vm = await startGuest({
    kernel: "generic",
    programs: ["evrec", { name: "input_client", sources: [CLIENT] }],
    modules: ["uinput", "evdev"],
    deno: ["src", "ffi", "shim", "main.ts", "deno.json"],
    files: { [CONFIG_PATH]: configText() },
    ramMiB: 1200,
  });
  await goFirst(vm.pid);
  const { agent } = vm;
  const serve = ["serve", "--config", CONFIG_PATH, "--socket", SOCKET_PATH];
  const daemon = await agent.start(...GUEST_DENO, "/repo/main.ts", ...serve);
  await daemon.lineMatching(/^ready/);
  const keyboard = await keyboardOf(agent);
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await preemptions(agent, PREEMPTIONS, keyboard);
  const ours: number[] = [];
  const peer: number[] = [];
  const typical: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [p50 = NaN, p99 = NaN, oneKey = NaN] = await preemptions(agent, PREEMPTIONS, keyboard);
    ours.push(p99);
    peer.push(oneKey);
    typical.push(p50);
  }
  const recorder = await agent.start("evrec", "--late");
  await recorder.lineMatching(/^recording/);
  const from = recorder.text.length;
  await preemptions(agent, RECORDED_PREEMPTIONS);
  const once = [1, 0].flatMap((value) => HELD.map((code) => `${code}:${value}`));
  await mustHaveRecorded(recorder, from, Array.from({ length: RECORDED_PREEMPTIONS }, () => once).flat());
  const peerName = "p50 of one acknowledged key, the last of the 20, same daemon, in a TCG guest; " +
    `ours: p99 of 20 held keys (p50 ${Math.round(typical.sort((a, b) => a - b)[ROUNDS >> 1] ?? NaN)})`;
  return resultOf("lease.preempt.uinput", "us", "lower", ours, peer, peerName);
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [{ name: "lease.preempt.uinput", run: preempt }];
