import { assertMatch } from "@std/assert";
import { fateWords } from "../../../src/nats/reader/fate.ts";

Deno.test("a command whose host disconnected: the command that tells its outcome can be typed as it is told", () => {
  assertMatch(fateWords("lost", "rack1/00/5"), /; vmsig outcome rack1\/00\/5 says whether/);
  assertMatch(fateWords("lost"), /; check whether it was carried out$/);
  assertMatch(fateWords("never", "rack1/00/5"), /will not be carried out$/);
  assertMatch(fateWords("forgotten"), /; check whether/);
});
