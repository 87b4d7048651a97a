/**
 * Each thing that the gate must refuse, put into a copy of the sources and given to the gate's own check: it
 * fails, and names the file and the line.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../../", import.meta.url).pathname;
const COPIED = ["src", "ffi", "scripts", "deno.json", "deno.lock", "main.ts"];

interface Spoiled {
  readonly what: string;
  /** The file that is spoiled, and by what. */
  readonly file: string;
  readonly change: (text: string) => string;
  /** The check that finds it. */
  readonly check: readonly string[];
  /** What it prints; LINE is where `change` changed the file. */
  readonly told: string;
}

const UP = "src/event/kinds/up_kinds.ts";
const TABLES = ["run", "-A", "scripts/build/tables.ts"];

/** Changes one text in the row of a kind. */
const inRow = (kind: string, from: string | RegExp, to: string) => (text: string): string => {
  const at = text.indexOf(`  ${kind}: {`);
  return text.slice(0, at) + text.slice(at).replace(from, to);
};

const CASES: readonly Spoiled[] = [
  {
    what: "a row that lacks a cell",
    file: UP,
    change: inRow("CURSOR_STATE", /\n +prio: .*/, ""),
    check: ["check", "src/event/catalogue.ts"],
    told: String.raw`prio[^]*${UP}:\d+:\d+`,
  },
  {
    what: "a retired number",
    file: UP,
    change: inRow("CURSOR_STATE", "number: 37", "number: 33"),
    check: TABLES,
    told: String.raw`^${UP}:ROW: CURSOR_STATE: number 33 is retired$`,
  },
  {
    what: "a taken number",
    file: UP,
    change: inRow("ROSTER", "number: 80", "number: 112"),
    check: TABLES,
    told: String.raw`:\d+: CMD_BARRIER: number 112 is taken by ROSTER$`,
  },
  {
    what: "a capability nobody can be granted",
    file: UP,
    change: inRow("AUDIT", "CAP.AUDIT", "0x20000000"),
    check: TABLES,
    told: String.raw`^${UP}:ROW: AUDIT: 0x20000000 has a capability that nobody can be granted$`,
  },
  {
    what: "a retired capability",
    file: "src/event/kinds/base_caps.ts",
    change: (text) => text.replace("VM: 0x40", "VM: 0x10"),
    check: TABLES,
    told: String.raw`^src/event/kinds/base_caps\.ts:ROW: VM: capability 0x10 is retired$`,
  },
  {
    what: "a seam without a place in the closing order",
    file: "src/adapters/vmhost/vmhost_seam.ts",
    change: (text) => text.replace(/\n +closing: .*/, ""),
    check: ["check", "src/adapters/seams.ts"],
    told: String.raw`closing[^]*src/adapters/(vmhost/vmhost_seam|seams)\.ts:\d+:\d+`,
  },
  {
    what: "a seam whose place is none",
    file: "src/adapters/vmhost/vmhost_seam.ts",
    change: (text) => text.replace(/closing: \d+/, "closing: 0"),
    check: TABLES,
    told: String.raw`^src/adapters/vmhost/vmhost_seam\.ts:\d+: vmhost: has no place in the closing order: 0$`,
  },
  {
    what: "a page that differs",
    file: "src/event/PROTOCOL.md",
    change: (text) => text.replace(/\| 80 (?= *\| ROSTER)/, "| 81 "),
    check: ["run", "-A", "scripts/build/pages.ts"],
    told: String.raw`^src/event/PROTOCOL\.md:ROW: differs from what the code says`,
  },
  {
    what: "a citation of a missing file",
    file: "src/core/bus.ts",
    change: (text) => text.replace(" * @module", " * See core/nowhere.ts.\n * @module"),
    check: ["run", "-A", "scripts/build/comments.ts"],
    told: String.raw`^src/core/bus\.ts:ROW: names core/nowhere\.ts, and there is no such file$`,
  },
  {
    what: "a file of more than one concept",
    file: "src/core/bus.ts",
    change: (text) => text + "// more\n".repeat(400),
    check: ["run", "-A", "scripts/build/comments.ts"],
    told: String.raw`^src/core/bus\.ts:401: a file of \d+ lines; split it by concept, 400 at most$`,
  },
];

async function run(folder: string, args: readonly string[]): Promise<{ code: number; told: string }> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: folder,
    stdout: "null",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  return { code, told: new TextDecoder().decode(stderr) };
}

/** The line, from 1, of the row that holds the first difference: its own, or the last that opens a row. */
function rowOf(before: string, after: string): number {
  const [old, now] = [before.split("\n"), after.split("\n")];
  const at = now.findIndex((line, i) => line !== old[i]);
  const isMember = /^ {4}\w/.test(now[at] ?? "");
  return (isMember ? now.slice(0, at).findLastIndex((line) => /^ {2}[A-Z_]+: \{/.test(line)) : at) + 1;
}

Deno.test("what the gate must refuse: each fails its check, with the file and the line", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-gate-" });
  try {
    const copy = await new Deno.Command("cp", {
      args: ["-r", ...COPIED.map((name) => ROOT + name), folder],
    }).output();
    assert(copy.success, new TextDecoder().decode(copy.stderr));
    const git = await new Deno.Command("git", { args: ["init", "-q", folder] }).output();
    assert(git.success, new TextDecoder().decode(git.stderr));
    for (const check of [TABLES, ["run", "-A", "scripts/build/pages.ts"]]) {
      const sound = await run(folder, check);
      assertEquals([sound.code, sound.told], [0, ""], check.join(" "));
    }
    for (const { what, file, change, check, told } of CASES) {
      const path = `${folder}/${file}`;
      const text = await Deno.readTextFile(path);
      const spoiled = change(text);
      assert(spoiled !== text, `${what}: the file is changed`);
      await Deno.writeTextFile(path, spoiled);
      const outcome = await run(folder, check);
      await Deno.writeTextFile(path, text);
      assertEquals(outcome.code, 1, `${what}: ${outcome.told}`);
      assertMatch(
        outcome.told,
        new RegExp(told.replace("ROW", `${rowOf(text, spoiled)}`), "m"),
        what,
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
