/**
 * Half a minute in which everything happens at once in the full house: controls come and go, the input lease
 * is taken and pre-empted with keys held, VMs are attached and detached by their trigger files, the config is
 * read anew. What the loop's own histogram says of it is the result.
 * @module
 */
import { configText, type DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";
import { cFloor, numbersOf } from "./c_floor.ts";
import { RawControl } from "./raw_control.ts";
import { configOf, ENDPOINTS, OTHER_UID, type RealScene } from "./scale_real_scene.ts";

/** VMs that come and go; the others stay. */
const MOVING = 4;
const MOVE_MS = 250;
const CONTROLS = 8;
const CONTROL_MS = 25;
const RELOAD_MS = 2000;
const PREEMPTIONS = 10;
const SEED = 6;
/** What vmsig_loop_late_turns_total counts from. */
const LATE_MS = 5;

/** What a stress did, and how long the loop's turns took in it. */
export interface StressOutcome {
  /** The longest turn, ms: exact when no turn before was longer, else the upper edge of its bucket. */
  readonly longestMs: number;
  /** Turns in all. */
  readonly turns: number;
  /** Turns that took longer than 5 ms. */
  readonly late: number;
  /** Controls that joined and left. */
  readonly controls: number;
  /** Leases that were pre-empted. */
  readonly preemptions: number;
  /** Attaches and detaches. */
  readonly moves: number;
  /** Configs read. */
  readonly reloads: number;
}

/** Runs it for so long, ms. Afterwards all VMs are attached again. */
export async function stress(scene: RealScene, forMs: number): Promise<StressOutcome> {
  const { daemon } = scene;
  const before = turnsOf(await daemon.metrics());
  const over = performance.now() + forMs;
  const isOn = (): boolean => performance.now() < over;
  // All come to their end before an error goes on: none may go on alone.
  const ends = await Promise.allSettled([
    comeAndGo(daemon, isOn),
    preempt(scene, isOn),
    move(scene, isOn),
    reload(daemon, isOn),
  ]);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const [controls, preemptions, moves, reloads] = ends.map((end) =>
    end.status === "fulfilled" ? end.value : 0
  );
  const after = turnsOf(await daemon.metrics());
  return {
    longestMs: longestOf(before, after),
    turns: after.count - before.count,
    late: after.late - before.late,
    controls: controls as number,
    preemptions: preemptions as number,
    moves: moves as number,
    reloads: reloads as number,
  };
}

async function comeAndGo(daemon: DaemonProcess, isOn: () => boolean): Promise<number> {
  const controls: RawControl[] = [];
  let count = 0;
  try {
    for (; isOn(); count++) {
      controls.push(new RawControl(daemon.socket));
      if (controls.length > CONTROLS) controls.shift()?.[Symbol.dispose]();
      await pause(CONTROL_MS);
    }
    return count;
  } finally {
    for (const control of controls) control[Symbol.dispose]();
  }
}

async function preempt(scene: RealScene, isOn: () => boolean): Promise<number> {
  const random = new SeededRandom(SEED);
  const endpoints = await endpointsOf(scene.daemon);
  const staying = Math.max(1, scene.vms.length - MOVING);
  let count = 0;
  for (; isOn(); count += PREEMPTIONS) {
    const endpoint = endpoints.get(`vm${random.below(staying)}`) ?? -1;
    const args = ["preempt", scene.daemon.socket, `${endpoint}`, `${PREEMPTIONS}`, `${OTHER_UID}`];
    await numbersOf(cFloor("input_client"), args);
  }
  return count;
}

async function move(scene: RealScene, isOn: () => boolean): Promise<number> {
  const { length } = scene.vms;
  const moving = Array.from({ length: Math.min(MOVING, length - 1) }, (_, i) => length - 1 - i);
  const away = new Set<number>();
  let count = 0;
  for (; isOn(); count++) {
    const index = moving[count % moving.length];
    if (index !== undefined && away.delete(index)) scene.attach(index);
    else if (index !== undefined) {
      away.add(index);
      scene.detach(index);
    }
    await pause(MOVE_MS);
  }
  for (const index of away) scene.attach(index);
  await scene.settled();
  return count;
}

async function reload(daemon: DaemonProcess, isOn: () => boolean): Promise<number> {
  let count = 0;
  for (; isOn(); count++) {
    // Another priority: every control's grant is made anew.
    await daemon.reload(configText(configOf(20 + count % 2)));
    await pause(RELOAD_MS);
  }
  return count;
}

/** Endpoint numbers by name. */
export async function endpointsOf(daemon: DaemonProcess): Promise<ReadonlyMap<string, number>> {
  await using client = await daemon.connect("bench");
  await until("the roster has come", () => client.roster.list().length === ENDPOINTS);
  return new Map(client.roster.list().map(({ name, endpoint }) => [name, endpoint]));
}

interface Turns {
  readonly count: number;
  readonly late: number;
  readonly maxMs: number;
  /** How many took longer than so many ms, by the buckets' upper edges, growing. */
  readonly upTo: readonly { readonly ms: number; readonly count: number }[];
}

function turnsOf(page: string): Turns {
  const value = (name: string): number => {
    const found = new RegExp(`^${name} (\\S+)$`, "m").exec(page)?.[1];
    if (found === undefined) throw new Error(`no metric ${name}`);
    return Number(found);
  };
  const buckets = page.matchAll(/^vmsig_loop_turn_seconds_bucket\{le="([0-9.e-]+)"\} (\d+)$/gm);
  return {
    count: value("vmsig_loop_turn_seconds_count"),
    late: value("vmsig_loop_late_turns_total"),
    maxMs: 1000 * value("vmsig_loop_turn_seconds_max"),
    upTo: [...buckets].map(([, le, count]) => ({ ms: 1000 * Number(le), count: Number(count) })),
  };
}

function longestOf(before: Turns, after: Turns): number {
  if (after.maxMs > before.maxMs) return after.maxMs;
  const all = after.count - before.count;
  const edge = after.upTo.find(({ count }, i) => count - (before.upTo[i]?.count ?? 0) === all);
  // The counter of late turns knows an edge that lies within a bucket.
  const late = after.late === before.late ? LATE_MS : after.maxMs;
  return Math.min(after.maxMs, edge?.ms ?? after.maxMs, late);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
