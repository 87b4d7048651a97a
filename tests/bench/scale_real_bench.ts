/**
 * The full house with real VMs: what the daemon weighs with 64 endpoints and a thousand controls, how fast an
 * event of one VM reaches its watchers, how soon one more VM is attached, what the daemon costs while nothing
 * happens, and how long its loop is ever away while everything does. Takes some two minutes, most of them to
 * watch it rest, and as much memory as it may. Pre-emption needs two users of different priority, so it runs
 * as root.
 * @module
 */
import { FRAME } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { cFloor, numbersOf } from "./c_floor.ts";
import { RawControl } from "./raw_control.ts";
import { bootOne, ENDPOINTS, hold, RealScene, runMs, serveOne } from "./scale_real_scene.ts";
import { endpointsOf, stress } from "./scale_real_stress.ts";

const ROUNDS = 7;
const CONTROLS = 1000;
/** What joins beside those that stand by: perception, and those that come and go. */
const GUESTS = 20;
/** 64 x 15 = 960, and with the others 1,000: what is measured is one group of them. */
const WATCHERS = 15;
const EVENTS = 640;
/** New guests are looked through first. */
const SETTLE_MS = 20_000;
const IDLE_ROUNDS = 5;
const IDLE_MS = 5000;
const STRESS_ROUNDS = 5;
const STRESS_MS = 6000;

async function realHouse(): Promise<BenchResult[]> {
  if (Deno.uid() !== 0) throw new Error("two users of different priority are needed: run it as root");
  await using scene = await RealScene.start();
  const results: BenchResult[] = [];
  /** Of the house while it rests and while it is stressed, MB. */
  const rss: number[] = [];
  {
    await using _standing = await hold(scene.daemon.socket, CONTROLS - GUESTS);
    results.push(await attach(scene));
    results.push(await idle(scene, rss));
    results.push(await loop(scene, rss));
  }
  results.push(await deliver(scene));
  const words = `${scene.words}, ${CONTROLS} controls; at most ${Math.max(...rss).toFixed(0)}`;
  results.push(resultOf("scale.real.rss", "MB", "lower", rss, null, words));
  return results;
}

/** From a trigger file's rename until all three seams of the last VM are up at a control. */
async function attach(scene: RealScene): Promise<BenchResult> {
  using control = new RawControl(scene.daemon.socket);
  const last = scene.vms.length - 1;
  const endpoint = (await endpointsOf(scene.daemon)).get(`vm${last}`) ?? -1;
  const isIts = (view: DataView): boolean => view.getUint32(FRAME.endpoint, true) === endpoint;
  const figures: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    scene.detach(last);
    // Gone from the roster: state 0.
    control.await((kind, view) =>
      kind === KIND.ROSTER && isIts(view) && view.getUint32(FRAME.inline, true) === 0
    );
    const missing = new Set<number>([SOURCE.VMHOST, SOURCE.INPUT, SOURCE.MEMCTX]);
    const started = performance.now();
    scene.attach(last);
    control.await((kind, view) => {
      if (kind === KIND.SEAM_UP && isIts(view)) missing.delete(view.getUint8(FRAME.source));
      return missing.size === 0;
    });
    figures.push(performance.now() - started);
  }
  return resultOf("scale.real.attach", "ms", "lower", figures, null, `${scene.words}; all three seams`);
}

/** The daemon's processor time while nothing happens, by what the scheduler counted for its threads. */
async function idle(scene: RealScene, rss: number[]): Promise<BenchResult> {
  await pause(SETTLE_MS);
  const shares: number[] = [];
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    const before = runMs(scene.daemon.pid);
    const startedMs = performance.now();
    await pause(IDLE_MS);
    const after = runMs(scene.daemon.pid);
    let spentMs = 0;
    for (const [thread, ms] of after) spentMs += ms - (before.get(thread) ?? 0);
    shares.push(spentMs / (performance.now() - startedMs) * 100);
    rss.push(scene.daemon.rssMb());
  }
  return resultOf(
    "scale.real.idle",
    "% of a core",
    "lower",
    shares,
    null,
    `${scene.words}, ${CONTROLS} controls`,
  );
}

async function loop(scene: RealScene, rss: number[]): Promise<BenchResult> {
  const figures: number[] = [];
  let [turns, late] = [0, 0];
  for (let round = 0; round < STRESS_ROUNDS; round++) {
    const outcome = await stress(scene, STRESS_MS);
    figures.push(outcome.longestMs);
    rss.push(scene.daemon.rssMb());
    turns += outcome.turns;
    late += outcome.late;
  }
  const words = `${scene.words}; ${late} of ${turns} turns over 5 ms`;
  const result = resultOf("scale.real.loop", "ms", "lower", figures, null, words);
  // Not the median: what counts is that it never was longer.
  return { ...result, ours: Math.max(...figures) };
}

/**
 * From an event's stamp until the last of its watchers has it: what the VM itself takes to stop and go on is
 * left out.
 */
async function deliver(scene: RealScene): Promise<BenchResult> {
  await using vm = await bootOne("alone");
  await using single = await serveOne(vm);
  await using _standing = await hold(scene.daemon.socket, CONTROLS - ENDPOINTS * WATCHERS - GUESTS);
  const floor = cFloor("bus_floor");
  const figureOf = async (socket: string, endpoints: number, endpoint: number): Promise<number> => {
    const args = ["deliver", socket, `${EVENTS}`, `${WATCHERS}`, `${endpoints}`, `${endpoint}`, "hello"];
    return (await numbersOf(floor, args))[1] as number;
  };
  const endpoints = await endpointsOf(scene.daemon);
  const ours: number[] = [];
  const peer: number[] = [];
  await figureOf(scene.daemon.socket, ENDPOINTS, -1);
  await figureOf(single.socket, 1, 0);
  for (let round = 0; round < ROUNDS; round++) {
    const endpoint = endpoints.get(`vm${9 * round % scene.vms.length}`) ?? -1;
    peer.push(await figureOf(single.socket, 1, 0));
    ours.push(await figureOf(scene.daemon.socket, ENDPOINTS, endpoint));
  }
  return resultOf(
    "scale.real.deliver",
    "us",
    "lower",
    ours,
    peer,
    `one real QEMU alone; ours: ${scene.words}`,
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const NAMES = ["attach", "idle", "loop", "deliver", "rss"].map((name) => `scale.real.${name}`);

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [{ name: "scale.real.attach", names: NAMES, run: realHouse }];
