// The pace: several looks a frame, few when nothing comes.
import { assert, assertEquals } from "@std/assert";
import { MS, SECOND } from "../../../../src/base/clock.ts";
import { PollPace } from "../../../../src/controls/perception/poll_pace.ts";

Deno.test("it follows the frame rate, up and down, within its bounds", () => {
  const pace = new PollPace();
  let nowNs = 0;
  const run = (intervalMs: number, frames: number) => {
    for (let i = 0; i < frames; i++) pace.onFrame(nowNs += intervalMs * MS);
    return pace.periodNs(nowNs) / MS;
  };
  assertEquals(pace.periodNs(0), 40 * MS, "idle at first");
  const at60 = run(1000 / 60, 60);
  assert(at60 > 3.5 && at60 < 5, `${at60} ms at 60 frames/s`);
  assertEquals(run(2, 200), 2, "never below the shortest period");
  assertEquals(run(1000, 60), 40, "never above the longest");
});

Deno.test("it rests when nothing comes, and less when something else does", () => {
  const pace = new PollPace();
  for (let i = 1; i <= 10; i++) pace.onFrame(i * 10 * MS);
  const endNs = 100 * MS;
  assert(pace.periodNs(endNs + SECOND) < 4 * MS);
  assertEquals(pace.periodNs(endNs + 3 * SECOND), 40 * MS);
  pace.onChange(endNs + 3 * SECOND);
  assertEquals(pace.periodNs(endNs + 3 * SECOND), 20 * MS);
});
