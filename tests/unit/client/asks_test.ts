/** Questions to a person: asked, shown, answered once; what else lies in their folder is no question. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { Asks, MOST_ANSWER } from "../../../src/client/asks.ts";

const ID = "0123456789ab";
const open = new AbortController().signal;

async function inFolder(run: (asks: Asks) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-asks-" });
  try {
    await run(new Asks(`${folder}/asks`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function first(asks: Asks) {
  for (;;) {
    const [ask] = await asks.list();
    if (ask !== undefined) return ask;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("asks: the first answer counts, and nothing is left", () =>
  inFolder(async (asks) => {
    assertEquals(await asks.list(), []);
    const choices = ["yes", "no"];
    const asked = asks.ask({ vm: "web", question: "Reboot?", choices, timeoutMs: 60_000, signal: open });
    const { id, vm, question } = await first(asks);
    assertEquals([vm, question], ["web", "Reboot?"]);
    const bad = await assertRejects(() => asks.answer(id, { text: "maybe", by: "a" }), Fault);
    assertStringIncludes(bad.message, "yes | no");
    await assertRejects(() => asks.answer(ID, { text: "yes", by: "a" }), Fault, "not open");
    await asks.answer(id, { text: "no", by: "a" });
    await assertRejects(() => asks.answer(id, { text: "yes", by: "b" }), Fault);
    assertEquals(await asked, { text: "no", by: "a" });
    assertEquals([...Deno.readDirSync(asks.folder)], []);
  }));

Deno.test("asks: given up, too long, and nobody's any more", () =>
  inFolder(async (asks) => {
    const late = asks.ask({ vm: "web", question: "?", timeoutMs: 1, signal: open });
    assertEquals((await assertRejects(() => late, Fault)).code, "timed-out");
    const ending = new AbortController();
    const gone = asks.ask({ vm: "web", question: "?", timeoutMs: 60_000, signal: ending.signal });
    gone.catch(() => {});
    const { id } = await first(asks);
    await assertRejects(() => asks.answer(id, { text: "x".repeat(MOST_ANSWER + 1), by: "a" }), Fault);
    await assertRejects(() => asks.answer(id, { text: "", by: "a" }), Fault);
    ending.abort();
    assertEquals((await assertRejects(() => gone, Fault)).code, "interrupted");
    // Its asker has ended without a word.
    const left = { id: ID, vm: "web", question: "?", choices: [], atMs: 1, pid: 2 ** 22 + 1 };
    await Deno.writeTextFile(`${asks.folder}/${ID}.json`, JSON.stringify(left));
    for (const [name, text] of [["bbbbbbbbbbbb.json", "{"], ["cccccccccccc.json", "[]"], ["x.json", "{}"]]) {
      await Deno.writeTextFile(`${asks.folder}/${name}`, text ?? "");
    }
    await Deno.symlink("/etc/passwd", `${asks.folder}/dddddddddddd.json`);
    assertEquals(await asks.list(), []);
    assertEquals([...Deno.readDirSync(asks.folder)].some(({ name }) => name === `${ID}.json`), false);
  }));

Deno.test("asks: a folder that others may open is not used", () =>
  inFolder(async (asks) => {
    await Deno.mkdir(asks.folder);
    await Deno.chmod(asks.folder, 0o755);
    assertEquals((await assertRejects(() => asks.list(), Fault)).code, "refused");
    const ask = { vm: "web", question: "?", timeoutMs: 10, signal: open };
    assertEquals((await assertRejects(() => asks.ask(ask), Fault)).code, "refused");
  }));
