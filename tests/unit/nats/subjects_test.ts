/** Names as tokens of subjects: every name has one, and comes back from it. */
import { assertEquals, assertNotEquals } from "@std/assert";
import {
  AUDIT_SUBJECTS,
  eventsOf,
  eventSubject,
  EVERY_HOST,
  isName,
  nameOfToken,
  NOWHERE,
  requesterOf,
  requestsTo,
  requestSubject,
  token,
  wantsTo,
} from "../../../src/nats/wire/subjects.ts";

/** Whether a subject matches a pattern, as a server decides it. */
function matches(pattern: string, subject: string): boolean {
  const [want, has] = [pattern.split("."), subject.split(".")];
  return want.every((each, i) =>
    each === ">" ? has.length > i : each === "*" ? has[i] !== undefined : each === has[i]
  ) &&
    (want.at(-1) === ">" || want.length === has.length);
}

Deno.test("token: reversible, one token, no wildcards; words of ours are written otherwise", () => {
  const names = [
    "web",
    "db@1000",
    "a.b",
    "*",
    ">",
    "req",
    "want",
    "audit",
    "-",
    "",
    "ü/ß",
    "a b",
    "=41",
    "=all",
    "x".repeat(128),
  ];
  for (const name of names) {
    const text = token(name);
    assertEquals(/^[A-Za-z0-9_=-]+$/.test(text), true, name);
    assertEquals(nameOfToken(text), name);
  }
  assertEquals(new Set(names.map(token)).size, names.length);
  for (const word of ["req", "want", "audit", NOWHERE, EVERY_HOST]) assertNotEquals(token(word), word);
});

Deno.test("token: what it does not make is no name", () => {
  for (
    const text of ["=4", "=zz", "=41", "a.b", "=", "req", "=C3", "a*", "", "=FF", "=2e", "x".repeat(500)]
  ) {
    if (text !== "=") assertEquals(nameOfToken(text), undefined, text);
  }
  assertEquals(nameOfToken("="), "");
  assertEquals([isName(""), isName("x".repeat(129)), isName("rack-1")], [false, false, true]);
});

Deno.test("subjects: an event, a request, a want and the audit never meet each other's patterns", () => {
  const session = "0123456789abcdef";
  for (const name of ["req", "web", "want", "audit", "*"]) {
    const event = eventSubject("h", token(name), "CORE", "AUDIT");
    const request = requestSubject("h", "CORE", session);
    assertEquals(matches(eventsOf("CORE"), event), true);
    assertEquals(matches(eventsOf("CORE", "other"), event), false);
    assertEquals(matches(requestsTo("h"), event), false);
    assertEquals(matches(eventsOf("CORE"), request), false);
    assertEquals(matches(requestsTo("h"), request), true);
    assertEquals(wantsTo("h").some((pattern) => matches(pattern, event) || matches(pattern, request)), false);
    assertEquals(matches(AUDIT_SUBJECTS, event) || matches(AUDIT_SUBJECTS, request), false);
  }
});

Deno.test("requests: the subject says who; one that is none says nothing", () => {
  const session = "0123456789abcdef";
  assertEquals(requesterOf(requestSubject("h", "a.b", session)), {
    user: "a.b",
    userToken: "a=2Eb",
    session,
  });
  for (
    const subject of [
      "vmsig.h.req.alice.x.cmd",
      `vmsig.h.req.=.${session}.cmd`,
      `vmsig.h.req.a.${session}.cmd.x`,
      "",
      "a.b",
    ]
  ) {
    assertEquals(requesterOf(subject), undefined, subject);
  }
});
