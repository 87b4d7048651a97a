/**
 * How long a command of the executable takes from start to end, beside `deno run` of an empty file by the
 * same Deno in the same run: what is ours on top of the runtime's own start. The executable is compiled by
 * the oldest Deno, whose runtime base `scripts/setup.sh compile` brings.
 * @module
 */
import { compile } from "../../scripts/build/compile.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";
import { serveStubs } from "./served.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const OLDEST = `${ROOT}.tools/deno-oldest`;
const ROUNDS = 31;

/** How long a program takes, ms. */
function time(program: string, args: readonly string[]): number {
  const started = performance.now();
  const { success } = new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).outputSync();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
  return performance.now() - started;
}

async function measure(): Promise<BenchResult[]> {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-bench-cli-" });
  try {
    const vmsig = `${folder}/vmsig`;
    const deno = `${OLDEST}/bin/deno`;
    await compile({ deno, version: Deno.readTextFileSync(`${OLDEST}/version`), output: vmsig });
    Deno.writeTextFileSync(`${folder}/empty.ts`, "");
    await using served = await serveStubs(1);
    const at = ["--socket", served.socket];
    const commands = { "cli.ls": ["ls", ...at], "cli.key": ["key", "stub0", "a", ...at] };
    const times = { "cli.ls": [] as number[], "cli.key": [] as number[], empty: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      times.empty.push(time(deno, ["run", `${folder}/empty.ts`]));
      times["cli.ls"].push(time(vmsig, commands["cli.ls"]));
      times["cli.key"].push(time(vmsig, commands["cli.key"]));
    }
    return (["cli.ls", "cli.key"] as const).map((name) =>
      resultOf(name, "ms", "lower", times[name], times.empty, "deno run of an empty file")
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** The benchmarks of this file. */
export const benches: readonly Bench[] = [{ name: "cli.ls", names: ["cli.ls", "cli.key"], run: measure }];
