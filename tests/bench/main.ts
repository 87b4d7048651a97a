/**
 * `deno task bench [NAME-OR-PREFIX…] [--json]`: runs the benchmarks whose names match and prints them as a table, or one JSON object a line (contract, section 6).
 * Figures are for comparing within one run; what counts is the ratio to the peer.
 * @module
 */
import { messageOf } from "../../src/base/fault.ts";
import type { Bench, BenchResult } from "./bench.ts";

const here = new URL("./", import.meta.url);
const json = Deno.args.includes("--json");
const wanted = Deno.args.filter((arg) => !arg.startsWith("--"));
const unknownOption = Deno.args.find((arg) => arg.startsWith("--") && arg !== "--json");
if (unknownOption !== undefined) {
  console.error(`vmsig: usage: no option ${unknownOption}; deno task bench [NAME-OR-PREFIX…] [--json]`);
  Deno.exit(2);
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
