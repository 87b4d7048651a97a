/**
 * The gate: every check and every test, one line a step with its time; the output of a step that failed is
 * shown whole. All steps run, whatever fails. The last line is "N passed, N failed": tests as the JUnit
 * reports count them, and each failed check (formatting, types, …) as one. Exit status 0 only when nothing
 * failed. Sets nothing up (scripts/test does). A signal ends what runs, removes the run's folders, and then
 * the gate as that signal does.
 *
 *   deno run -A scripts/build/ok.ts [STEP…]      all steps, or only those named
 *   deno run -A scripts/build/ok.ts --quick      about a minute: the checks but for examples and compile, and
 *                                               the unit tests that start no daemon, command or compiler
 *
 * A part is ended when it has printed nothing for half an hour, and all together where VMSIG_GATE_SECONDS
 * says so: how long they take tells of the machine, and decides nothing.
 *
 * Steps are cut into parts (a process each), of which a few run at a time: most tests wait for a guest, a
 * timer or a process, and no verdict depends on how busy the machine is. The checks begin first, so that a
 * plain mistake is told within seconds; then what takes longest, so that the last parts are short ones.
 * @module
 */
import { junitCounts } from "./junit_counts.ts";
import { endAllWatched, runWatched } from "./watched_command.ts";

interface Step {
  readonly name: string;
  /** The arguments of each part; a check has one part. */
  readonly parts: readonly (readonly string[])[];
  /** A test step's counts come from its JUnit reports. */
  readonly isTest?: boolean;
  /**
   * Whether the files of a part are run as one module that imports them all. Deno loads everything anew for
   * each file; so it loads it once, which halves the processor time of small tests.
   */
  readonly isTogether?: boolean;
}

/** A part that has ended. */
interface PartOutcome {
  readonly passed: number;
  readonly failed: number;
  /** What it printed and why it failed; empty when it passed. */
  readonly told: string;
  /** Whether SIGSEGV ended it. */
  readonly hasCrashed: boolean;
}

/** What a step came to. */
interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

const ROOT = new URL("../../", import.meta.url).pathname;
/** For so long a part may print nothing: longer than any one test takes on a machine that is very busy. */
const SILENCE_SECONDS = 1800;
/**
 * Together, for a runner that ends the whole job and then shows nothing of it: CI ends at 45 minutes, set-up
 * included. Elsewhere there is no such end.
 */
const TOTAL_SECONDS = Number(Deno.env.get("VMSIG_GATE_SECONDS") ?? (Deno.env.get("CI") ? 2400 : Infinity));
/** Unit tests that `--quick` leaves out: they start daemons, commands and compilers. */
const STARTS_PROCESSES = /^tests\/unit\/(daemon|cli|rendezvous|scripts)\//;
const STARTS_A_COMMAND = /DaemonProcess\.start\(|startVmsig\(|vmsig\(\[/;
/** Steps that it leaves out. */
const NOT_QUICK = ["examples", "compile", "hostile", "fuzz", "guest"];
/** Into so many parts the unit tests are cut. */
const UNIT_PARTS = 4;
/** Unit tests that need modules of their own: they look at what is loaded, bound or compiled when. */
const NEEDS_OWN_MODULES = /^tests\/unit\/ffi\//;
/** And the fuzzers. */
const FUZZ_PARTS = 4;
/** The guest tests that take half a minute and more; they begin before the others. */
const LONG_GUEST_TESTS = [
  "display_vnc",
  "display_dbus",
  "daemon_soak",
  "memctx_context",
  "mem_linux",
  "perception",
  "mem_images",
  "input_fight",
  "harness",
  "vgpu",
  "console",
  "agent",
];
/** What a shell, and timeout, make of SIGSEGV. */
const SIGSEGV_STATUS = 139;
/** What ends a run by hand or from outside, with its number. */
const ENDING_SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
/** Two more than there are processors, since most of a test is waiting. */
const LANES = Math.min(4, navigator.hardwareConcurrency) + 2;

/** The source files that document themselves. */
function documentedFiles(): string[] {
  const files: string[] = [];
  const folders = ["src", "ffi"];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of Deno.readDirSync(`${ROOT}${folder}`)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else if (path.endsWith(".ts") && !path.endsWith(".d.ts")) files.push(path);
    }
  }
  return files.sort();
}

/** The test files under a folder, by name. */
function testFiles(folder: string): string[] {
  const files: string[] = [];
  const folders = [`tests/${folder}`];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    for (const entry of Deno.readDirSync(`${ROOT}${next}`)) {
      const path = `${next}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else if (/[._]test\.ts$/.test(entry.name)) files.push(path);
    }
  }
  return files.sort();
}

/** The guest tests, the longest first. */
function guestFiles(): string[] {
  const rank = (file: string) => {
    const place = LONG_GUEST_TESTS.indexOf(file.replace(/^.*\/(.*)\.test\.ts$/, "$1"));
    return place < 0 ? LONG_GUEST_TESTS.length : place;
  };
  return testFiles("guest").sort((a, b) => rank(a) - rank(b));
}

function testArgs(files: readonly string[]): readonly string[] {
  return ["test", "-A", "--no-check", ...files];
}

/** The files dealt out to so many parts: neighbours, which tend to cost alike, come into different ones. */
function dealt(files: readonly string[], parts: number): readonly (readonly string[])[] {
  return Array.from({ length: parts }, (_, i) => files.filter((_, k) => k % parts === i))
    .filter((part) => part.length > 0);
}

function testStep(name: string, parts: readonly (readonly string[])[]): Step {
  return { name, parts: parts.map(testArgs), isTest: true };
}

/** Those that may share modules, and the others. */
function unitSteps(files: readonly string[]): Step[] {
  const isAlone = (file: string) => STARTS_PROCESSES.test(file) || NEEDS_OWN_MODULES.test(file);
  const alone = dealt(files.filter(isAlone), UNIT_PARTS);
  const together = dealt(files.filter((file) => !isAlone(file)), UNIT_PARTS);
  return [
    testStep("unit", alone),
    { name: "unit", parts: together, isTest: true, isTogether: true },
  ];
}

function check(name: string, args: readonly string[]): Step {
  return { name, parts: [args] };
}

function allSteps(quick: boolean): Step[] {
  const isQuick = (file: string) =>
    !STARTS_PROCESSES.test(file) && !STARTS_A_COMMAND.test(Deno.readTextFileSync(`${ROOT}${file}`));
  const unit = testFiles("unit").filter((file) => !quick || isQuick(file));
  const config = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)) as { tasks?: Record<string, unknown> };
  const hasCompile = config.tasks?.["compile:check"] !== undefined;
  return [
    check("fmt", ["fmt", "--check"]),
    check("lint", ["lint"]),
    check("check", ["check"]),
    check("layers", ["run", "-A", "scripts/build/layers.ts"]),
    check("tables", ["run", "-A", "scripts/build/tables.ts"]),
    check("pages", ["run", "-A", "scripts/build/pages.ts"]),
    check("comments", ["run", "-A", "scripts/build/comments.ts"]),
    check("docs", ["doc", "--lint", ...documentedFiles()]),
    check("examples", ["run", "-A", "scripts/build/examples.ts"]),
    ...hasCompile ? [check("compile", ["task", "compile:check"])] : [],
    // Attacks measure what the daemon weighs, and share uids: one after another.
    testStep("hostile", [["tests/hostile"]]),
    testStep("fuzz", dealt(testFiles("fuzz"), FUZZ_PARTS)),
    ...unitSteps(unit),
    testStep("guest", guestFiles().map((file) => [file])),
  ];
}

/**
 * Runs a part; once more when it was ended by SIGSEGV, and says so: Deno's test runner was seen to crash
 * between two files, where it takes a thread down that has called foreign functions. A crash that is ours
 * comes again.
 */
async function runPart(step: Step, index: number, endMs: number, reports: string): Promise<PartOutcome> {
  const outcome = await runOnce(step, index, endMs, reports);
  if (!outcome.hasCrashed) return outcome;
  console.log(`${step.name}: part ${index + 1} was ended by signal 11; it is run once more`);
  return await runOnce(step, index, endMs, reports);
}

/** Writes a module that imports the test files, and gives its path. */
function oneModule(files: readonly string[], path: string): string {
  Deno.writeTextFileSync(path, files.map((file) => `import "file://${ROOT}${file}";\n`).join(""));
  return path;
}

/**
 * A folder for the temporary files of this run alone, open to every user as /tmp is, since tests become
 * others. Its name is short: sockets lie below it, whose paths may have 107 bytes.
 */
function makeRunFolder(): string {
  const parent = Deno.env.get("TMPDIR") ?? "/tmp";
  for (;;) {
    const name = crypto.getRandomValues(new Uint16Array(1))[0]?.toString(36);
    const path = `${parent}/ok-${name}`;
    try {
      Deno.mkdirSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) continue;
      throw error;
    }
    Deno.chmodSync(path, 0o1777);
    return path;
  }
}

/** Removes it with what tests that were killed have left in it, also where one of them is still ending. */
async function removeRunFolder(path: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      await Deno.remove(path, { recursive: true });
      return;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
  console.error(`vmsig: refused: ${path} could not be removed; remove it by hand`);
}

/** The signal that ends the run; no part begins after it. */
let endedBy: keyof typeof ENDING_SIGNALS | undefined;

async function endAll(signal: keyof typeof ENDING_SIGNALS): Promise<void> {
  if (endedBy !== undefined) return;
  endedBy = signal;
  await endAllWatched();
}

async function runOnce(step: Step, index: number, endMs: number, reports: string): Promise<PartOutcome> {
  const name = `${reports}/${step.name}-${step.isTogether === true ? "together-" : ""}${index}`;
  const report = `${name}.xml`;
  const files = step.parts[index] ?? [];
  const part = step.isTogether === true ? testArgs([oneModule(files, `${name}_test.ts`)]) : files;
  const args = step.isTest ? [...part.slice(0, 1), `--junit-path=${report}`, ...part.slice(1)] : part;
  const { code, printed, ended } = await runWatched(
    Deno.execPath(),
    { args: [...args], cwd: ROOT, env: { NO_COLOR: "1", TMPDIR: runFolder } },
    { silenceMs: 1000 * SILENCE_SECONDS, endMs },
  );
  const counts = step.isTest ? await junitCounts(report) : { passed: 0, failed: 0 };
  // A test file that does not load, or a run that was ended or crashed, is a failure that no report counts.
  const failed = code !== 0 && counts.failed === 0 ? 1 : counts.failed;
  let told = "";
  if (failed > 0 && endedBy === undefined) {
    told = printed.trimEnd();
    const part = `${step.name} (${files.at(-1)})`;
    if (ended === "silent") told += `\nvmsig: timed-out: ${part} printed nothing for ${SILENCE_SECONDS} s`;
    else if (ended === "late") told += `\nvmsig: timed-out: ${part} was ended: ${TOTAL_SECONDS} s are over`;
    else if (code > 128) told += `\nvmsig: refused: ${part} was ended by signal ${code - 128}`;
  }
  return { passed: counts.passed, failed, told, hasCrashed: code === SIGSEGV_STATUS };
}

/** Says what a step came to, and shows what failed in it. */
function conclude(step: Step, parts: readonly PartOutcome[], startedMs: number): Outcome {
  let passed = 0;
  let failed = 0;
  for (const part of parts) {
    passed += part.passed;
    failed += part.failed;
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const detail = step.isTest ? `${passed} passed, ${failed} failed` : failed === 0 ? "ok" : "FAILED";
  console.log(`${step.name.padEnd(8)} ${seconds.padStart(6)} s  ${detail}`);
  for (const { told } of parts) if (told !== "") console.log(told);
  return { passed, failed };
}

/** Runs all parts in lanes, in the order of the steps; a step is concluded with its last part. */
async function runAll(steps: readonly Step[], reports: string): Promise<Outcome[]> {
  const endMs = performance.now() + TOTAL_SECONDS * 1000;
  const queue = steps.flatMap((step) => step.parts.map((_, index) => ({ step, index })));
  const done = new Map<Step, { startedMs: number; parts: PartOutcome[] }>();
  const outcomes: Outcome[] = [];
  const lane = async () => {
    for (let job = queue.shift(); job !== undefined && endedBy === undefined; job = queue.shift()) {
      const { step, index } = job;
      const progress = done.get(step) ?? { startedMs: performance.now(), parts: [] };
      done.set(step, progress);
      progress.parts.push(await runPart(step, index, endMs, reports));
      if (progress.parts.length === step.parts.length) {
        outcomes.push(conclude(step, progress.parts, progress.startedMs));
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return outcomes;
}

/** The steps that the command line asks for; none, and it is told, when one of them does not exist. */
function chosenSteps(): Step[] {
  if (!(TOTAL_SECONDS > 0)) {
    console.error("vmsig: usage: VMSIG_GATE_SECONDS is a number of seconds");
    return [];
  }
  const known = allSteps(false);
  if (Deno.args.length === 0) return known;
  if (Deno.args.length === 1 && Deno.args[0] === "--quick") {
    return allSteps(true).filter(({ name }) => !NOT_QUICK.includes(name));
  }
  const unknown = Deno.args.filter((name) => !known.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(
      `vmsig: usage: no step ${unknown.join(", ")}; there are ${
        known.map((step) => step.name).join(", ")
      }, ` +
        "and --quick alone",
    );
    return [];
  }
  return known.filter((step) => Deno.args.includes(step.name));
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.addSignalListener(signal, () => void endAll(signal));
}
const reports = await Deno.makeTempDir({ prefix: "vmsig-ok-" });
const runFolder = makeRunFolder();
let outcomes: Outcome[] = [];
try {
  const steps = chosenSteps();
  if (steps.length === 0) Deno.exitCode = 2;
  else outcomes = await runAll(steps, reports);
} finally {
  await Deno.remove(reports, { recursive: true });
  await removeRunFolder(runFolder);
}
if (endedBy !== undefined) {
  console.error(`vmsig: interrupted: ${endedBy} ended the gate before all of it had run`);
  Deno.exitCode = 128 + ENDING_SIGNALS[endedBy];
} else if (Deno.exitCode === 0) {
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
  console.log(`${outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)} passed, ${failed} failed`);
  Deno.exitCode = failed === 0 ? 0 : 1;
}
