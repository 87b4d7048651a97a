/** The way back to a daemon: how often it is tried, what ends it, and that nothing is left of it. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { checkPace, Reconnector } from "../../../src/client/reconnector.ts";

const FAST = { firstMs: 1, mostMs: 4 };

function failing(codes: readonly Fault["code"][]): () => Promise<void> {
  const left = [...codes];
  return () => {
    const code = left.shift();
    return code === undefined ? Promise.resolve() : Promise.reject(new Fault(code, "Cannot"));
  };
}

Deno.test("it is tried until an attempt succeeds; what passes by itself does not end it", async () => {
  const way = new Reconnector(failing(["unreachable", "timed-out", "busy", "shutting-down"]), FAST);
  assertEquals(await way.run(), undefined);
  assertEquals(way.attempts, 5);
});

Deno.test("what does not pass by itself ends it with that fault, and so does what is no fault", async () => {
  for (const code of ["not-admitted", "protocol-error", "not-supported", "refused"] as const) {
    const way = new Reconnector(failing(["unreachable", code, "unreachable"]), FAST);
    assertEquals([(await way.run())?.code, way.attempts], [code, 2]);
  }
  const way = new Reconnector(() => Promise.reject(new Error("EMFILE")), FAST);
  const fault = await way.run();
  assertEquals(fault?.code, "refused");
  assert(fault?.message.includes("EMFILE"));
});

Deno.test("stopped while it waits, and while it tries: it tries no more, and leaves no timer", async () => {
  const patient = new Reconnector(() => Promise.resolve(), { firstMs: 3_600_000, mostMs: 3_600_000 });
  const waiting = patient.run();
  patient.stop();
  assertEquals([await waiting, patient.attempts], [undefined, 0]);
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const trying = new Reconnector(() => {
    begun.resolve();
    return gate.promise;
  }, FAST);
  const run = trying.run();
  await begun.promise;
  trying.stop();
  gate.reject(new Fault("not-admitted", "Cannot"));
  assertEquals([await run, trying.attempts], [undefined, 1]);
});

Deno.test("a pace that is not one is a bad argument", () => {
  for (
    const pace of [{ firstMs: 0 }, { firstMs: -1 }, { firstMs: 10, mostMs: 9 }, { mostMs: Infinity }, {
      firstMs: NaN,
    }]
  ) {
    assertEquals(
      (assertThrows(() => checkPace(pace), Fault) as Fault).code,
      "bad-argument",
      JSON.stringify(pace),
    );
  }
  checkPace({});
  checkPace({ firstMs: 5000 });
});
