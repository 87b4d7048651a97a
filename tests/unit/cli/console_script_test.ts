/** `vmsig console --expect … --send …`, on a console whose words are known: those of a replay. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { wholeShim } from "../../../ffi/shim.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/base/log.ts";
import { replay } from "../../../src/daemon/replay_daemon.ts";
import { planReplay } from "../../../src/daemon/replay_plan.ts";
import { encodeRecordedEvent, encodeRecordingHeader } from "../../../src/event/recording.ts";
import { vmsig } from "../../fixtures/daemon_process.ts";

// Loaded here and not in a test: older Deno takes a library that a test loads for a leak.
wholeShim();

const SAID = "boot\r\nlogin: \r\nhello alice\r\n\x1b[31mred\r\n";

function recording(): Uint8Array {
  const [endpoint, body] = [7 as EndpointId, new TextEncoder().encode(SAID)];
  const header = encodeRecordingHeader({
    host: { name: "h", kernel: "k" },
    versions: {},
    startedAt: "",
    startedNs: 0,
    roster: [{ endpoint, name: "web", state: "up", seams: ["console"], pid: 1, vmid: 0 }],
  });
  const item = encodeRecordedEvent({
    ...{ kind: 124, source: 7, prio: 3, endpoint, seq: 0, corr: 0, tsNs: 0 },
    ...{ inline: new Uint8Array(48), bodyFormat: 1, body, fds: 0 },
    console: { label: "serial0", role: "serial" },
  });
  return new Uint8Array([...header, ...item]);
}

Deno.test("console scripts: pairs in the order given, what came in between, time-outs, exit codes, --json", async (t) => {
  const directory = await Deno.makeTempDir();
  const ending = new AbortController();
  const socket = `${directory}/replay.sock`;
  const ready = Promise.withResolvers<void>();
  const playing = replay({
    ...{ plan: planReplay(recording(), "x"), socketPath: socket, speed: 0, stays: true, log: SILENT },
    ...{ signal: ending.signal, onReady: ready.resolve },
  });
  const run = (...words: string[]) => vmsig(["console", "web", "--socket", socket, "--backlog", ...words]);
  try {
    await ready.promise;
    await t.step(
      "each --expect awaits its text behind the one before, each --send is done between",
      async () => {
        const pairs = ["--expect", "login: ", "--send", "alice\\r", "--expect", "hello (\\w+)"];
        const { code, text, errors } = await run(...pairs, "--expect", "red", "--send", "x\\n");
        assertEquals([code, errors], [0, ""]);
        // An escape of the guest's does not reach the terminal.
        assert(!text.includes("\x1b"));
        assertMatch(text, /^boot\nlogin: \n\nhello alice\n\n.*\[31mred\n$/);
      },
    );
    await t.step("--json tells of each what it awaited, found, and what came before it", async () => {
      const { code, text } = await run("--json", "--expect", "login: ", "--expect", "hello (\\w+)");
      assertEquals(code, 0);
      assertEquals(text.trim().split("\n").map((line) => JSON.parse(line)), [
        { expected: "login: ", text: "login: ", groups: [], before: "boot\r\n" },
        { expected: "hello (\\w+)", text: "hello alice", groups: ["alice"], before: "\r\n" },
      ]);
    });
    await t.step(
      "what came before an earlier match is not found again: exit code 1, with what came last",
      async () => {
        // The first has to be found in the time in which the second is not.
        let [ms, outcome] = [2000, await run("--expect", "hello", "--expect", "login", "--timeout", "2000")];
        while (!outcome.text.includes("hello") && ms < 256_000) {
          ms *= 2;
          outcome = await run("--expect", "hello", "--expect", "login", "--timeout", `${ms}`);
        }
        const { code, text, errors } = outcome;
        assertEquals(code, 1);
        assertMatch(text, /hello\n$/);
        const missed = `Cannot find "login" on console 0 of web within ${ms} ms; it said last .*alice`;
        assertMatch(errors, new RegExp(`^vmsig: timed-out: ${missed}`));
        const asJson = await run("--json", "--expect", "nothing", "--timeout", "50");
        assertEquals([asJson.code, asJson.text, JSON.parse(asJson.errors).code], [1, "", "timed-out"]);
      },
    );
    await t.step(
      "input that ends, as /dev/null does at once, ends it after what is there and a silence",
      async () => {
        const { code, text, errors } = await run("--linger", "1");
        assertEquals([code, text, errors], [0, SAID, ""]);
        const asJson = await run("--json", "--linger", "0");
        assertEquals([asJson.code, asJson.errors], [0, ""]);
        const objects = asJson.text.trim().split("\n").map((line) => JSON.parse(line));
        assertEquals(objects.map(({ text }) => text).join(""), SAID);
      },
    );
    await t.step("^ and $ are those of a line", async () => {
      assertEquals((await run("--expect", "^hello alice\\s*$")).code, 0);
    });
    await t.step("a mistake in any step is usage, before anything is sent", async () => {
      for (const words of [["--expect", "["], ["--send", "\\z"], ["--expect", "a", "--send", "\\xg1"]]) {
        const { code, text, errors } = await run("--send", "x", ...words);
        assertEquals([code, text], [2, ""]);
        assertMatch(errors, /^vmsig: usage: /);
      }
    });
  } finally {
    ending.abort();
    await playing;
    await Deno.remove(directory, { recursive: true });
  }
});
