/** A command of the gate is ended by its silence, whatever it takes; with what it started. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { runWatched } from "../../../scripts/build/watched_command.ts";

const NEVER = { silenceMs: 600_000, endMs: Infinity };
const STILL = "'a test' has been running for over (1m0s)";

Deno.test("gate: a command that ends by itself is told with all that it printed", async () => {
  const outcome = await runWatched("sh", { args: ["-c", "echo out; echo err >&2; exit 7"] }, NEVER);
  assertEquals(outcome, { code: 7, printed: "out\nerr\n" });
});

Deno.test("gate: one that prints nothing more is ended with what it started", async () => {
  const args = ["-c", "sleep 1000 & echo $!; wait"];
  const outcome = await runWatched("sh", { args }, { silenceMs: 300, endMs: Infinity });
  assertEquals(outcome.ended, "silent");
  assert(outcome.code > 128, `${outcome.code}`);
  const pid = Number(outcome.printed);
  assertMatch(outcome.printed, /^\d+\n$/);
  // It has been told to end: its pid is nobody's, or that of a process that is ending.
  const isThere = () => {
    try {
      return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
    } catch {
      return false;
    }
  };
  while (isThere()) await new Promise((resolve) => setTimeout(resolve, 10));
});

Deno.test("gate: that a test still runs is nothing new", async () => {
  const args = ["-c", `while echo "${STILL}"; do sleep 0.05; done`];
  const outcome = await runWatched("sh", { args }, { silenceMs: 1000, endMs: Infinity });
  assertEquals(outcome.ended, "silent");
});

Deno.test("gate: past the end of the whole run it is ended though it prints", async () => {
  const args = ["-c", "while echo more; do sleep 0.05; done"];
  const outcome = await runWatched("sh", { args }, { silenceMs: 600_000, endMs: performance.now() + 300 });
  assertEquals(outcome.ended, "late");
});
