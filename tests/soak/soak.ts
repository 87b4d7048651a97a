/**
 * `deno task soak [SECONDS]`: ten minutes of everything that can come and go, for the nightly run;
 * VMSIG_SEED=N repeats one. Exit status 1 when the daemon was not afterwards what it was before.
 * @module
 */
import { defectsOf, soak, summaryOf } from "./soak_run.ts";

const seconds = Number(Deno.args[0] ?? 600);
if (!Number.isFinite(seconds) || seconds < 10) {
  console.error("vmsig: usage: deno task soak [SECONDS], at least 10");
  Deno.exit(2);
}
const given = Deno.env.get("VMSIG_SEED");
const report = await soak({
  seconds,
  ...given === undefined ? {} : { seed: Number(given) },
  log: (line) => console.log(line),
});
console.log(summaryOf(report));
const defects = defectsOf(report);
for (const defect of defects) console.error(`vmsig: refused: ${defect}`);
Deno.exit(defects.length === 0 ? 0 : 1);
