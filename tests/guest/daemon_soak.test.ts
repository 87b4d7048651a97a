/**
 * The soak, for less than a minute: what `deno task soak` does for ten.
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { whyNotOthers } from "../unit/daemon/foreign_control.ts";
import { defectsOf, soak, type SoakReport, summaryOf } from "../soak/soak_run.ts";

const SECONDS = 50;
const LONGEST = 400;
/** A turn does little: one that took 5 ms because others had the processor waited for it so long at least. */
const LATE_WAIT_MS = 4;

Deno.test("a minute of everything that comes and goes leaves the daemon as it was", async () => {
  const told: string[] = [];
  let report = await soak({ seconds: SECONDS, log: (line) => told.push(line) });
  let summary = `${told[0]}\n${summaryOf(report)}`;
  assertEquals(defectsOf(report), [], summary);
  // It did what it is for; on a machine that has other things to do that takes longer.
  const hasDone = ({ actions, tally, preemptions }: SoakReport) =>
    actions > 100 && tally.answered > 100 && tally.refused > 0 && tally.overruns > 0 && tally.lost > 0 &&
    (preemptions > 0 || whyNotOthers() !== "");
  for (let seconds = 2 * SECONDS; !hasDone(report) && seconds <= LONGEST; seconds *= 2) {
    report = await soak({ seconds, log: (line) => told.push(line) });
    summary += `\n${summaryOf(report)}`;
    assertEquals(defectsOf(report), [], summary);
  }
  assert(hasDone(report), summary);
  // Beside the turns that waited for a processor, a loop that blocks by itself is late far more often.
  const waiting = report.waitedMs / LATE_WAIT_MS;
  assertLess(report.turns.late, Math.max(100, report.turns.all / 10) + waiting, summary);
});
