/**
 * A scan's answer crossed a thread and came out of a guest: what does not make sense is a failed scan.
 * @module
 */
import { assertEquals } from "@std/assert";
import { checkScanAnswer } from "../../../../src/adapters/memctx/scan_port.ts";

const FOUND = {
  outcome: "found",
  kind: "linux",
  architecture: "x86-64",
  version: "6.1.0",
  root: 0x2000,
  levels: 5,
  variant: 0,
  isolated: false,
  settled: true,
  identity: "1:2",
  foundAt: 0x5000,
  ms: 12.5,
};

Deno.test("good answers pass unchanged", () => {
  assertEquals(checkScanAnswer(FOUND), FOUND as unknown as ReturnType<typeof checkScanAnswer>);
  const none = { outcome: "none", reason: "unsupported", detail: "Linux 5.10: too old" } as const;
  assertEquals(checkScanAnswer(none), none);
  const named = { ...none, system: "linux" };
  assertEquals(checkScanAnswer(named), named);
  const other = { ...FOUND, architecture: "riscv64", levels: 3 };
  assertEquals(checkScanAnswer(other), other as unknown as ReturnType<typeof checkScanAnswer>);
});

Deno.test("everything else is a failure with a text", () => {
  const bad: unknown[] = [
    null,
    1,
    "found",
    {},
    { ...FOUND, kind: "plan9" },
    { ...FOUND, root: -1 },
    { ...FOUND, root: 2 ** 52 },
    { ...FOUND, root: 0.5 },
    { ...FOUND, levels: 0 },
    { ...FOUND, levels: 9 },
    { ...FOUND, variant: -1 },
    { ...FOUND, variant: 2 ** 15 },
    { ...FOUND, variant: "0" },
    { ...FOUND, levels: 4.5 },
    { ...FOUND, architecture: "pdp11" },
    { ...FOUND, architecture: undefined },
    { outcome: "none", reason: "unsupported", system: 7, detail: "x" },
    { ...FOUND, settled: undefined },
    { ...FOUND, identity: undefined },
    { ...FOUND, foundAt: "5" },
    { outcome: "none", reason: "whim", detail: "x" },
    { outcome: "failed" },
  ];
  for (const value of bad) {
    const answer = checkScanAnswer(value);
    assertEquals(answer.outcome, "failed", JSON.stringify(value));
    assertEquals(typeof (answer as { detail: string }).detail, "string");
  }
});
