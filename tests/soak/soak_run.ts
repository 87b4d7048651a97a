/**
 * A soak: for some time everything that can come and go in a daemon comes and goes at random: VMs, trigger
 * files, controls, leases (a stronger user pre-empts them), reloads. Then all of it is taken away, and the
 * daemon must hold what it held before: descriptors, mappings, about the memory.
 * @module
 */
import { DaemonProcess, type LoopTurns, until } from "../fixtures/daemon_process.ts";
import { KEPT_OF_A_WORKER, moreThan, settled } from "../fixtures/holdings.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";
import { buildRelay, ForeignControl, whyNotOthers } from "../unit/daemon/foreign_control.ts";
import { KIND } from "../../src/event/kind.ts";
import { SlowReader } from "./slow_reader.ts";
import { SoakControl, SoakTally } from "./soak_controls.ts";
import { SoakVm } from "./soak_vms.ts";

const STRONG = 54_321;
const VMS = 5;
const CONTROLS = 8;
const RATE_HZ = 500;
/** Everything has been used once by then, and V8 has compiled it. */
const WARM_SHARE = 0.25;
/** What is still there after so long is there for ever. */
const LEAK_MS = 240_000;

/** Controls' doings that a soak is for, at least; a slow machine takes more time to them. */
const ENOUGH = 100;
/** Reached by a hang alone. */
const HANG_MS = 1_200_000;

/** What a soak takes. */
export interface SoakOptions {
  /** How long it does things at random; longer, until each sort of thing has happened. */
  readonly seconds: number;
  readonly seed?: number;
  /** Told what is done, and figures. */
  readonly log: (line: string) => void;
}

/** What the daemon holds at rest. */
export interface Holdings {
  readonly fds: readonly string[];
  readonly mappings: number;
  readonly sharedMappings: readonly string[];
  readonly rssMb: number;
  /** What a daemon holds as long as it runs, and this one does not. */
  readonly missing: string;
}

/** How a soak went. */
export interface SoakReport {
  readonly seed: number;
  readonly tally: SoakTally;
  readonly actions: number;
  readonly preemptions: number;
  /** At rest, after a first quarter and at the end. */
  readonly before: Holdings;
  readonly after: Holdings;
  /**
   * Turns of the loop in the rest of the time, and how many took longer than 5 ms; the longest since the
   * start.
   */
  readonly turns: LoopTurns;
  /** For so long the loop's thread waited meanwhile for a processor that others had, ms. */
  readonly waitedMs: number;
  /** Commands that the daemon still thinks open, at rest. */
  readonly openCommands: number;
  readonly stopMs: number;
}

/** Runs one. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const random = options.seed === undefined ? new SeededRandom() : new SeededRandom(options.seed);
  const { log, seconds } = options;
  log(`VMSIG_SEED=${random.seed}`);
  const others = whyNotOthers() === "";
  const rules = others
    ? `[[admission]]\nuid = ${STRONG}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 20\n`
    : "";
  await using daemon = await DaemonProcess.start({ stubs: 2, stubRateHz: RATE_HZ, config: rules });
  const tally = new SoakTally();
  const strong = others ? strongUser(daemon) : undefined;
  try {
    let actions = await phase(daemon, random, tally, strong, seconds * WARM_SHARE, log, () => true);
    const before = await rest(daemon);
    const [turnsBefore, waitedBefore] = [await daemon.turns(), waitedMs(daemon.pid)];
    const isEnough = (): boolean =>
      tally.answered > ENOUGH && tally.refused > 0 && tally.lost > 0 &&
      strong?.granted !== 0;
    actions += await phase(daemon, random, tally, strong, seconds * (1 - WARM_SHARE), log, isEnough);
    const [turnsAfter, waitedAfter] = [await daemon.turns(), waitedMs(daemon.pid)];
    const after = await rest(daemon, before);
    const openCommands = await daemon.metric("vmsig_commands_open");
    const { ms: stopMs } = await daemon.stop();
    const turns = {
      all: turnsAfter.all - turnsBefore.all,
      late: turnsAfter.late - turnsBefore.late,
      maxMs: turnsAfter.maxMs,
    };
    const preemptions = strong?.granted ?? 0;
    return {
      ...{ seed: random.seed, tally, actions, preemptions, before, after, turns, openCommands, stopMs },
      waitedMs: waitedAfter - waitedBefore,
    };
  } catch (error) {
    throw new Error(
      `with VMSIG_SEED=${random.seed}: ${error}\nthe log ends: ${daemon.logText.slice(-2000)}`,
      {
        cause: error,
      },
    );
  }
}

interface Strong {
  granted: number;
  make(): ForeignControl;
}

function strongUser(daemon: DaemonProcess): Strong {
  Deno.chmodSync(daemon.folder, 0o755);
  const relay = buildRelay(daemon.folder);
  return { granted: 0, make: () => new ForeignControl(relay, daemon.socket, { uid: STRONG, gid: STRONG }) };
}

/** Random actions for some time, and until it is enough; everything is taken away at the end. */
async function phase(
  daemon: DaemonProcess,
  random: SeededRandom,
  tally: SoakTally,
  strong: Strong | undefined,
  seconds: number,
  log: (line: string) => void,
  isEnough: () => boolean,
): Promise<number> {
  const vms = Array.from({ length: VMS }, (_, i) => new SoakVm(daemon, i));
  const controls: SoakControl[] = [];
  const leaving: Promise<void>[] = [];
  let slow = new SlowReader(daemon.socket, tally);
  let slowSince = performance.now();
  let actions = 0;
  const untilMs = performance.now() + seconds * 1000;
  let reportMs = performance.now() + 10_000;
  while (performance.now() < untilMs || actions <= ENOUGH || !isEnough()) {
    if (performance.now() > untilMs + HANG_MS) {
      throw new Error(`too little happens: ${JSON.stringify(tally)}`);
    }
    actions++;
    const choice = random.below(100);
    if (choice < 12) await (vms[random.below(VMS)] as SoakVm).act(random);
    else if (choice < 20 && controls.length < CONTROLS) {
      controls.push(await SoakControl.join(daemon, tally, `soak ${actions}`));
    } else if (choice < 26 && controls.length > 0) {
      leaving.push((controls.splice(random.below(controls.length), 1)[0] as SoakControl).leave());
    } else if (choice < 27) {
      // A peer that goes without a word, with commands on their way.
      const careless = new SlowReader(daemon.socket, tally);
      careless[Symbol.dispose]();
    } else if (choice < 30 && strong !== undefined) await preempt(strong, random.below(2));
    else if (choice < 31) {
      await daemon.reload(await Deno.readTextFile(daemon.configPath));
    } else if (controls.length > 0) (controls[random.below(controls.length)] as SoakControl).act(random);
    if (performance.now() - slowSince > 4000) {
      slow.catchUp();
      if (random.oneIn(2)) {
        slow[Symbol.dispose]();
        slow = new SlowReader(daemon.socket, tally);
      }
      slowSince = performance.now();
    }
    if (performance.now() > reportMs) {
      log(`${actions} actions, ${tally.commands} commands, ${tally.events} events, RSS ${daemon.rssMb()} MB`);
      reportMs += 10_000;
    }
    await new Promise((resolve) => setTimeout(resolve, random.below(20)));
  }
  slow[Symbol.dispose]();
  await Promise.all([...leaving, ...controls.map((control) => control.leave())]);
  for (const vm of vms) await vm[Symbol.asyncDispose]();
  return actions;
}

/** A stronger user takes a lease of a stub, whoever has it, and gives it back. */
async function preempt(strong: Strong, stub: number): Promise<void> {
  await using control = strong.make();
  const { kind } = await control.hello();
  if (kind !== KIND.WELCOME) throw new Error(`the stronger user is not welcome: ${kind}`);
  const answer = await control.ask(KIND.CMD_ACQUIRE, stub, [0]);
  if (answer.kind === KIND.LEASE_GRANTED) strong.granted++;
}

/**
 * Waits until the daemon has let go of everything, and looks what it holds: at rest, or no more than before.
 * A surplus that never goes is what it holds.
 */
async function rest(daemon: DaemonProcess, before?: Holdings): Promise<Holdings> {
  await until("all VMs and controls are gone", async () => {
    const page = await daemon.metrics();
    return !page.includes('endpoint="vm') && /^vmsig_controls 0$/m.test(page);
  });
  const deadline = performance.now() + LEAK_MS;
  await settled(() => daemon.fds());
  for (;;) {
    const now = holdingsOf(daemon);
    const connected = now.fds.some((name) => name.startsWith("connected "));
    const isAtRest = !connected && (before === undefined || surplusOf(before, now).length === 0);
    if (isAtRest || performance.now() > deadline) return now;
    await daemon.visit();
    await daemon.metrics();
  }
}

function holdingsOf(daemon: DaemonProcess): Holdings {
  const fds = daemon.fds();
  const standing = [
    `${daemon.folder}/daemon.lock`,
    `listening ${daemon.socket}`,
    `listening ${daemon.folder}/metrics.sock`,
    "anon_inode:inotify",
    "anon_inode:[timerfd]",
    "anon_inode:[eventpoll]",
  ];
  return {
    fds,
    mappings: daemon.mappings(),
    sharedMappings: daemon.sharedMappings(),
    rssMb: daemon.rssMb(),
    missing: moreThan(fds, standing),
  };
}

/** What a daemon holds more than before, and what it should hold and does not. */
function surplusOf(before: Holdings, after: Holdings): string[] {
  const surplus: string[] = [];
  // The thread that looks at RAM comes and goes.
  const fds = moreThan([...before.fds, ...KEPT_OF_A_WORKER], after.fds);
  if (fds !== "") surplus.push(`descriptors: ${fds}`);
  if (after.missing !== "") surplus.push(`descriptors that are gone: ${after.missing}`);
  const shared = moreThan(before.sharedMappings, after.sharedMappings);
  if (shared !== "") surplus.push(`shared mappings: ${shared}`);
  if (after.mappings > before.mappings * 1.3 + 50) {
    surplus.push(`mappings: ${before.mappings} before, ${after.mappings} after`);
  }
  // V8's heap breathes; a leak of one event a command would be far more.
  if (after.rssMb > before.rssMb * 1.3 + 20) {
    surplus.push(`resident memory: ${before.rssMb} MB before, ${after.rssMb} MB after`);
  }
  return surplus;
}

/** What is wrong with how it went; nothing when the daemon is as it was. */
export function defectsOf(report: SoakReport): string[] {
  const { tally, before, after } = report;
  const defects = [...new Set(tally.failures)].slice(0, 20);
  if (tally.answered + tally.refused !== tally.commands && tally.failures.length === 0) {
    defects.push(`${tally.commands} commands, ${tally.answered} + ${tally.refused} answers`);
  }
  if (report.openCommands !== 0) defects.push(`${report.openCommands} commands are open at rest`);
  defects.push(...surplusOf(before, after));
  return defects;
}

/** How long a main thread has been ready to run without a processor, ms (the kernel's sched-stats). */
function waitedMs(pid: number): number {
  return Number(Deno.readTextFileSync(`/proc/${pid}/schedstat`).split(" ")[1]) / 1e6;
}

/** What a soak tells a person at its end. */
export function summaryOf(report: SoakReport): string {
  const { tally, turns, before, after } = report;
  return [
    `${report.actions} actions, ${report.preemptions} leases taken by the stronger user`,
    `${tally.commands} commands: ${tally.answered} done, ${tally.refused} refused`,
    `${tally.events} events seen, ${tally.lost} lost and counted by ${tally.overruns} OVERRUNs`,
    `descriptors ${before.fds.length} -> ${after.fds.length}, mappings ${before.mappings} -> ${after.mappings} ` +
    `(shared ${before.sharedMappings.length} -> ${after.sharedMappings.length}), RSS ${before.rssMb} -> ${after.rssMb} MB`,
    `${turns.all} turns of the loop, ${turns.late} over 5 ms, longest ${
      turns.maxMs.toFixed(1)
    } ms (since start); it waited ${report.waitedMs.toFixed(0)} ms for a processor`,
    `stopped in ${report.stopMs.toFixed(0)} ms`,
  ].join("\n");
}
