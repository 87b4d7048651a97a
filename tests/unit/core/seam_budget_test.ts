import { assert, assertEquals } from "@std/assert";
import { SECOND } from "../../../src/base/clock.ts";
import { DEFAULT_QUEUE_EVENTS, MAX_ENDPOINTS } from "../../../src/base/limits.ts";
import { HOUSE_BURST, HouseBudget, SEAM_BURST, SEAM_OWN, SeamBudget } from "../../../src/core/seam_budget.ts";

/** How many events a seam may tell at once. */
function burst(seam: SeamBudget): number {
  let taken = 0;
  while (seam.take(SECOND)) taken++;
  return taken;
}

Deno.test("a seam alone has its whole burst; what commands asked for comes on top", () => {
  const seam = new SeamBudget(new HouseBudget());
  assertEquals(burst(seam), SEAM_BURST);
  seam.earn();
  assertEquals(burst(seam), 4);
});

Deno.test("however many seams flood, together they fill no control's queue, and each has its own few", () => {
  const house = new HouseBudget();
  const bursts = Array.from({ length: MAX_ENDPOINTS }, () => burst(new SeamBudget(house)));
  const all = bursts.reduce((sum, each) => sum + each, 0);
  assertEquals(all, MAX_ENDPOINTS * SEAM_OWN + HOUSE_BURST);
  assert(all < DEFAULT_QUEUE_EVENTS);
  assertEquals(Math.min(...bursts), SEAM_OWN, "who comes last is told all the same");
});

Deno.test("what others have used up comes back with time", () => {
  const house = new HouseBudget();
  while (burst(new SeamBudget(house)) > SEAM_OWN) { /* Until nothing is left to share. */ }
  const seam = new SeamBudget(house);
  assertEquals(burst(seam), SEAM_OWN);
  assert(seam.take(2 * SECOND));
});
