/**
 * What a newcomer runs: the demonstration, to its end and interrupted; and the scripts that people copy which
 * look at screens, on its guest with one monitor.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { DEMO_GUEST } from "../../scripts/demo_guest.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { procText } from "../fixtures/holdings.ts";
import { exists } from "./content_cache.ts";
import { startSavedGuest } from "./saved_guest.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A program of Deno's in a folder, with its output collected. */
class Running {
  text = "";
  errors = "";
  readonly child: Deno.ChildProcess;
  #hasEnded = false;
  readonly #done: Promise<void>[];

  constructor(cwd: string, args: readonly string[]) {
    this.child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", ...args],
      cwd,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#done = [
      collect(this.child.stdout, (text) => (this.text += text)),
      collect(this.child.stderr, (text) => (this.errors += text)),
    ];
    Promise.all(this.#done).then(() => (this.#hasEnded = true));
  }

  async says(text: string): Promise<void> {
    try {
      await until(text, () => {
        if (this.text.includes(text)) return true;
        if (this.#hasEnded) throw new Error(`it ended before it said ${text}`);
        return false;
      }, 360_000);
    } catch (error) {
      throw new Error(`${error}\n${this.text}${this.errors}`);
    }
  }

  async ended(): Promise<number> {
    const { code } = await this.child.status;
    await Promise.all(this.#done);
    return code;
  }

  kill(signal: Deno.Signal): void {
    this.child.kill(signal);
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) take(decoder.decode(bytes, { stream: true }));
}

function isThere(pid: number): boolean {
  // A process that has ended and was not waited for has no command line.
  return (procText(`/proc/${pid}/cmdline`) ?? "") !== "";
}

/** The processes and the folder that a demonstration named. */
function traces(text: string): { pids: number[]; folder: string } {
  const pids = [...text.matchAll(/process (\d+)/g)].map(([, pid]) => Number(pid));
  const [, folder = ""] = /ready in \d+ ms on (\/\S+)\/control\.sock/.exec(text) ?? [];
  return { pids, folder };
}

Deno.test("demo: one monitor; what is typed is on the screen, in the picture and in the text; nothing stays", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-demo-test-" });
  try {
    const demo = new Running(folder, ["-A", "--no-check", `${ROOT}scripts/demo.ts`]);
    const code = await demo.ended();
    // A guest that takes long to boot has no kernel in its RAM yet when the daemon looks.
    const errors = demo.errors.replace(
      /^\S+ warn +memctx\[demo\]: no guest system that vmsig can read was found in RAM .*\n/gm,
      "",
    );
    assertEquals([code, errors], [0, ""]);
    for (
      const line of [
        "one monitor, booted",
        "the guest is paused",
        "the guest is running",
        "is up again after the reset",
        'types "echo Hello, guest!"',
        "a picture: vmsig-demo.png: 720x400, by vram",
        "| guest# echo Hello, guest!\n",
        "| Hello, guest!\n",
        "console\n",
      ]
    ) assertStringIncludes(demo.text, line);
    const picture = decodePng(await Deno.readFile(`${folder}/vmsig-demo.png`));
    assertEquals([picture.width, picture.height], [720, 400]);
    assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), ["vmsig-demo.png"]);
    const { pids, folder: own } = traces(demo.text);
    assert(pids.length >= 2 && own !== "", demo.text);
    assertEquals(pids.filter(isThere), []);
    assertEquals(await exists(own), false, own);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("demo: Ctrl-C ends it in the middle, and nothing stays", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-demo-test-" });
  try {
    const demo = new Running(folder, ["-A", "--no-check", `${ROOT}scripts/demo.ts`]);
    await demo.says("control      pauses");
    demo.kill("SIGINT");
    assertEquals(await demo.ended(), 130);
    assertStringIncludes(demo.errors, "vmsig: interrupted: Cannot go on: interrupted\n");
    const { pids, folder: own } = traces(demo.text);
    assertEquals(pids.length, 2);
    assertEquals(pids.filter(isThere), []);
    assertEquals(await exists(own), false, own);
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A folder like the checkout's top, for the files that a script writes. */
async function ownFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-scripts-" });
  for (const name of ["deno.json", "deno.lock", "scripts", "src", "ffi", "shim"]) {
    await Deno.symlink(`${ROOT}${name}`, `${folder}/${name}`);
  }
  return folder;
}

Deno.test("the scripts that look at a screen, on a VM with one monitor", async () => {
  await using vm = await startSavedGuest({ ...DEMO_GUEST, devices: ["virtio-input"] });
  await using daemon = await DaemonProcess.start({
    config: `[[endpoint]]\nname = "web"\nqmp = "${vm.qmpPath}"\n`,
  });
  const folder = await ownFolder();
  const script = (name: string, ...args: string[]) =>
    new Running(folder, ["-P=script", `scripts/controls/${name}.ts`, ...args, daemon.socket]);
  try {
    const typed = script("type_and_wait", "web", "echo $HOME is not known\n", "/^\\$HOME is/");
    assertEquals([await typed.ended(), typed.errors], [0, ""]);
    assertMatch(
      typed.text,
      /^typed 24 characters, waiting for \/\^\\\$HOME is\/\n"\$HOME is" in line \d+\n$/,
    );

    const already = script("type_and_wait", "web", "x\n", "/^guest#/");
    assertEquals([await already.ended(), already.text], [1, ""]);
    assertMatch(already.errors, /^type_and_wait: refused: Cannot wait for \/\^guest#\/: [^\n]*\n$/);
    for (const wrong of ["/(/", "nostate", "//"]) {
      const refused = script("type_and_wait", "web", "x\n", wrong);
      assertEquals([await refused.ended(), refused.text], [2, ""], wrong);
      assertStringIncludes(refused.errors, "STATE is one of running, ");
    }

    const shots = script("screenshot_on_change", "web");
    await shots.says("web-0001.png: 720 x 400, frame ");
    const again = script("type_and_wait", "web", "echo it changes\n", "/^it changes/");
    assertEquals([await again.ended(), again.errors], [0, ""]);
    await shots.says("web-0002.png: 720 x 400, frame ");
    const [one, two] = [1, 2].map((n) => decodePng(Deno.readFileSync(`${folder}/web-000${n}.png`)));
    assert(one!.rgba.some((byte, i) => byte !== two!.rgba[i]), "the second is another picture");
    // The daemon goes: one line.
    await daemon.stop();
    assertEquals(await shots.ended(), 4, shots.errors);
    assertMatch(shots.errors, /^screenshot_on_change: unreachable: [^\n]*\n$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
