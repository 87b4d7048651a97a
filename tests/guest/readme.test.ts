/**
 * Follows the README's first five minutes literally: each line of its commands, in one shell and in order, as
 * a person types them, in a new home with nothing in it: Deno and vmsig too are what its lines before say.
 * One VM, one monitor.
 *
 * The daemon discovers whatever QEMU runs on the host, so the shell has processes, /run and a home of its own
 * (namespaces; unshare): VMs of other tests are not seen, and all of it goes with the shell. Only root may do
 * that: in a user namespace the folders of root belong to nobody, and no monitor below them is trusted.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { until } from "../fixtures/daemon_process.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Only a hang is slower than this. */
const WAIT_MS = 180_000;

/** The fenced blocks of a chapter of the README, in order. */
function blocks(title: string, language: string): string[] {
  const page = Deno.readTextFileSync(`${ROOT}README.md`);
  const [, text = ""] = page.split(`\n## ${title}\n`);
  const [chapter = ""] = text.split("\n## ");
  const fences = [...chapter.matchAll(/^```(\w+)\n(.*?)^```$/gms)];
  return fences.filter(([, name]) => name === language).map(([, , code = ""]) => code);
}

/** Lines as they are typed: with what continues them, without comments. */
function commandsOf(block: string): string[] {
  const commands: string[] = [];
  let open = "";
  for (const line of block.split("\n")) {
    open += `${line}\n`;
    if (line.endsWith("\\")) continue;
    if (!/^\s*(#.*)?$/.test(open.trimEnd())) commands.push(open.trimEnd());
    open = "";
  }
  return commands;
}

/** What is typed before: where Deno is, and vmsig from the sources. */
function linesBefore(): string[] {
  const lines = ["Two commands", "Install"].flatMap((title) => blocks(title, "sh")).flatMap(commandsOf);
  const wanted = [/^export PATH=/, /^vmsig\(\) /].map((start) => lines.find((line) => start.test(line)));
  assert(wanted.every((line) => line !== undefined), "the README says how to run vmsig from the sources");
  return wanted;
}

/** A shell with processes, /run and a home of its own. */
class Shell implements AsyncDisposable {
  readonly home: string;
  /** All that it has printed, standard error among it. */
  text = "";
  #count = 0;
  #hasEnded = false;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;

  private constructor(home: string) {
    this.home = home;
    this.#child = new Deno.Command("unshare", {
      args: [
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "bash",
        "-c",
        // Root's daemon lives in /run/vmsig. One pipe for all that is said, in the order in which it is.
        "mount -t tmpfs tmpfs /run && exec bash 2>&1",
      ],
      cwd: ROOT,
      clearEnv: true,
      env: {
        HOME: home,
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        NO_COLOR: "1",
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  static async start(): Promise<Shell> {
    if (Deno.uid() !== 0) {
      throw new Fault("missing", "Cannot have a shell with processes of its own: this test needs root");
    }
    const home = await Deno.makeTempDir({ prefix: "vmsig-readme-" });
    return new Shell(home);
  }

  /** Types a line, and waits until the shell has taken the next one; what the line printed until then. */
  async type(line: string): Promise<{ readonly code: number; readonly text: string }> {
    const from = this.text.length;
    const mark = `@${++this.#count}=`;
    const told = new TextEncoder().encode(`${line}\necho "${mark.replace("=", '""=')}$?"\n`);
    // A shell that has ended is told of where its answer is waited for.
    await this.#input.write(told).catch(() => {});
    const ending = new RegExp(`(?:^|\n)${mark}(\\d+)\n`);
    await this.says(ending, from);
    const said = this.text.slice(from);
    const [whole = "", code] = ending.exec(said) ?? [];
    return { code: Number(code), text: said.replace(whole, "\n").trimStart() };
  }

  /** Waits until what it has printed from there on matches. */
  async says(pattern: RegExp, from = 0): Promise<void> {
    try {
      await until(`${pattern}`, () => {
        if (pattern.test(this.text.slice(from))) return true;
        if (this.#hasEnded) throw new Error("the shell has ended: may this user make namespaces (unshare)?");
        return false;
      }, WAIT_MS);
    } catch (error) {
      throw new Error(`${error}\n${this.text.slice(-3000)}`);
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stdout) this.text += decoder.decode(bytes, { stream: true });
    this.#hasEnded = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The shell is its namespace's first process: whatever it started ends with it.
    await this.#input.close().catch(() => {});
    // It may have ended by itself, when it could not begin: then nobody may be sent a signal.
    if (!this.#hasEnded) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
    await Deno.remove(this.home, { recursive: true });
  }
}

/** A text whose numbers and widths do not matter. */
function form(text: string): string[] {
  return text.trim().split("\n").map((line) => line.replace(/[\d.]+/g, "N").replace(/ +/g, " ").trim());
}

Deno.test("README: the first five minutes, line by line", async (t) => {
  const title = "First VM in five minutes";
  const [block = "", ...others] = blocks(title, "sh");
  assertEquals(others.length, 0);
  const commands = [...linesBefore(), ...commandsOf(block)];
  assert(commands.length >= 12, `${commands.length} commands`);
  const [list = "", events = ""] = blocks(title, "text");
  const said = new Map<string, string>();
  await using shell = await Shell.start();
  for (const command of commands) {
    const isDone = await t.step(command.replace(/\s+#.*$/, "").replace(/ \\\n.*$/s, ""), async () => {
      const from = shell.text.length;
      const { code, text } = await shell.type(command);
      assertEquals(code, 0, text);
      said.set(command.replace(/\s+#.*$/, ""), text);
      if (command.startsWith("vmsig screen web --text")) {
        // The heap of a QEMU that has forked (-daemonize) is several mappings: its VGA is found all the same.
        const again = async () => (await shell.type("vmsig screen web --text --json")).text;
        await until(
          "text out of video memory",
          async () => (await again()).includes('"source":"vga"'),
          WAIT_MS,
        );
      }
      if (!command.startsWith("vmsig serve")) return;
      // As the line says. It looks for VMs only then: nobody types as fast as this.
      await shell.says(/ready/, from);
      const log = `${shell.home}/vmsigd.log`;
      await until("the VM is found", () => /attached .*name=web\b/.test(Deno.readTextFileSync(log)), WAIT_MS);
    });
    // What comes next would only fail for the same reason.
    if (!isDone) return;
  }
  await t.step("and what came of it is what the page says", async () => {
    assertMatch(said.get("vmsig probe") ?? "", /\bweb\b/);
    assertMatch(said.get("vmsig screen web --text") ?? "", /^guest# uname\nLinux \S+ x86_64\nguest#$/m);
    assertMatch(said.get("vmsig mem web ps") ?? "", /^\d+ +1 +0x[0-9a-f]+ +console$/m);
    assertEquals(form(said.get("vmsig ls") ?? ""), form(list));
    const picture = decodePng(await Deno.readFile(`${shell.home}/web.png`));
    assertEquals([picture.width, picture.height], [720, 400]);
    // On a busy machine the VM may have gone on before the watcher came: its lines are as the page has them.
    const [header = "", ...lines] = form(events);
    const watched = form(shell.text);
    assert(watched.includes(header), header);
    assert(watched.includes(lines[0] ?? ""), `${lines[0]} of ${watched}`);
    assert(watched.filter((line) => / VM_LIFECYCLE web /.test(line)).every((line) => lines.includes(line)));
    for (const line of lines) assertMatch(line, /^N [A-Z]+ [A-Z_]+ web /);
  });
});

Deno.test("README: its picture is a PNG of the demo's guest, and small", async () => {
  const file = await Deno.readFile(`${ROOT}scripts/demo.png`);
  assert(file.length < 40_000, `${file.length} bytes`);
  const { width, height, rgba } = decodePng(file);
  assertEquals([width, height], [720, 400]);
  assert(rgba.some((byte, i) => i % 4 !== 3 && byte > 0), "it is not black");
});
