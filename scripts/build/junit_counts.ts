/**
 * How many tests passed and failed, from the JUnit report that `deno test --junit-path` writes.
 * @module
 */

/**
 * The counts of a report; a missing report (the run was ended, or had no test file) counts as 0 passed and 0
 * failed. An ignored test counts as neither.
 */
export async function junitCounts(path: string): Promise<{ passed: number; failed: number }> {
  let report: string;
  try {
    report = await Deno.readTextFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { passed: 0, failed: 0 };
  }
  let passed = 0;
  let failed = 0;
  // A passing test case is empty or holds its captured output; the others hold what happened.
  for (const match of report.matchAll(/<testcase\b[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const body = match[1] ?? "";
    if (/<(failure|error)\b/.test(body)) failed++;
    else if (!/<skipped\b/.test(body)) passed++;
  }
  return { passed, failed };
}
