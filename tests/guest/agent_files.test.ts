/**
 * `vmsig cp` with Debian's real guest agent: files of every size, what is there already and with which mode,
 * disks that are full, folders, Ctrl-C, an agent that ends in the middle, progress for a person alone.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { MAX_AGENT_PIECE } from "../../src/event/agent_op.ts";
import { DaemonProcess, startVmsig, until, vmsig, vmsigWords } from "../fixtures/daemon_process.ts";
import { agentChannel, agentFiles, START_AGENT } from "./agent_payload.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** So much that it is under way for a while: an agent under TCG takes some milliseconds for each piece. */
const LONG_BYTES = 40_000_000;
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A guest whose agent runs, a daemon that has it, and a folder. */
class Scene implements AsyncDisposable {
  readonly folder: string;
  readonly vm: Qemu;
  readonly daemon: DaemonProcess;
  agent: GuestProcess;

  private constructor(folder: string, vm: Qemu, daemon: DaemonProcess, agent: GuestProcess) {
    this.folder = folder;
    this.vm = vm;
    this.daemon = daemon;
    this.agent = agent;
  }

  static async start(): Promise<Scene> {
    await using stack = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "vmsig-cp-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    const vm = stack.use(
      await startSavedGuest({
        programs: ["worker"],
        modules: ["virtio_pci", "virtio_console"],
        files: await agentFiles(),
        extraArgs: agentChannel(`${folder}/ga.sock`),
      }),
    );
    const endpoint = `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\n`;
    const config = `${endpoint}input = "none"\nmemory = "none"\ndisplay = "none"\n`;
    const daemon = stack.use(await DaemonProcess.start({ config }));
    const scene = new Scene(folder, vm, daemon, await vm.agent.start(...START_AGENT));
    await scene.isUp(true);
    scene.#stack = stack.move();
    return scene;
  }

  #stack = new AsyncDisposableStack();

  async isUp(wanted: boolean): Promise<void> {
    await using client = await this.daemon.connect("waits");
    await until(`the agent is ${wanted ? "up" : "down"}`, () => {
      return client.roster.list()[0]?.seams.includes("agent") === wanted;
    });
  }

  words(from: string, to: string): string[] {
    return ["cp", from, to, "--socket", this.daemon.socket];
  }

  async cp(from: string, to: string): Promise<string> {
    const { code, errors } = await vmsig(this.words(from, to));
    return `${code} ${errors}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

Deno.test("cp: files of every size are the same there and back, and what is there already keeps its mode", async () => {
  await using scene = await Scene.start();
  const { folder, vm } = scene;
  const sizes = [0, 1, MAX_AGENT_PIECE - 1, MAX_AGENT_PIECE, MAX_AGENT_PIECE + 1, 3 * MAX_AGENT_PIECE];
  for (const size of sizes) {
    const bytes = crypto.getRandomValues(new Uint8Array(size).subarray(0, 65_536)).slice();
    const content = Uint8Array.from({ length: size }, (_, i) => bytes[i % 65_536] ?? 0);
    await Deno.writeFile(`${folder}/there`, content);
    assertEquals(await scene.cp(`${folder}/there`, "vm:/tmp/file"), "0 ", `${size} bytes there`);
    assertEquals(await scene.cp("vm:/tmp/file", `${folder}/back`), "0 ", `${size} bytes back`);
    assertEquals(await Deno.readFile(`${folder}/back`), content, `${size} bytes`);
  }
  // A new one may not be everybody's; one that is there is replaced as a whole and keeps its mode.
  assertEquals((await Deno.stat(`${folder}/back`)).mode! & 0o777, 0o600);
  await Deno.chmod(`${folder}/back`, 0o644);
  await Deno.truncate(`${folder}/there`, 2_000_000);
  assertEquals(await scene.cp(`${folder}/there`, "vm:/tmp/file"), "0 ");
  assertEquals(await scene.cp("vm:/tmp/file", `${folder}/back`), "0 ");
  // Of a sparse file the holes come as zeros.
  assertEquals(await Deno.readFile(`${folder}/back`), await Deno.readFile(`${folder}/there`));
  assertEquals((await Deno.stat(`${folder}/back`)).mode! & 0o777, 0o644);
  // A shorter one leaves nothing of a longer one.
  await Deno.writeTextFile(`${folder}/there`, "short");
  assertEquals(await scene.cp(`${folder}/there`, "vm:/tmp/file"), "0 ");
  assertEquals(await vm.agent.cat("/tmp/file"), "short");
  // Nothing of a copy is left beside it.
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !/sock/.test(name));
  assertEquals(names.toSorted(), ["back", "there"]);
});

Deno.test("cp: folders and full disks are said clearly, on both sides, and leave nothing half done", async () => {
  await using scene = await Scene.start();
  const { folder } = scene;
  await Deno.writeFile(`${folder}/some`, new Uint8Array(300_000).fill(7));
  assertEquals(await scene.cp(`${folder}/some`, "vm:/tmp/some"), "0 ");
  await Deno.mkdir(`${folder}/in/some`, { recursive: true });
  await Deno.mkdir(`${folder}/pipes`);
  assertEquals((await new Deno.Command("mkfifo", { args: [`${folder}/pipes/some`] }).output()).code, 0);
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [folder, "vm:/tmp/x", /^1 vmsig: bad-argument: Cannot copy \S+: it is not a plain file\n$/],
    ["vm:/tmp/some", `${folder}/in`, /^1 vmsig: bad-argument: Cannot write \S+\/in\/some: it is a folder\n$/],
    ...[`${folder}/pipes`, `${folder}/pipes/`, `${folder}/pipes/some`].map((to) =>
      [
        "vm:/tmp/some",
        to,
        /^1 vmsig: bad-argument: Cannot write \S+\/pipes\/some: it is not a plain file; /,
      ] as const
    ),
    [
      "vm:/tmp/some",
      `${folder}/none/x`,
      /^1 vmsig: bad-argument: Cannot open \S+: its folder is not there\n$/,
    ],
    [`${folder}/some`, "vm:/tmp", /^1 vmsig: refused: Cannot write \/tmp of vm: .*Is a directory/],
    ["vm:/tmp", `${folder}/x`, /^1 vmsig: refused: Cannot read \/tmp of vm: .*[Dd]irectory/],
    ["vm:/tmp/nosuch", `${folder}/x`, /^1 vmsig: refused: Cannot read \/tmp\/nosuch of vm: .*No such file/],
    [
      `${folder}/some`,
      "vm:/dev/full",
      /^1 vmsig: refused: Cannot write \/dev\/full of vm: .*[Nn]o space left/,
    ],
  ];
  for (const [from, to, words] of cases) assertMatch(await scene.cp(from, to), words, `${from} ${to}`);
  // A disk here that is full: the copy is refused, and its part is gone.
  await Deno.mkdir(`${folder}/small`);
  const script = `mount -t tmpfs -o size=128k tmpfs "$0" || exit 77; "$@"; code=$?; ls -A "$0"; exit $code`;
  const words = vmsigWords(scene.words("vm:/tmp/some", `${folder}/small/some`));
  const args = ["-rm", "sh", "-c", script, `${folder}/small`, ...words];
  const full = await new Deno.Command("unshare", { args, stdin: "null" }).output();
  assertEquals([full.code, textOf(full.stdout)], [1, ""]);
  assertMatch(textOf(full.stderr), /^vmsig: refused: Cannot write \S+\/small\/some: No space left on device/);
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !/sock/.test(name));
  assertEquals(names.toSorted(), ["in", "pipes", "small", "some"]);
  assertEquals([...Deno.readDirSync(`${folder}/pipes`)].map(({ name }) => name), ["some"]);
  assertEquals((await Deno.lstat(`${folder}/pipes/some`)).isFifo, true);
  // The agent has nothing open any more, and goes on.
  assertEquals(await scene.cp("vm:/tmp/some", `${folder}/again`), "0 ");
});

Deno.test("cp: Ctrl-C ends a copy in either direction, an agent that ends too, and the next copy is whole", async () => {
  await using scene = await Scene.start();
  const { folder, vm, daemon } = scene;
  await Deno.writeFile(`${folder}/long`, new Uint8Array(LONG_BYTES).fill(3));
  const parts = () => [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".part"));
  const replies = async () => await daemon.metric('vmsig_events_total{kind="AGENT_REPLY"}');
  const isUnderWay = async (before: number) =>
    await until("some pieces of it are there", async () => await replies() > before + 8);

  // The first answer begins the count.
  await Deno.writeTextFile(`${folder}/some`, "some");
  assertEquals(await scene.cp(`${folder}/some`, "vm:/tmp/some"), "0 ");
  let before = await replies();
  const up = startVmsig(scene.words(`${folder}/long`, "vm:/tmp/long"));
  await isUnderWay(before);
  up.kill("SIGINT");
  const upEnd = await up.output();
  assertEquals(upEnd.code, 130);
  const told = /^vmsig: \/tmp\/long in the guest is not whole: (\d+) bytes of it are there\n$/;
  assertMatch(textOf(upEnd.stderr), told);
  const whole = Number(told.exec(textOf(upEnd.stderr))?.[1]);
  // What was under way when it was interrupted may have come to it.
  const really = (await vm.agent.read("/tmp/long")).length;
  assertEquals([really >= whole, really < LONG_BYTES], [true, true], `${really} and ${whole}`);

  // A file that never ends, so that it cannot be over before it is interrupted.
  before = await replies();
  const down = startVmsig(scene.words("vm:/dev/zero", `${folder}/zeros`));
  await isUnderWay(before);
  assertEquals(parts().length, 1);
  down.kill("SIGINT");
  const downEnd = await down.output();
  assertEquals([downEnd.code, parts().length, textOf(downEnd.stderr)], [130, 0, ""]);

  before = await replies();
  const cut = startVmsig(scene.words("vm:/dev/zero", `${folder}/zeros`));
  await isUnderWay(before);
  scene.agent.kill();
  const cutEnd = await cut.output();
  assertEquals([cutEnd.code, parts().length], [1, 0]);
  assertMatch(textOf(cutEnd.stderr), /^vmsig: seam-down: Cannot read \/dev\/zero of vm: .*agent/);
  await scene.isUp(false);
  scene.agent = await vm.agent.start(...START_AGENT);
  await scene.isUp(true);
  assertEquals(await scene.cp(`${folder}/some`, "vm:/tmp/some"), "0 ");
  assertEquals(await vm.agent.cat("/tmp/some"), "some");
});

Deno.test("cp: a person at a terminal sees how far it is, and a pipe gets the file alone", async () => {
  await using scene = await Scene.start();
  const { folder } = scene;
  await Deno.writeFile(`${folder}/long`, new Uint8Array(12_000_000).fill(3));
  // `script` runs it on a terminal of its own and says what that shows.
  const command = vmsigWords(scene.words(`${folder}/long`, "vm:/tmp/long"))
    .map((word) => `'${word}'`).join(" ");
  const args = ["-qec", command, "/dev/null"];
  const seen = await new Deno.Command("script", { args, stdin: "null" }).output();
  assertEquals(seen.code, 0);
  const lines = textOf(seen.stdout).split("\x1b[K");
  assertMatch(lines[0] ?? "", /^\r\/tmp\/long: \d+\.\d MB \(\d+ %\)$/);
  // The line is empty when it is done.
  assertEquals(textOf(seen.stdout).endsWith("\r\x1b[K"), true);
  const piped = await vmsig(scene.words("vm:/tmp/long", "-"));
  assertEquals([piped.code, piped.errors, piped.bytes.length], [0, "", 12_000_000]);
});
