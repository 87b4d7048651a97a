/**
 * `deno task bench:compare OLD_CHECKOUT NAME-OR-PREFIX… [--rounds N]`: runs the benchmarks of two checkouts,
 * each its own, in turn (old new, new old, …), and prints for each name the median of its rounds on both
 * sides and the ratio new / old: the median of the rounds' own ratios, with the smallest and the largest.
 *
 * Each round is a whole run of `tests/bench/main.ts --json` in that checkout, which is interleaved with its
 * peer itself; so what differs from one minute to the next hits both. Where a figure has a peer, the ratio of
 * the two ratios to the peer stands beside it: it takes out what the machine did to both. A name that only
 * one of the two has is told and left out. With `--daemon-only` both sides are measured by this checkout's
 * benchmarks and only the daemon is the old one's: for figures that the old checkout has no benchmark of.
 *
 * Exit status: 0 measured, 1 a benchmark failed, 2 usage.
 * @module
 */
import { messageOf } from "../../src/base/fault.ts";
import { type BenchResult, median } from "./bench.ts";

const USAGE = "deno task bench:compare OLD_CHECKOUT NAME-OR-PREFIX… [--rounds N] [--daemon-only] [--json]";
const NEW = new URL("../../", import.meta.url).pathname;
const DEFAULT_ROUNDS = 5;
/** One run of what was asked for may take so long. */
const RUN_SECONDS = 1800;

interface Plan {
  readonly old: string;
  readonly names: readonly string[];
  readonly rounds: number;
  readonly daemonOnly: boolean;
  readonly json: boolean;
}

/** The figures of one name, a round each. */
interface Sides {
  readonly old: BenchResult[];
  readonly new: BenchResult[];
}

function planOf(args: readonly string[]): Plan {
  const words: string[] = [];
  let [rounds, daemonOnly, json] = [DEFAULT_ROUNDS, false, false];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (arg === "--rounds") rounds = Number(args[++i]);
    else if (arg === "--daemon-only") daemonOnly = true;
    else if (arg === "--json") json = true;
    else if (arg.startsWith("--")) usage(`no option ${arg}`);
    else words.push(arg);
  }
  const [old, ...names] = words;
  if (old === undefined || names.length === 0) usage("an old checkout and at least one name are needed");
  if (!Number.isInteger(rounds) || rounds < 1) usage("--rounds is a whole number from 1");
  for (const file of ["main.ts", "tests/bench/main.ts"]) {
    try {
      Deno.statSync(`${old}/${file}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      usage(`${old} is no checkout of vmsig: there is no ${file}`);
    }
  }
  return { old: Deno.realPathSync(old) + "/", names, rounds, daemonOnly, json };
}

function usage(why: string): never {
  console.error(`vmsig: usage: ${why}; ${USAGE}`);
  Deno.exit(2);
}

/** One run of a checkout's benchmarks; what failed in it is told and left out. */
async function measure(root: string, names: readonly string[], daemon: string): Promise<BenchResult[]> {
  const args = [`--kill-after=10`, `${RUN_SECONDS}`, Deno.execPath(), "run", "-A", "--no-check"];
  args.push("--config", `${root}deno.json`, `${root}tests/bench/main.ts`, "--json", ...names);
  const { code, stdout } = await new Deno.Command("timeout", {
    args,
    cwd: root,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    env: { VMSIG_BENCH_ROOT: daemon },
  }).output();
  const text = new TextDecoder().decode(stdout).trim();
  if (code !== 0) {
    failed = true;
    console.error(`vmsig: refused: the benchmarks of ${root} ended with ${code}`);
  }
  return text === "" ? [] : text.split("\n").map((line) => JSON.parse(line) as BenchResult);
}

async function build(root: string): Promise<void> {
  const { code, stderr } = await new Deno.Command(`${root}scripts/build-shim`, { cwd: root }).output();
  if (code !== 0) throw new Error(`${root}scripts/build-shim: ${new TextDecoder().decode(stderr)}`);
}

function note(
  figures: Map<string, Sides>,
  side: "old" | "new",
  results: readonly BenchResult[],
): void {
  for (const result of results) {
    const sides = figures.get(result.name) ?? { old: [], new: [] };
    figures.set(result.name, sides);
    sides[side].push(result);
  }
}

function print(name: string, sides: Sides, json: boolean): void {
  const n = Math.min(sides.old.length, sides.new.length);
  if (n === 0) {
    const side = sides.old.length === 0 ? "old" : "new";
    console.error(`vmsig: ${name} was not measured on the ${side} side: left out`);
    return;
  }
  const ratios: number[] = [];
  const normal: number[] = [];
  for (let i = 0; i < n; i++) {
    const [before, after] = [sides.old[i] as BenchResult, sides.new[i] as BenchResult];
    if (before.ours !== 0) ratios.push(after.ours / before.ours);
    if (before.ratio !== null && after.ratio !== null && before.ratio !== 0) {
      normal.push(after.ratio / before.ratio);
    }
  }
  const { unit, better } = sides.new[0] as BenchResult;
  const oldFigure = median(sides.old.map((each) => each.ours));
  const newFigure = median(sides.new.map((each) => each.ours));
  const [ratio, byPeer] = [ratios, normal].map((all) => all.length > 0 ? median(all) : null);
  const [least, most] = ratios.length > 0 ? [Math.min(...ratios), Math.max(...ratios)] : [null, null];
  if (json) {
    const line = { name, unit, better, old: oldFigure, new: newFigure, ratio, least, most, byPeer, n };
    return console.log(JSON.stringify(line));
  }
  const digits = (figure: number | null | undefined): string => figure?.toFixed(3) ?? "-";
  const size = (figure: number): string =>
    Math.abs(figure) >= 1000 ? Math.round(figure).toLocaleString("en") : figure.toPrecision(4);
  const range = least === null ? "-" : `${digits(least)}-${digits(most)}`;
  const cells = [size(oldFigure), size(newFigure), digits(ratio), range, digits(byPeer)];
  console.log(row([name, ...cells, unit, better, `${n}`]));
}

function row(cells: readonly string[]): string {
  const widths = [26, 12, 12, 7, 13, 7, 14, 7, 0];
  return cells.map((cell, i) =>
    i > 0 && i < 6 ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)
  ).join("  ").trimEnd();
}

let failed = false;
const plan = planOf(Deno.args);
const figures = new Map<string, Sides>();
try {
  for (const root of [plan.old, NEW]) await build(root);
  const sideOf = {
    old: () => measure(plan.daemonOnly ? NEW : plan.old, plan.names, plan.old),
    new: () => measure(NEW, plan.names, NEW),
  };
  for (let round = 0; round < plan.rounds; round++) {
    // The other one first in every second round: what grows from run to run hits both.
    for (const side of round % 2 === 0 ? ["old", "new"] as const : ["new", "old"] as const) {
      note(figures, side, await sideOf[side]());
    }
  }
} catch (error) {
  console.error(`vmsig: refused: ${messageOf(error)}`);
  Deno.exit(1);
}
if (!plan.json) {
  console.log(row(["name", "old", "new", "new/old", "least-most", "by peer", "unit", "better", "n"]));
}
for (const [name, sides] of figures) print(name, sides, plan.json);
Deno.exit(failed ? 1 : 0);
