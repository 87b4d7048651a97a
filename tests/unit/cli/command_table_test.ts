/**
 * Every command, with good and bad input, plain and with `--json`: the exit code is the same both ways, an
 * error is one line or one object with its code and text on standard error and nothing on standard output,
 * and under `--json` each line of output is an object.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { COMMANDS } from "../../../src/client/cli/command_table.ts";
import { NATS_OPTIONS } from "../../../src/client/cli/nats_options.ts";
import { Output, OutputClosed } from "../../../src/client/cli/output.ts";
import { runCommand } from "../../../src/client/cli/run_command.ts";
import { DaemonProcess, vmsig } from "../../fixtures/daemon_process.ts";
import "../ffi/loaded_shim.ts";
import { COMMAND_LINES, type CommandLineRow, commonWords, GOES_ON, NEEDS_A_VM } from "./command_lines.ts";
import { CommandWorld, patientReader, type Ran, runHere } from "./command_world.ts";

async function runApart(words: readonly string[]): Promise<Ran> {
  const { code, text, errors } = await vmsig(words);
  return { code, out: text, err: errors };
}

/** The objects of a program's output. */
function objectsOf(text: string, what: string): Record<string, unknown>[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const value: unknown = JSON.parse(line);
    assert(typeof value === "object" && value !== null && !Array.isArray(value), `${what}: ${line}`);
    return value as Record<string, unknown>;
  });
}

function checkForms(row: CommandLineRow, plain: Ran, json: Ran): void {
  const what = row.words.join(" ");
  const { code = 0, error, out } = row;
  assertEquals([plain.code, json.code], [code, code], `${what}: ${plain.err}${json.err}`);
  if (error === undefined) {
    assertEquals([plain.err, json.err], ["", ""], what);
    const objects = row.isRaw ? [] : objectsOf(json.out, what);
    if (out !== undefined) {
      assertMatch(plain.out, out, what);
      assertMatch(json.out, out, what);
      assert(row.isRaw || objects.length > 0, what);
    }
    return;
  }
  assertEquals([plain.out, json.out], ["", ""], what);
  const [, name, text] = /^vmsig: ([a-z-]+): (.+)\n$/.exec(plain.err) ?? [];
  assertEquals(name, error, `${what}: ${plain.err}`);
  const told = objectsOf(json.err, what);
  assertEquals(told.map((object) => Object.keys(object)), [["code", "text"]], what);
  assertEquals(told[0]?.["code"], error, what);
  const shape = (words: unknown) => commonWords(row, String(words));
  assertEquals(shape(told[0]?.["text"]), shape(text), what);
}

Deno.test("no command is named by a literal import, whose modules Deno would read before any begins", async () => {
  const table = Deno.readTextFileSync(new URL("../../../src/client/cli/command_table.ts", import.meta.url));
  assertEquals(table.match(/import\(["'`]/g), null);
  for (const [name, { load }] of Object.entries(COMMANDS)) {
    assert((await load()).examples.length > 0, `${name} is loaded by its name`);
  }
});

Deno.test("the table has every command, with good and with bad input", () => {
  assertEquals(Object.keys(COMMAND_LINES).sort(), [...Object.keys(COMMANDS), "help"].sort());
  for (const [command, rows] of Object.entries(COMMAND_LINES)) {
    const isGood = ({ error }: CommandLineRow) => error === undefined;
    assert(rows.filter((row) => !isGood(row)).length >= 2, `${command}: bad input`);
    const isElsewhere = NEEDS_A_VM.has(command) || GOES_ON.has(command);
    assert(rows.some(isGood) !== isElsewhere, `${command}: good input`);
  }
});

Deno.test("each option of each command stands in one of its lines, good or bad", async () => {
  const missing: string[] = [];
  for (const [command, { load }] of Object.entries(COMMANDS)) {
    const words = new Set((COMMAND_LINES[command] ?? []).flatMap((row) => row.words));
    for (const [option, { letter }] of Object.entries((await load()).options ?? {})) {
      const isThere = words.has(`--${option}`) || letter !== undefined && words.has(`-${letter}`);
      if (!isThere) missing.push(`${command} --${option}`);
    }
  }
  assertEquals(missing, []);
});

Deno.test("every command line: the same exit code plain and with --json, and errors in one form", async (t) => {
  using world = new CommandWorld();
  await using daemon = await DaemonProcess.start({ stubs: 2 });
  for (const [command, rows] of Object.entries(COMMAND_LINES)) {
    await t.step(command, async () => {
      for (const row of rows) {
        const run = row.ownProcess === true ? runApart : runHere;
        const plain = await run(world.words(row, daemon.socket, false));
        checkForms(row, plain, await run(world.words(row, daemon.socket, true)));
      }
    });
  }
});

Deno.test("what is wrong with a line is told before a daemon or a server is contacted", async (t) => {
  using world = new CommandWorld();
  const nobody = [["--socket", "/nowhere/x.sock"], ["--nats", "nats://127.0.0.1:1"]];
  for (const [command, rows] of Object.entries(COMMAND_LINES)) {
    const { isClient } = await COMMANDS[command]?.load() ?? { isClient: false };
    if (isClient === false) continue;
    await t.step(command, async () => {
      for (const row of rows.filter(({ error, ownProcess }) => error === "usage" && ownProcess !== true)) {
        const [name = "", ...rest] = world.words({ ...row, isWithoutSocket: true }, "", false);
        for (const server of nobody) {
          // It says itself whom it means, or is wrong only where no server is named.
          const isOfNats = row.isForNats ||
            Object.keys(NATS_OPTIONS).some((each) => rest.includes(`--${each}`));
          if (rest.includes(server[0] as string) || isOfNats && server[0] === "--nats") continue;
          const { code, err } = await runHere([name, ...server, ...rest]);
          assertEquals([code, err.split(":", 2)], [2, ["vmsig", " usage"]], `${row.words.join(" ")}: ${err}`);
        }
      }
    });
  }
});

Deno.test("whatever prints says so when it cannot, and ends quietly when nobody reads", async (t) => {
  using world = new CommandWorld();
  await using daemon = await DaemonProcess.start({ stubs: 2 });
  const full = () => {
    throw new Fault("refused", "Cannot print: No space left on device (os error 28)");
  };
  const closed = () => {
    throw new OutputClosed();
  };
  for (const [command, rows] of Object.entries(COMMAND_LINES)) {
    const row = rows.find(({ out, ownProcess }) => out !== undefined && ownProcess !== true);
    if (row === undefined) continue;
    await t.step(command, async () => {
      for (const isJson of [false, true]) {
        const words = world.words(row, daemon.socket, isJson);
        const refused = await runHere(words, full);
        assertEquals(refused.code, 1, command);
        if (isJson) assertEquals(objectsOf(refused.err, command)[0]?.["code"], "refused");
        else assertMatch(refused.err, /^vmsig: refused: Cannot print: No space left [^\n]*\n$/);
        const quiet = await runHere(words, closed);
        assertEquals([quiet.code, quiet.err], [0, ""], command);
      }
    });
  }
});

Deno.test("replay ends with 0 when it has played to its end, plain and with --json", async () => {
  using world = new CommandWorld();
  for (const isJson of [false, true]) {
    const socket = `${world.folder}/replay${isJson}.sock`;
    const ready = Promise.withResolvers<void>();
    let out = "";
    const words = [
      "replay",
      world.recording,
      "--speed",
      "0",
      "--socket",
      socket,
      ...isJson ? ["--json"] : [],
    ];
    let err = "";
    const ended = runCommand(words, {
      out: new Output((bytes) => {
        out += new TextDecoder().decode(bytes);
        ready.resolve();
      }, false),
      err: (line) => (err += line),
      watchReader: patientReader,
    });
    await Promise.race([ready.promise, ended]);
    const ls = await runHere(["ls", "--socket", socket]);
    assertEquals([ls.code, ls.err], [0, ""]);
    assertMatch(ls.out, /web/);
    assertEquals([await ended, err], [0, ""]);
    if (isJson) assertEquals(objectsOf(out, "replay").map((each) => Object.keys(each)[0]), ["ready", "file"]);
    else assertMatch(out, /^ready .*\n.*0 events played, 0 not\n$/);
  }
});
