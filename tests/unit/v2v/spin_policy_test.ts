import { assert, assertEquals } from "@std/assert";
import { LEARNT_SPIN_NS, MISSES_TO_STOP, SHORT_SLEEP_NS, SpinPolicy } from "../../../src/v2v/spin_policy.ts";

/** Short sleeps until it tries to look; how many there were. */
function sleepsUntilItTries(policy: SpinPolicy): number {
  for (let i = 1; i < 100_000; i++) {
    policy.slept(SHORT_SLEEP_NS - 1);
    if (policy.budgetNs(false) > 0) return i;
  }
  throw new Error("it never tries");
}

Deno.test("waits learn to look first where answers come at once, and unlearn it twice as hard", () => {
  const policy = new SpinPolicy(1000, true);
  assertEquals(policy.budgetNs(false), 0);
  const first = sleepsUntilItTries(policy);
  assertEquals(policy.budgetNs(false), LEARNT_SPIN_NS);
  for (let i = 0; i < 1000; i++) policy.hit();
  for (let i = 1; i < MISSES_TO_STOP; i++) policy.miss();
  assertEquals(policy.budgetNs(false), LEARNT_SPIN_NS, "a few misses are no reason");
  policy.miss();
  assertEquals(policy.budgetNs(false), 0);
  assertEquals(sleepsUntilItTries(policy), 2 * first);
  for (let i = 0; i < MISSES_TO_STOP; i++) policy.miss();
  assertEquals(sleepsUntilItTries(policy), 4 * first);
});

Deno.test("who is idle or slow never spins; fast receive always does", () => {
  const policy = new SpinPolicy(1000, true);
  for (let i = 0; i < 1000; i++) {
    policy.slept(SHORT_SLEEP_NS - 1);
    if (i % 8 === 7) policy.slept(SHORT_SLEEP_NS + 1);
    assertEquals(policy.budgetNs(false), 0);
  }
  assert(policy.budgetNs(true) > 0, "a batch on its way is worth a look");
  policy.fast = true;
  assertEquals(policy.budgetNs(false), 1000);
  const never = new SpinPolicy(1000, false);
  for (let i = 0; i < 1000; i++) never.slept(1);
  assertEquals([never.budgetNs(false), never.budgetNs(true)], [0, 0]);
});
