/**
 * The gate: every check and every test, one line a step with its time; the output of a step that failed is
 * shown whole. All steps run, whatever fails. The last line is "N passed, N failed": tests as the JUnit
 * reports count them, and each failed check (formatting, types, …) as one. Exit status 0 only when nothing
 * failed. Sets nothing up (scripts/test does).
 *
 *   deno run -A scripts/ok.ts [STEP…]      all steps, or only those named
 *
 * @module
 */
import { junitCounts } from "./junit_counts.ts";

interface Step {
  readonly name: string;
  readonly args: readonly string[];
  /** How long it may take; then it and what it started are ended. */
  readonly limitSeconds: number;
  /** A test step's counts come from its JUnit report. */
  readonly isTest?: boolean;
}

const ROOT = new URL("../", import.meta.url).pathname;
/** Together, whatever each step may take: CI ends at 45 minutes, set-up included. */
const TOTAL_SECONDS = 2400;

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

function tests(folder: string): readonly string[] {
  return ["test", "-A", "--no-check", "--permit-no-files", `tests/${folder}`];
}

function allSteps(): Step[] {
  const steps: Step[] = [
    { name: "fmt", args: ["fmt", "--check"], limitSeconds: 60 },
    { name: "lint", args: ["lint"], limitSeconds: 60 },
    { name: "check", args: ["check"], limitSeconds: 120 },
    { name: "layers", args: ["run", "-A", "scripts/layers.ts"], limitSeconds: 60 },
    { name: "pages", args: ["run", "-A", "scripts/pages.ts"], limitSeconds: 60 },
    { name: "comments", args: ["run", "-A", "scripts/comments.ts"], limitSeconds: 60 },
    { name: "docs", args: ["doc", "--lint", ...documentedFiles()], limitSeconds: 60 },
    { name: "unit", args: tests("unit"), limitSeconds: 600, isTest: true },
    { name: "fuzz", args: tests("fuzz"), limitSeconds: 600, isTest: true },
    { name: "hostile", args: tests("hostile"), limitSeconds: 600, isTest: true },
    { name: "guest", args: tests("guest"), limitSeconds: 1200, isTest: true },
  ];
  const config = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)) as { tasks?: Record<string, unknown> };
  if (config.tasks?.["compile:check"] !== undefined) {
    steps.push({ name: "compile", args: ["task", "compile:check"], limitSeconds: 180 });
  }
  return steps;
}

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

async function run(step: Step, leftSeconds: number, reports: string): Promise<Outcome> {
  const started = performance.now();
  const limitSeconds = Math.max(1, Math.min(step.limitSeconds, Math.floor(leftSeconds)));
  const report = `${reports}/${step.name}.xml`;
  const args = step.isTest
    ? [...step.args.slice(0, -1), `--junit-path=${report}`, ...step.args.slice(-1)]
    : step.args;
  // coreutils' timeout puts the step into a process group of its own and ends all of it.
  const command = new Deno.Command("timeout", {
    args: ["--kill-after=5", String(limitSeconds), Deno.execPath(), ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const counts = step.isTest ? await junitCounts(report) : { passed: 0, failed: 0 };
  // A test file that does not load, or a run that was ended, is a failure that no report counts.
  const failed = code !== 0 && counts.failed === 0 ? 1 : counts.failed;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const detail = step.isTest ? `${counts.passed} passed, ${failed} failed` : failed === 0 ? "ok" : "FAILED";
  console.log(`${step.name.padEnd(8)} ${seconds.padStart(6)} s  ${detail}`);
  if (failed > 0) {
    const decoder = new TextDecoder();
    console.log(`${decoder.decode(stdout)}${decoder.decode(stderr)}`.trimEnd());
    if (code === 124 || code === 137) {
      console.log(`vmsig: timed-out: ${step.name} took longer than ${limitSeconds} s`);
    }
  }
  return { passed: counts.passed, failed };
}

const known = allSteps();
const unknown = Deno.args.filter((name) => !known.some((step) => step.name === name));
if (unknown.length > 0) {
  console.error(
    `vmsig: usage: no step ${unknown.join(", ")}; there are ${known.map((step) => step.name).join(", ")}`,
  );
  Deno.exit(2);
}
const steps = Deno.args.length === 0 ? known : known.filter((step) => Deno.args.includes(step.name));
const reports = await Deno.makeTempDir({ prefix: "vmsig-ok-" });
let passed = 0;
let failed = 0;
try {
  const deadline = performance.now() + TOTAL_SECONDS * 1000;
  for (const step of steps) {
    const outcome = await run(step, (deadline - performance.now()) / 1000, reports);
    passed += outcome.passed;
    failed += outcome.failed;
  }
} finally {
  await Deno.remove(reports, { recursive: true });
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);
