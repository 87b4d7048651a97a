/**
 * `deno task bench [NAME-OR-PREFIX…] [--json] [--root CHECKOUT]`: runs the benchmarks whose names match and
 * prints them as a table, or one JSON object a line. With a root it measures the daemon of another checkout
 * (an older build); what runs in the benchmark's own process (context.*, mem.*, vgpu.*, v2v.*) stays this
 * one's: compare.ts compares that, too. Figures are for comparing within one run; what counts is the ratio to
 * the peer.
 * @module
 */
import { messageOf } from "../../src/base/fault.ts";
import { daemonRoot } from "../fixtures/daemon_root.ts";
import type { Bench, BenchResult } from "./bench.ts";

const here = new URL("./", import.meta.url);
const USAGE = "deno task bench [NAME-OR-PREFIX…] [--json] [--root CHECKOUT]";
let json = false;
const wanted: string[] = [];
for (let i = 0; i < Deno.args.length; i++) {
  const arg = Deno.args[i] as string;
  const root = arg === "--root" ? Deno.args[++i] : arg.startsWith("--root=") ? arg.slice(7) : undefined;
  if (root !== undefined && root !== "") Deno.env.set("VMSIG_BENCH_ROOT", root);
  else if (arg === "--json") json = true;
  else if (!arg.startsWith("--")) wanted.push(arg);
  else {
    const why = arg.startsWith("--root") ? `${arg} names no checkout` : `no option ${arg}`;
    console.error(`vmsig: usage: ${why}; ${USAGE}`);
    Deno.exit(2);
  }
}
try {
  daemonRoot();
} catch (error) {
  console.error(`vmsig: missing: ${messageOf(error)}`);
  Deno.exit(3);
}

const benches: Bench[] = [];
for (const entry of [...Deno.readDirSync(here)].map((e) => e.name).sort()) {
  if (!entry.endsWith("_bench.ts")) continue;
  const module = await import(new URL(entry, here).href) as { readonly benches?: readonly Bench[] };
  benches.push(...(module.benches ?? []));
}
const namesOf = (bench: Bench): readonly string[] => bench.names ?? [bench.name];
const matches = (name: string): boolean =>
  wanted.length === 0 || wanted.some((prefix) => name.startsWith(prefix));
const chosen = benches.filter((bench) => namesOf(bench).some(matches));
if (chosen.length === 0) {
  const all = benches.flatMap(namesOf).sort().join(" ");
  console.error(`vmsig: usage: no benchmark ${wanted.join(", ")}; there are: ${all}`);
  Deno.exit(2);
}
if (!json) console.log(row(["name", "ours", "peer", "ratio", "unit", "better", "n", "peer is"]));
let failed = 0;
for (const bench of chosen) {
  try {
    const results = await bench.run();
    for (const result of Array.isArray(results) ? results : [results]) {
      if (matches(result.name)) print(result);
    }
  } catch (error) {
    failed++;
    console.error(`vmsig: refused: Cannot measure ${namesOf(bench).join(", ")}: ${messageOf(error)}`);
  }
}
Deno.exit(failed === 0 ? 0 : 1);

function print(result: BenchResult): void {
  if (json) return console.log(JSON.stringify(result));
  const { name, ours, peer, ratio, unit, better, n, peerName } = result;
  console.log(
    row([name, digits(ours), digits(peer), ratio?.toFixed(2) ?? "-", unit, better, `${n}`, peerName ?? "-"]),
  );
}

function digits(figure: number | null): string {
  if (figure === null) return "-";
  if (Math.abs(figure) >= 1000) return Math.round(figure).toLocaleString("en");
  return figure.toPrecision(3);
}

function row(cells: readonly string[]): string {
  const widths = [24, 12, 12, 6, 14, 7, 3, 0];
  return cells.map((cell, i) =>
    i > 0 && i < 4 ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)
  )
    .join("  ").trimEnd();
}
