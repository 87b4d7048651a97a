/**
 * What became of commands: which sessions are remembered, for whom and how long, and the ids by which one
 * asks.
 */
import { assert, assertEquals } from "@std/assert";
import { KeptAnswers } from "../../../src/nats/join/kept_answers.ts";
import { RETIRED_MS, RetiredSessions } from "../../../src/nats/join/retired_sessions.ts";
import { commandIdOf, commandIdText } from "../../../src/nats/wire/outcome.ts";

const SESSION = "0123456789abcdef0123456789abcdef";

function used(): KeptAnswers {
  const kept = new KeptAnswers();
  kept.begin(1);
  kept.settle(1, Uint8Array.of(1));
  return kept;
}

Deno.test("sessions that are over are remembered by user, for an hour", () => {
  const retired = new RetiredSessions();
  retired.add("alice", "a", used(), 0);
  retired.add("alice", "b", used(), 1000);
  assertEquals(retired.find("alice", "a")?.look(1).is, "answered");
  assertEquals(retired.find("bob", "a"), undefined, "another user's session is nobody's business");
  retired.expire(RETIRED_MS + 500);
  assertEquals(retired.find("alice", "a"), undefined);
  assert(retired.find("alice", "b") !== undefined);
  retired.expire(RETIRED_MS + 1000);
  assertEquals(retired.size, 0);
});

Deno.test("no user fills the memory, nor do many", () => {
  const retired = new RetiredSessions();
  for (let i = 0; i < 1000; i++) retired.add("alice", `${i}`, used(), i);
  assertEquals(retired.size, 128);
  assert(retired.find("alice", "999") !== undefined && retired.find("alice", "1") === undefined);
  for (let i = 0; i < 100; i++) retired.add(`u${i}`, "s", used(), i);
  assertEquals(retired.size, 16);
  assert(retired.find("u99", "s") !== undefined);
  // Of one that never heard of a request it is told that it was not done.
  retired.add("idle", "s", new KeptAnswers(), 0);
  assertEquals(retired.find("idle", "s")?.look(1), { is: "new" });
});

Deno.test("a command's id is one word that reads back, and what is none is told", () => {
  for (const host of ["rack1", "a.b/c", "req", "ü"]) {
    const id = { host, session: SESSION, seq: 7 };
    assert(/^[A-Za-z0-9_=/-]+$/.test(commandIdText(id)));
    assertEquals(commandIdOf(commandIdText(id)), id);
  }
  for (
    const text of ["", "rack1", `rack1/${SESSION}/0`, `rack1/${SESSION}/4294967296`, `rack1/${SESSION}/7/8`]
  ) {
    assertEquals(commandIdOf(text), undefined, text);
  }
  assertEquals(commandIdOf(`rack1/short/7`), undefined);
  assertEquals(commandIdOf(`=zz/${SESSION}/7`), undefined);
});
