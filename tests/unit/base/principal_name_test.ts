import { assert, assertEquals } from "@std/assert";
import {
  MAX_PRINCIPAL_BYTES,
  MAX_PRINCIPAL_NAME,
  PRINCIPAL_KINDS,
  principalDefect,
  principalNameDefect,
  principalWords,
  speaksFor,
  speaksForDefect,
} from "../../../src/base/principal_name.ts";

Deno.test("names are short, of few characters, and of a kind", () => {
  for (const name of ["a", "alice", "7", "a.b_c@d-e", "x".repeat(MAX_PRINCIPAL_NAME)]) {
    assertEquals(principalNameDefect(name), "", name);
    for (const kind of PRINCIPAL_KINDS) assertEquals(principalDefect(`${kind}:${name}`), "", name);
  }
  for (
    const name of ["", "-a", ".a", "a b", "a:b", "a\n", "\u202ea", "*", "x".repeat(MAX_PRINCIPAL_NAME + 1)]
  ) {
    assert(principalNameDefect(name) !== "", name);
    assert(principalDefect(`token:${name}`) !== "", name);
  }
  for (const text of ["", "alice", ":alice", "uid:0", "Token:a", " token:a"]) {
    assert(principalDefect(text) !== "");
  }
  const longest = `token:${"x".repeat(MAX_PRINCIPAL_NAME)}`;
  assert(longest.length <= MAX_PRINCIPAL_BYTES);
});

Deno.test("who speaks for whom", () => {
  assertEquals(["token:*", "nats:*", "token:a"].map(speaksForDefect), ["", "", ""]);
  for (const item of ["*", "token", "token:**", "uid:*", "*:a", "token:a*"]) {
    assert(speaksForDefect(item) !== "", item);
  }
  assertEquals(speaksFor(["token:*"], "token:alice"), true);
  assertEquals(speaksFor(["token:bob", "nats:*"], "token:alice"), false);
  assertEquals(speaksFor(["token:alice"], "token:alice"), true);
  assertEquals(speaksFor([], "token:alice"), false);
  assertEquals(principalWords(0), "uid 0");
  assertEquals(principalWords(33, "token:alice"), "token:alice (uid 33)");
});
