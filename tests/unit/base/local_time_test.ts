import { assertEquals, assertMatch } from "@std/assert";
import { localTime } from "../../../src/base/local_time.ts";

const FORM = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/;

/** A date whose place has another offset, minutes as getTimezoneOffset tells them. */
function dateAt(utc: string, offset: number): Date {
  const date = new Date(utc);
  date.getTimezoneOffset = () => offset;
  return date;
}

Deno.test("a local time says which moment it is, in every time zone", () => {
  assertMatch(localTime(), FORM);
  const utc = "2026-03-01T00:05:07.042Z";
  assertEquals(localTime(dateAt(utc, 0)), "2026-03-01T00:05:07.042+00:00");
  assertEquals(localTime(dateAt(utc, -60)), "2026-03-01T01:05:07.042+01:00");
  assertEquals(localTime(dateAt(utc, 210)), "2026-02-28T20:35:07.042-03:30");
  assertEquals(localTime(dateAt(utc, -345)), "2026-03-01T05:50:07.042+05:45");
  for (const offset of [0, -60, 210, -345]) {
    assertEquals(new Date(localTime(dateAt(utc, offset))).toISOString(), utc);
  }
});
