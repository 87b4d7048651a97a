/** Names of a guest as `mem` tells them: in one reversible form, to a person and under --json. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { textOfBytes } from "../../../src/base/byte_text.ts";
import { printMaps, printModules, printProcesses } from "../../../src/client/cli/mem_listing.ts";
import type { Output } from "../../../src/client/cli/output.ts";
import type { GuestOs } from "../../../src/guest/guest_os.ts";

const NAMES: readonly (readonly [Uint8Array, string])[] = [
  [new Uint8Array([0x61, 0xff]), "a\\xff"],
  [new Uint8Array([0x61, 0xfe]), "a\\xfe"],
  [new TextEncoder().encode("a\\xff"), "a\\\\xff"],
  [new TextEncoder().encode("new\nline"), "new\\x0aline"],
  [new TextEncoder().encode("back\\slash"), "back\\\\slash"],
  [new TextEncoder().encode("żółw"), "żółw"],
];

function listing<T>(make: (name: string, i: number) => T): { items: T[]; end: { complete: true } } {
  return { items: NAMES.map(([bytes], i) => make(textOfBytes(bytes), i)), end: { complete: true } };
}

const os = {
  processes: () => listing((name, pid) => ({ pid, ppid: 0, name, root: 0, kernelThread: false })),
  maps: () => listing((name, i) => ({ start: i, end: i + 1, perms: "r--p", fileOffset: 0, name })),
  modules: () => listing((name, base) => ({ base, sizeBytes: 1, name })),
} as unknown as GuestOs;

function told(print: (out: Output, json: boolean) => void, json: boolean): string[] {
  const lines: string[] = [];
  const out = {
    line: (text: string) => lines.push(text),
    json: (value: unknown) => lines.push(JSON.stringify(value)),
    paint: (_tone: string, text: string) => text,
  };
  print(out as unknown as Output, json);
  return lines;
}

Deno.test("processes, mappings and modules: no two names look alike, plain and under --json", () => {
  const prints = [
    (out: Output, json: boolean) => printProcesses(out, json, os),
    (out: Output, json: boolean) => printMaps(out, json, os, { pid: 1 } as never),
    (out: Output, json: boolean) => printModules(out, json, os),
  ];
  for (const print of prints) {
    const shown = NAMES.map(([, name]) => name);
    assertEquals(told(print, true).map((line) => JSON.parse(line).name), shown);
    const plain = told(print, false).slice(-NAMES.length);
    plain.forEach((line, i) => assertStringIncludes(line + "\n", ` ${shown[i]}\n`));
  }
});
