/** What all commands share: help, usage errors, `--json`, the socket option, exit codes; and `doctor`. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../../src/client/cli/command_table.ts";
import { parseCommandLine } from "../../../src/client/cli/command_line.ts";
import { agreeable, command, MAIN, vmsig, withDaemon } from "./command_process.ts";

Deno.test("what no daemon could make right is a usage error, before the daemon is asked", async () => {
  const nowhere = ["--socket", "/nowhere/at/all.sock"];
  const cases: [string[], RegExp][] = [
    [["type", "alpha", "naïve"], /character 3 .*nothing was typed; see vmsig type --help$/],
    [["key", "alpha", "nosuch"], /there is no key "nosuch"; see vmsig key --help$/],
    [["mouse", "alpha", "move", "40000", "0"], /from 0 to 32767.*; see vmsig mouse --help$/],
  ];
  for (const [line, text] of cases) {
    const ran = await vmsig(...line, ...nowhere);
    assertEquals([ran.code, ran.out], [2, ""]);
    assertMatch(ran.err.trimEnd(), new RegExp(`^vmsig: usage: .*${text.source}`));
    const asJson = await vmsig(...line, ...nowhere, "--json");
    assertEquals([asJson.code, asJson.out], [2, ""]);
    const { code, text: told } = JSON.parse(asJson.err) as { code: string; text: string };
    assertEquals(code, "usage");
    assertMatch(told, text);
  }
});

Deno.test("errors under --json are one object with code and text, also of a line that is not understood", async () => {
  const cases: [string[], number, string][] = [
    [["wacth", "--json"], 2, "usage"],
    [["watch", "--json", "--cuont", "3"], 2, "usage"],
    [["ls", "--json", "--socket", "/nowhere/x.sock"], 4, "unreachable"],
    [["mem", "pid:999999999", "ps", "--json"], 2, "usage"],
    [["mem", "file:/nowhere/at/all", "ps", "--json"], 1, "refused"],
  ];
  for (const [line, code, name] of cases) {
    const ran = await vmsig(...line);
    assertEquals([ran.code, ran.out], [code, ""], line.join(" "));
    assertEquals(Object.keys(JSON.parse(ran.err)), ["code", "text"]);
    assertEquals(JSON.parse(ran.err).code, name);
  }
});

Deno.test("a disk that is full is not a defect of vmsig", async () => {
  const ran = await new Deno.Command("sh", {
    args: ["-c", 'exec "$0" "$@" > /dev/full', Deno.execPath(), "run", "-A", "--no-check", MAIN, "version"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(ran.code, 1);
  assertMatch(
    new TextDecoder().decode(ran.stderr),
    /^vmsig: refused: Cannot print: No space left on device[^\n]*\n$/,
  );
});

Deno.test("VMSIG_SOCKET names the daemon's socket, and --socket is stronger", async () => {
  const env = { VMSIG_SOCKET: "/nowhere/by/environment.sock" };
  const ran = await command(["ls"], env).output();
  assertEquals(ran.code, 4);
  assertStringIncludes(new TextDecoder().decode(ran.stderr), "/nowhere/by/environment.sock");
  const named = await command(["ls", "--socket", "/nowhere/by/option.sock"], env).output();
  assertStringIncludes(new TextDecoder().decode(named.stderr), "/nowhere/by/option.sock");
});

Deno.test("without a command it prints the help", async () => {
  const ran = await vmsig();
  assertEquals([ran.code, ran.err], [0, ""]);
  assertEquals(ran.out, (await vmsig("help")).out);
});

Deno.test("usage errors are exit 2, an absent daemon exit 4, each in one line", async () => {
  const cases: [string[], number, RegExp][] = [
    [["wacth"], 2, /^vmsig: usage: .*did you mean watch\?/],
    [["watch", "--cuont", "3"], 2, /^vmsig: usage: .*did you mean --count\?/],
    [["watch", "--kind", "nope"], 2, /^vmsig: usage: .*no kind nope/],
    [["watch", "--source", "vmhots"], 2, /^vmsig: usage: .*did you mean VMHOST\?/],
    [["vm", "a", "rest"], 2, /^vmsig: usage: .*did you mean reset\?/],
    [["vm", "a"], 2, /^vmsig: usage: .*argument is missing/],
    [["mouse", "a", "move", "1"], 2, /^vmsig: usage: .*move X Y/],
    [["help", "wacth"], 2, /^vmsig: usage: .*did you mean watch\?/],
    [
      ["ls", "--socket", "/nowhere/x.sock"],
      4,
      /^vmsig: unreachable: .*\/nowhere\/x\.sock: there is no such socket, nor the folder \/nowhere; start it/,
    ],
  ];
  for (const [args, code, line] of cases) {
    const ran = await vmsig(...args);
    assertEquals([ran.code, ran.out], [code, ""], args.join(" "));
    assertMatch(ran.err, line);
    assertEquals(ran.err.trim().split("\n").length, 1, ran.err);
  }
});

Deno.test("version tells the version of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)));
  assertEquals(JSON.parse((await vmsig("version", "--json")).out).version, version);
  assertStringIncludes((await vmsig("--version")).out, `vmsig ${version} `);
});

Deno.test("every command has help, and its examples are valid lines", async () => {
  const overview = (await vmsig("help")).out;
  for (const [name, entry] of Object.entries(COMMANDS)) {
    assertStringIncludes(overview, entry.summary);
    for (const usage of entry.usage) assertStringIncludes(overview, `vmsig ${usage}`);
    const module = await entry.load();
    assert(module.details.length > 20, `${name} explains itself`);
    for (const example of module.examples) {
      const [first, ...rest] = example.match(/'[^']*'|"[^"]*"|\$'[^']*'|\S+/g) ?? [];
      assertEquals(first, name, example);
      parseCommandLine(name, module, rest);
    }
  }
});

Deno.test("doctor tells what is there, and what is missing with its remedy", async () => {
  await withDaemon(agreeable(), async (_daemon, at) => {
    const directory = await Deno.makeTempDir();
    try {
      const config = `${directory}/bad.toml`;
      await Deno.writeTextFile(config, "[daemon]\nlgo = 1\n");
      const ran = await vmsig("doctor", "--json", "--config", config, ...at);
      const findings = ran.out.trim().split("\n").map((line) => JSON.parse(line));
      assertEquals(findings.map(({ check }) => check), [
        "system",
        "shim",
        "kernel",
        "processes",
        "scheduling",
        "uinput",
        "socket",
        "config",
        "daemon",
      ]);
      const of = (name: string) => findings.find(({ check }) => check === name);
      for (const name of ["system", "shim", "kernel"]) assertEquals(of(name).state, "ok");
      assertMatch(of("daemon").found, /^it answers; uid 1000 may observe, /);
      assertEquals(of("config").state, "missing");
      assertStringIncludes(
        of("config").remedy,
        `${config}:2: daemon.lgo: there is no such key (did you mean log?)`,
      );
      for (const { state, remedy } of findings) assertEquals(state === "ok", remedy === undefined);
      assertEquals(ran.code, 3);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
  const alone = await vmsig("doctor", "--socket", "/nowhere/x.sock");
  assertEquals(alone.code, 3);
  assertMatch(alone.out, /^daemon +missing +unreachable$/m);
  assertMatch(alone.out, /^daemon: Cannot reach the daemon at \/nowhere\/x\.sock: .*vmsig serve/m);
});
