/** Changes that are gathered. */
import { assert, assertEquals } from "@std/assert";
import { Gathering } from "../../../src/client/gathering.ts";

Deno.test("many changes are one piece of work, those that come meanwhile another one behind it", async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let runs = 0;
  let atOnce = 0;
  using gathering = new Gathering(1, async () => {
    const run = runs++;
    assert(++atOnce === 1, "never twice at a time");
    begun[run]?.resolve();
    await gates[run]?.promise;
    atOnce--;
  });
  gathering.later();
  gathering.later();
  await begun[0]?.promise;
  assertEquals(runs, 1);
  gathering.later();
  gates[0]?.resolve();
  await begun[1]?.promise;
  assertEquals(runs, 2);
  gates[1]?.resolve();
});

Deno.test("one that has ended begins nothing", async () => {
  let runs = 0;
  const gathering = new Gathering(0, () => {
    runs++;
    return Promise.resolve();
  });
  gathering.later();
  gathering[Symbol.dispose]();
  gathering.later();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(runs, 0);
});
