/**
 * Follows the tutorials of scripts/README.md literally: adds each step's lines to the file, runs it as the
 * page says, against a daemon as the page starts it, and compares what it prints with what the page says.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const PAGE = Deno.readTextFileSync(`${ROOT}scripts/README.md`);
/** What of the checkout a file at its top sees. */
const TOP = ["deno.json", "deno.lock", "src", "ffi", "shim"];

interface Step {
  readonly title: string;
  readonly code: string;
  readonly prints: string;
}

/** The fenced blocks of one language of a text. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, code = ""]) =>
    code
  );
}

function chapter(title: string): string {
  const [, text = ""] = PAGE.split(`\n## ${title}\n`);
  assert(text !== "", `there is a chapter ${title}`);
  return text.split("\n## ")[0] as string;
}

function stepsOf(text: string, language: string): Step[] {
  return text.split("\n### ").slice(1).map((part) => {
    const [code, ...more] = blocks(part, language);
    const [prints, ...others] = blocks(part, "text");
    assert(code !== undefined && prints !== undefined && more.length + others.length === 0, part);
    return { title: part.slice(0, part.indexOf("\n")), code, prints };
  });
}

/** A folder like the checkout's top, for a file of one's own. */
async function ownFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-tutorial-" });
  for (const name of TOP) await Deno.symlink(`${ROOT}${name}`, `${folder}/${name}`);
  return folder;
}

async function follow(title: string, language: string, file: string, steps: number): Promise<void> {
  const text = chapter(title);
  const [command] = blocks(text, "sh");
  assert(command !== undefined && command.includes(file));
  const [program = "", ...args] = command.trim().split(" ");
  const all = stepsOf(text, language);
  assertEquals(all.length, steps);
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const folder = await ownFolder();
  try {
    let [code, prints] = ["", ""];
    for (const step of all) {
      code += `${step.code}\n`;
      prints += step.prints;
      await Deno.writeTextFile(`${folder}/${file}`, code);
      const { stdout, stderr } = await new Deno.Command(program === "deno" ? Deno.execPath() : program, {
        args,
        cwd: folder,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        env: { VMSIG_SOCKET: daemon.socket, NO_COLOR: "1" },
      }).output();
      const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      assertEquals([out, err], [prints, ""], step.title);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the page's daemon is the one that its tutorials run against", () => {
  const [serve, where] = blocks(chapter("Before the first step"), "sh");
  assertMatch(serve ?? "", /^deno task serve --stub 1 --socket "\$PWD\/control\.sock"\n$/);
  assertMatch(where ?? "", /^export VMSIG_SOCKET="\$PWD\/control\.sock"\n$/);
});

Deno.test("the tutorial of a control in TypeScript, step by step", async () => {
  await follow("A control in TypeScript", "ts", "mine.ts", 5);
});

Deno.test("the tutorial of a control in Python, step by step", async () => {
  await follow("A control in Python", "python", "mine.py", 4);
});

Deno.test("watch.py tells a VM's states, and what it cannot do in one line", async () => {
  const run = (...args: string[]) =>
    new Deno.Command("python3", {
      args: [`${ROOT}scripts/controls/watch.py`, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
  const decoder = new TextDecoder();
  const failed = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args).output();
    assertEquals(decoder.decode(stdout), "");
    return [code, decoder.decode(stderr)];
  };
  assertEquals(await failed(), [2, "usage: watch.py ENDPOINT [SOCKET]\n"]);
  assertEquals(await failed("stub0", "/nonexistent/x.sock"), [
    4,
    "watch: unreachable: nobody listens at /nonexistent/x.sock\n",
  ]);
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  assertEquals(await failed("nosuch", daemon.socket), [
    1,
    "watch: refused: there is no endpoint 'nosuch'; there are: 'stub0'\n",
  ]);
  await using client = await daemon.connect("test");
  const child = run("stub0", daemon.socket).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const errors = new Response(child.stderr).text();
  try {
    let told = "";
    const until = async (text: string) => {
      while (!told.includes(text)) {
        const { done, value } = await lines.read();
        assert(!done, `${text} is told: ${told}`);
        told += value;
      }
    };
    await until("stub0 is running\n");
    await client.vm("stub0", "stop");
    await until("stub0: paused\n");
    await client.vm("stub0", "cont");
    await until("stub0: running\n");
  } finally {
    child.kill("SIGINT");
    await lines.cancel();
    const { code } = await child.status;
    assertEquals([code, await errors], [0, ""]);
  }
});
