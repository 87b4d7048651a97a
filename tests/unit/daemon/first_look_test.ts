/** The daemon is ready when what the first look found is in the roster, or when its time is up. */
import { assertEquals } from "@std/assert";
import { FirstLook } from "../../../src/daemon/first_look.ts";

const LONG_MS = 600_000;

Deno.test("first look: ready only when what it found is in the roster", async () => {
  const look = Promise.withResolvers<void>();
  const first = new FirstLook(LONG_MS);
  let isDone = false;
  const done = first.done(look.promise).then((inTime) => {
    isDone = true;
    return inTime;
  });
  first.told();
  look.resolve();
  for (let i = 0; i < 20; i++) await Promise.resolve();
  assertEquals(isDone, false);
  first.probed();
  assertEquals(await done, true);
});

Deno.test("first look: without a VM it is done with the look, without a look at once", async () => {
  assertEquals(await new FirstLook(LONG_MS).done(Promise.resolve()), true);
  assertEquals(await new FirstLook(LONG_MS).done(undefined), true);
});

Deno.test("first look: a look that hangs keeps nobody", async () => {
  assertEquals(await new FirstLook(1).done(new Promise(() => {})), false);
});
