/**
 * The scripts that people copy, run as their headers say: what they cannot do is told in one line, with a
 * command's exit code.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { runScript } from "../../../src/client/run_script.ts";
import { Fault } from "../../../src/base/fault.ts";
import { FakeDaemon, type Script } from "../client/fake_daemon.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

/** Script to what stands in front of the socket. */
const SCRIPTS: Readonly<Record<string, readonly string[]>> = {
  screenshot_on_change: ["nosuch"],
  type_and_wait: ["nosuch", "x", "reset"],
  watch_and_log: ["/proc/nosuch"],
  watchdog: ["nosuch"],
  guard: ["0"],
};

async function run(name: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-P=script", `scripts/controls/${name}.ts`, ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("no daemon: one line, exit code 4, no warning", async () => {
  for (const [name, args] of Object.entries(SCRIPTS)) {
    const { code, out, err } = await run(name, ...args, "/nonexistent/control.sock");
    assertEquals([code, out], [4, ""], `${name}: ${err}`);
    assertMatch(err, new RegExp(`^${name}: unreachable: Cannot reach the daemon at [^\n]*\n$`));
  }
});

Deno.test("no such endpoint, no capability, a file that cannot be had: one line, exit code 1 or 3", async () => {
  const script: Script = {
    endpoints: ["alpha"],
    onCommand: (command, peer) => peer.ack(command),
    welcome: { caps: 0xbff },
  };
  await using daemon = new FakeDaemon(script);
  for (const [name, args] of Object.entries(SCRIPTS)) {
    const { code, out, err } = await run(name, ...args, daemon.path);
    assertEquals([code, out], [name === "watch_and_log" ? 3 : 1, ""], `${name}: ${err}`);
    const told = name === "guard"
      ? /^[^\n]*AUDIT[^\n]*\n$/
      : name === "watch_and_log"
      ? /^watch_and_log: missing: [^\n]*write access[^\n]*\n$/
      : new RegExp(`^${name}: no-endpoint: Cannot find endpoint nosuch: there are: 0 alpha\n$`);
    assertMatch(err, told);
  }
});

Deno.test("a defect of a script keeps its stack, an interrupted one its exit code", async () => {
  const before = Deno.exitCode;
  const { error } = console;
  const lines: string[] = [];
  console.error = (line: string) => lines.push(line);
  try {
    await runScript("hello", () => Promise.reject(new Fault("interrupted", "Cannot go on:\n\x1b[2J")));
    assertEquals([Deno.exitCode, lines], [130, ["hello: interrupted: Cannot go on:\\x0a\\x1b[2J"]]);
    await runScript("hello", () => Promise.resolve(3));
    assertEquals(Deno.exitCode, 3);
    const thrown = await runScript("hello", () => Promise.reject(new TypeError("ours"))).catch((e) => e);
    assertEquals(thrown instanceof TypeError, true);
    assertEquals(lines.length, 1);
  } finally {
    console.error = error;
    Deno.exitCode = before;
  }
});
