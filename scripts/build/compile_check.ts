/**
 * `deno task compile:check`: really compiles, with the oldest supported Deno and its runtime base
 * (scripts/setup.sh compile brings both), then runs the result from another directory with an empty HOME and
 * TMPDIR, and drives a stub endpoint through it. It runs every line of the command table by it and by the
 * sources, and compares. It also sees that the executable leaves nothing behind, and
 * that the Debian package made of it is whole.
 * @module
 */
import { Fault, messageOf } from "../../src/base/fault.ts";
import { COMMANDS } from "../../src/client/cli/command_table.ts";
import { parseConfig } from "../../src/daemon/config.ts";
import { COMMAND_LINES, type CommandLineRow, commonWords } from "../../tests/unit/cli/command_lines.ts";
import { CommandWorld, type Ran, runHere } from "../../tests/unit/cli/command_world.ts";
import { compile } from "./compile.ts";
import { buildDeb } from "./deb.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const DENO = `${ROOT}.tools/deno-oldest/bin/deno`;

function pin(name: string): string {
  const found = new RegExp(`^${name}=(.*)$`, "m").exec(Deno.readTextFileSync(`${ROOT}scripts/pins.sh`));
  if (found?.[1] === undefined) throw new Fault("missing", `Cannot find ${name} in scripts/pins.sh`);
  return found[1];
}

/** A scratch home in which the executable runs. */
class Scratch {
  readonly folder = Deno.makeTempDirSync({ prefix: "vmsig-compile-" });
  readonly executable = `${this.folder}/bin/vmsig`;
  readonly socket = `${this.folder}/run/control.sock`;
  readonly #env: Record<string, string>;

  constructor() {
    for (const name of ["bin", "home", "tmp", "work"]) Deno.mkdirSync(`${this.folder}/${name}`);
    this.#env = {
      HOME: `${this.folder}/home`,
      TMPDIR: `${this.folder}/tmp`,
      PATH: "/usr/bin:/bin",
      NO_COLOR: "1",
    };
  }

  command(args: readonly string[], stdout: "piped" | "null" = "piped"): Deno.Command {
    return new Deno.Command(this.executable, {
      args: [...args],
      cwd: `${this.folder}/work`,
      clearEnv: true,
      env: this.#env,
      stdin: "null",
      stdout,
      stderr: "piped",
    });
  }

  async run(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const { code, stdout, stderr } = await this.command([...args, "--socket", this.socket]).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Files that the executable left in its HOME and TMPDIR. */
  left(): string[] {
    return ["home", "tmp", "work"].flatMap((name) =>
      [...Deno.readDirSync(`${this.folder}/${name}`)].map((entry) => `${name}/${entry.name}`)
    );
  }
}

function expect(condition: boolean, what: string): void {
  if (!condition) throw new Fault("refused", `Cannot pass the compiled executable: ${what}`);
}

async function drive(scratch: Scratch): Promise<void> {
  const version = await scratch.run(["version", "--json"]).catch((error) => ({
    code: -1,
    stdout: "",
    stderr: messageOf(error),
  }));
  // `version` takes no socket: it is told so, with the usage code.
  expect(
    version.code === 2,
    `version with --socket must be a usage error, and was ${version.code}: ${version.stderr}`,
  );
  const daemon = scratch.command(["serve", "--stub", "1", "--socket", scratch.socket]).spawn();
  const log = new Response(daemon.stderr).text();
  try {
    const reader = daemon.stdout.getReader();
    const { value } = await reader.read();
    const line = new TextDecoder().decode(value);
    expect(line === `ready ${scratch.socket}\n`, `serve printed ${JSON.stringify(line)}`);
    const ls = await scratch.run(["ls", "--json"]);
    expect(ls.code === 0 && JSON.parse(ls.stdout).name === "stub0", `ls: ${ls.stdout}${ls.stderr}`);
    const stop = await scratch.run(["vm", "stub0", "stop"]);
    expect(stop.code === 0, `vm stop: ${stop.stderr}`);
    const query = await scratch.run(["vm", "stub0", "query", "--json"]);
    expect(JSON.parse(query.stdout).state === "paused", `vm query: ${query.stdout}${query.stderr}`);
    const bad = await scratch.run(["vm", "nobody", "query"]);
    expect(bad.code === 1 && bad.stderr.startsWith("vmsig: no-endpoint:"), `bad endpoint: ${bad.stderr}`);
    await servesPage(scratch);
    await replays(scratch);
    await reader.cancel();
  } finally {
    daemon.kill("SIGTERM");
    const [{ code }, words] = await Promise.all([daemon.status, log]);
    expect(code === 0, `serve ended with ${code} on SIGTERM; its log: ${words}`);
  }
  const gone = await scratch.run(["ls"]);
  expect(gone.code === 4, `ls without a daemon ended with ${gone.code}: ${gone.stderr}`);
  expect(scratch.left().length === 0, `it left ${scratch.left().join(", ")}`);
}

/** What is recorded is replayed, and whoever watches is told that it is over: all was disposed of. */
async function replays(scratch: Scratch): Promise<void> {
  const file = `${scratch.folder}/session.cbor`;
  const recorded = await scratch.run(["record", "-o", file, "--for", "20"]);
  expect(recorded.code === 0, `record: ${recorded.stderr}`);
  const socket = `${scratch.folder}/run/replay.sock`;
  const replay = scratch.command(["replay", file, "--socket", socket]).spawn();
  const log = new Response(replay.stderr).text();
  const reader = replay.stdout.getReader();
  await reader.read();
  const watch = await scratch.command(["watch", "--socket", socket]).output();
  expect(watch.code === 0, `watch of a replay: ${new TextDecoder().decode(watch.stderr)}`);
  while (!(await reader.read()).done);
  const [{ code }, words] = await Promise.all([replay.status, log]);
  expect(code === 0, `replay ended with ${code}: ${words}`);
  expect(!exists(socket), "replay left its socket");
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The page is in the executable, whole, and somebody with the link gets in. */
async function servesPage(scratch: Scratch): Promise<void> {
  const web = scratch.command(["web", "--json", "--socket", scratch.socket]).spawn();
  const log = new Response(web.stderr).text();
  const reader = web.stdout.getReader();
  try {
    const { value } = await reader.read();
    const link = new URL(JSON.parse(new TextDecoder().decode(value)).url);
    for (const path of ["/", "/app.js", "/console.js", "/style.css", "/icon.svg"]) {
      const response = await fetch(new URL(path, link));
      const { length } = await response.bytes();
      expect(response.ok && length > 100, `web answers ${path} with ${response.status} and ${length} bytes`);
    }
    const body = link.hash.replace("#enter=", "");
    const response = await fetch(new URL("/enter", link), {
      method: "POST",
      body,
      headers: { origin: link.origin },
    });
    expect(response.status === 204, `web answers its link with ${response.status}`);
    await response.body?.cancel();
  } finally {
    await reader.cancel();
    web.kill("SIGINT");
    const [{ code }, words] = await Promise.all([web.status, log]);
    expect(code === 130, `web ended with ${code} on SIGINT: ${words}`);
  }
}

/**
 * Every line of the command table by the executable and by the sources: both end with the exit code that the
 * table says, and say the same.
 *
 * @returns how many lines there were
 */
async function crossCheck(scratch: Scratch): Promise<number> {
  using world = new CommandWorld();
  const daemon = scratch.command(["serve", "--stub", "2", "--socket", scratch.socket]).spawn();
  const log = new Response(daemon.stderr).text();
  const reader = daemon.stdout.getReader();
  let count = 0;
  try {
    await reader.read();
    const helps = Object.keys(COMMANDS).map((name) => ({ words: [name, "--help"], isWithoutSocket: true }));
    for (const row of [...Object.values(COMMAND_LINES).flat(), ...helps]) {
      await compare(scratch, world.words(row, scratch.socket, false), row);
      count++;
    }
  } finally {
    await reader.cancel();
    daemon.kill("SIGTERM");
    await Promise.all([daemon.status, log]);
  }
  return count;
}

async function compare(scratch: Scratch, words: readonly string[], row: CommandLineRow): Promise<void> {
  const what = `vmsig ${words.join(" ")}`;
  const code = row.code ?? 0;
  const ours = await ran(scratch.command(words));
  expect(ours.code === code, `${what} ended with ${ours.code}, not ${code}: ${ours.err}`);
  // In this process where that is possible: it takes a tenth of the time.
  const theirs = row.ownProcess === true ? await ran(sources(words)) : await runHere(words);
  expect(
    theirs.code === code,
    `by the sources ${what} ended with ${theirs.code}, not ${code}: ${theirs.err}`,
  );
  const said = ({ err }: Ran) => commonWords(row, err);
  expect(said(ours) === said(theirs), `${what} says "${said(ours)}", and by the sources "${said(theirs)}"`);
  const isQuiet = ours.out === "";
  expect(isQuiet === (theirs.out === ""), `${what} prints something only one of both times`);
}

async function ran(command: Deno.Command): Promise<Ran> {
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

function sources(words: readonly string[]): Deno.Command {
  return new Deno.Command(DENO, {
    args: ["run", "-q", "-A", "--no-check", `${ROOT}main.ts`, ...words],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Packages the executable, and looks into the package. */
async function pack(scratch: Scratch): Promise<void> {
  const deb = await buildDeb({ executable: scratch.executable, output: `${scratch.folder}/deb` });
  const listing = await new Deno.Command("dpkg-deb", { args: ["--contents", deb], stdout: "piped" }).output();
  const text = new TextDecoder().decode(listing.stdout);
  for (
    const path of [
      "./usr/bin/vmsig",
      "./lib/systemd/system/vmsigd.service",
      "./usr/lib/tmpfiles.d/vmsig.conf",
      "./etc/vmsig/vmsigd.toml",
      "./usr/share/man/man1/vmsig.1.gz",
      "./usr/share/bash-completion/completions/vmsig",
      "./usr/share/zsh/vendor-completions/_vmsig",
      "./usr/share/fish/vendor_completions.d/vmsig.fish",
    ]
  ) expect(text.includes(` ${path}\n`), `the package has no ${path}`);
  const config = `${ROOT}config/vmsigd.toml`;
  const both = Deno.readTextFileSync(config) + Deno.readTextFileSync(`${ROOT}config/deb/vmsigd.toml`);
  expect(parseConfig(both, "the package's vmsigd.toml").admission.length === 3, "its config has other rules");
}

const scratch = new Scratch();
try {
  const base = `${ROOT}.tools/denort-${pin("DENO_OLDEST")}`;
  for (const file of [DENO, base]) {
    try {
      Deno.statSync(file);
    } catch (error) {
      throw new Fault("missing", `Cannot check: no ${file}; run scripts/setup.sh compile`, { cause: error });
    }
  }
  const started = performance.now();
  const target = { deno: DENO, version: pin("DENO_OLDEST"), output: scratch.executable };
  // It may be that there is no bundler; of what is bundled V8 takes the code.
  await compile(target, (line) => expect(line.startsWith("not bundled"), line));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const megabytes = Math.round(Deno.statSync(scratch.executable).size / 1e6);
  await drive(scratch);
  const lines = await crossCheck(scratch);
  expect(scratch.left().length === 0, `it left ${scratch.left().join(", ")}`);
  await pack(scratch);
  console.log(
    `compile:check: ${megabytes} MB, compiled in ${seconds} s, serves a stub, runs ${lines} lines as the sources do, leaves nothing behind, and is packaged`,
  );
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  console.error(`vmsig: ${error.code}: ${error.message}`);
  Deno.exitCode = error.code === "missing" ? 3 : 1;
} finally {
  Deno.removeSync(scratch.folder, { recursive: true });
}
