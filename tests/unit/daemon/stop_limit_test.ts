/**
 * How long an orderly stop may take: time with a processor counts, time without one does not, and there is an
 * end to both.
 */
import { assert, assertEquals } from "@std/assert";
import { StopLimit, threadWaits } from "../../../src/daemon/stop_limit.ts";

/** After how many looks, 100 ms apart, it is over, when so many ms of each go by without a processor. */
function looksUntilOver(waitedMs: number): number {
  let looks = 0;
  const limit = new StopLimit({
    nowMs: () => 100 * looks,
    waits: () => new Map([["1", 0], ["2", waitedMs * looks], [`${3 + looks}`, 5000]]),
  });
  do looks++; while (!limit.isOver());
  return looks;
}

Deno.test("a stop has 1.9 s of time with a processor, and 30 s of any", () => {
  assertEquals(looksUntilOver(0), 19);
  assertEquals(looksUntilOver(50), 38);
  assertEquals(looksUntilOver(90), 190);
  assertEquals(looksUntilOver(100), 300, "it waited all the time");
  assertEquals(looksUntilOver(250), 300, "a wait that began before the look");
});

Deno.test("the kernel tells how long each thread waited", () => {
  const waits = threadWaits();
  assert(waits.has(`${Deno.pid}`), `${[...waits.keys()]}`);
  assert([...waits.values()].every((ms) => ms >= 0));
});
