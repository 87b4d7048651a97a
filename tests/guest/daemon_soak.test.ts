/**
 * The soak, for less than a minute: what `deno task soak` does for ten.
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { whyNotOthers } from "../unit/daemon/foreign_control.ts";
import { defectsOf, soak, summaryOf } from "../soak/soak_run.ts";

const SECONDS = 50;

Deno.test("a minute of everything that comes and goes leaves the daemon as it was", async () => {
  const told: string[] = [];
  const report = await soak({ seconds: SECONDS, log: (line) => told.push(line) });
  const summary = `${told[0]}\n${summaryOf(report)}`;
  assertEquals(defectsOf(report), [], summary);
  // It did what it is for.
  const { tally } = report;
  assert(report.actions > 100 && tally.answered > 100 && tally.refused > 0, summary);
  assert(tally.overruns > 0 && tally.lost > 0, summary);
  assert(report.preemptions > 0 || whyNotOthers() !== "", summary);
  // A processor that others use too may take the loop away for long; a loop that blocks by itself would do so
  // far more often than this.
  assertLess(report.turns.late, Math.max(100, report.turns.all / 10), summary);
});
