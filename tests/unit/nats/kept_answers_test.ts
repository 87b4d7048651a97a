/** What becomes of requests: done once, answered once, and never done after somebody was told so. */
import { assertEquals, assertThrows } from "@std/assert";
import { FATE } from "../../../src/nats/wire/envelope.ts";
import { KeptAnswers } from "../../../src/nats/join/kept_answers.ts";

Deno.test("a request is new, then pending, then answered, as often as it is asked for", () => {
  const kept = new KeptAnswers();
  assertEquals(kept.look(1), { is: "new" });
  kept.begin(1);
  assertEquals(kept.look(1), { is: "fate", fate: FATE.PENDING });
  assertEquals(kept.pending, 1);
  kept.settle(1, Uint8Array.of(7));
  for (let i = 0; i < 3; i++) assertEquals(kept.look(1), { is: "answered", answer: Uint8Array.of(7) });
  assertThrows(() => kept.settle(1, Uint8Array.of(8)));
  assertThrows(() => kept.begin(1));
});

Deno.test("a request that comes after a later one is not done, and one asked for before it came neither", () => {
  const kept = new KeptAnswers();
  kept.begin(3);
  assertEquals(kept.look(1), { is: "fate", fate: FATE.NEVER });
  assertEquals(kept.look(2), { is: "fate", fate: FATE.NEVER });
  kept.never(5);
  assertEquals(kept.look(4), { is: "fate", fate: FATE.NEVER });
  assertEquals(kept.look(5), { is: "fate", fate: FATE.NEVER });
  assertEquals(kept.look(6), { is: "new" });
  assertEquals(kept.look(3), { is: "fate", fate: FATE.PENDING });
});

Deno.test("only the last answers are kept; of those before it is told that they are forgotten", () => {
  const kept = new KeptAnswers();
  for (let seq = 1; seq <= 300; seq++) {
    kept.begin(seq);
    kept.settle(seq, new Uint8Array(10));
  }
  assertEquals(kept.look(1), { is: "fate", fate: FATE.FORGOTTEN });
  assertEquals(kept.look(300).is, "answered");
  for (let seq = 301; seq <= 340; seq++) {
    kept.begin(seq);
    kept.settle(seq, new Uint8Array(65_632));
  }
  assertEquals(kept.look(301), { is: "fate", fate: FATE.FORGOTTEN });
  assertEquals(kept.look(340).is, "answered");
});

Deno.test("a request that came too late was not done, whoever asks", () => {
  const kept = new KeptAnswers();
  kept.begin(1);
  kept.skip(1);
  assertEquals(kept.look(1), { is: "fate", fate: FATE.NEVER });
  assertThrows(() => kept.settle(1, Uint8Array.of(1)));
});

Deno.test("of a session that is over it is told what was done, what was under way, and what never came", () => {
  const kept = new KeptAnswers();
  kept.begin(1);
  kept.settle(1, Uint8Array.of(7));
  kept.begin(3);
  kept.retire();
  assertEquals(kept.look(1), { is: "answered", answer: Uint8Array.of(7) });
  assertEquals(kept.look(2), { is: "fate", fate: FATE.NEVER });
  assertEquals(kept.look(3), { is: "fate", fate: FATE.LOST });
  assertEquals(kept.look(4), { is: "new" });
  // Less is kept of it: the newest.
  const large = new KeptAnswers();
  for (let seq = 1; seq <= 10; seq++) {
    large.begin(seq);
    large.settle(seq, new Uint8Array(4096));
  }
  large.retire();
  assertEquals(large.look(6), { is: "fate", fate: FATE.FORGOTTEN });
  assertEquals(large.look(7).is, "answered");
});
