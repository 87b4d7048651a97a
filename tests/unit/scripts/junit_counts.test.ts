/**
 * The gate's counts agree with what a real `deno test` run did.
 * @module
 */
import { assertEquals } from "@std/assert";
import { junitCounts } from "../../../scripts/build/junit_counts.ts";

const TESTS = `
Deno.test("passes <x>/>", () => {});
Deno.test("fails", () => { throw new Error("x </testcase> y <skipped/>"); });
Deno.test.ignore("is ignored", () => {});
Deno.test("has steps", async (t) => {
  await t.step("passing", () => {});
  await t.step("failing", () => { throw new Error("z"); });
});
`;

Deno.test("junit: passed, failed and ignored tests and steps are told apart", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/some.test.ts`, TESTS);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-config", `--junit-path=${folder}/report.xml`, `${folder}/some.test.ts`],
      stdout: "null",
      stderr: "null",
    }).output();
    assertEquals(code, 1);
    // A failing step makes its test fail as well.
    assertEquals(await junitCounts(`${folder}/report.xml`), { passed: 2, failed: 3 });
    assertEquals(await junitCounts(`${folder}/absent.xml`), { passed: 0, failed: 0 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
