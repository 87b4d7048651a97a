/**
 * Every option that vmsig advises, tried: a QEMU is started without it, the advice that is told is added to
 * its command line as a person would, and then QEMU takes it and vmsig misses nothing more.
 * The QEMU of another suite: `deno task nightly SUITE -- tests/guest/advice.test.ts`.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type ProbedVm, probeHost } from "../../src/roster/host_probe.ts";
import { ProcHost } from "../../src/roster/proc_host.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { onPath } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

const LONG_MS = 180_000;
const BARE = ["-nodefaults", "-display", "none", "-S", "-name", "advised"];

/** Command lines that lack something, each in another way. */
const LINES: readonly (readonly [what: string, line: string])[] = [
  ["nothing but RAM", "-machine q35 -m 64"],
  ["an i440fx", "-machine pc -m 64"],
  ["-mem-path", "-machine q35 -m 64 -mem-path FOLDER"],
  ["an id that is taken", "-machine q35 -m 64 -object memory-backend-memfd,id=ram0,size=4M"],
  [
    "a private memory-backend-ram",
    "-object memory-backend-ram,id=m,size=64M -machine q35,memory-backend=m -m 64",
  ],
  [
    "a private memfd",
    "-object memory-backend-memfd,id=m,size=64M,share=off -machine q35,memory-backend=m -m 64",
  ],
  [
    "a private file",
    "-object memory-backend-file,id=m,mem-path=FOLDER/ram,size=64M -machine q35,memory-backend=m -m 64",
  ],
  [
    "NUMA nodes",
    "-machine q35 -m 64 -object memory-backend-ram,id=a,size=32M -object memory-backend-ram,id=b,size=32M -numa node,memdev=a -numa node,memdev=b",
  ],
];

/** A QEMU of the test's, which ends with it. */
class Advised implements AsyncDisposable {
  readonly words: readonly string[];
  readonly #child: Deno.ChildProcess;
  readonly #status: Promise<Deno.CommandStatus>;
  #ended = false;

  private constructor(words: readonly string[], child: Deno.ChildProcess) {
    this.words = words;
    this.#child = child;
    this.#status = child.status.finally(() => this.#ended = true);
  }

  static async start(words: readonly string[]): Promise<Advised> {
    const program = await onPath("qemu-system-x86_64");
    assert(program !== undefined, "scripts/setup.sh guest installs QEMU");
    const args = [...BARE, ...words];
    return new Advised(words, new Deno.Command(program, { args, stdin: "null", stdout: "null" }).spawn());
  }

  /** What the probe says of it, once it stands: with a monitor as soon as that answers. */
  async probed(monitor = ""): Promise<ProbedVm> {
    const { pid } = this.#child;
    if (monitor !== "") {
      await until("QEMU takes the options", async () => {
        assert(!this.#ended, `QEMU refuses ${this.words.join(" ")}`);
        try {
          await using qmp = await TestQmp.connect(monitor);
          await qmp.execute("query-status");
          return true;
        } catch (error) {
          if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused) {
            return false;
          }
          throw error;
        }
      }, LONG_MS);
    }
    let found: ProbedVm | undefined;
    await until("the probe finds it", async () => {
      assert(!this.#ended, `QEMU refuses ${this.words.join(" ")}`);
      found = (await probeHost(new ProcHost())).find((vm) => vm.pid === pid);
      return found !== undefined;
    }, LONG_MS);
    return found as ProbedVm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.#status;
  }
}

/** Of a channel for the guest's agent, as the help has them. */
async function channelOptions(): Promise<string> {
  const { text } = await vmsig(["agent", "--help"]);
  return text.split("\n").map((line) => line.trim()).filter((line) => line.startsWith("-device virt")).join(
    " ",
  );
}

/** A command line with an advice followed. */
function followed(words: readonly string[], advice: string): string[] {
  if (advice.includes(", and ")) return advice.split(", and ").reduce(followed, [...words]);
  const inPlace = /^(.*) in place of (?:its (memory-backend-\w+)|-mem-path)$/.exec(advice);
  const wider = /^share=on in the -object memory-backend-file,id=(\S+)$/.exec(advice);
  if (wider !== null) {
    return words.map((word) =>
      word.startsWith(`memory-backend-file,id=${wider[1]},`) ? `${word},share=on` : word
    );
  }
  if (inPlace === null) return [...words, ...advice.split(" ")];
  const [, options = "", backend] = inPlace;
  if (backend === undefined) {
    const at = words.indexOf("-mem-path");
    return [...words.slice(0, at), ...words.slice(at + 2), ...options.split(" ")];
  }
  const [, id] = /,id=([^,]+),/.exec(options) ?? [];
  const next = options.replace(/^-object /, "");
  return words.map((word) => word.startsWith(`${backend},id=${id},`) ? next : word);
}

for (const [what, line] of LINES) {
  Deno.test(`advice is taken by QEMU, and nothing is missing then: ${what}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-advice-" });
    try {
      const words = line.replaceAll("FOLDER", folder).split(" ");
      const { missing } = await (async () => {
        await using bare = await Advised.start(words);
        return await bare.probed();
      })();
      // A monitor, memory, a tablet.
      assertEquals(missing.length, 3, missing.join("; "));
      const monitor = `${folder}/advised.qmp`;
      const whole = missing.map((advice) => advice.replace("/run/vmsig/advised.qmp", monitor)).reduce(
        followed,
        words,
      );
      await using vm = await Advised.start(whole);
      const { missing: left, qmp } = await vm.probed(monitor);
      assertEquals([left, qmp], [[], monitor]);
      await using daemon = await DaemonProcess.start({
        config: `[[endpoint]]\nname = "vm"\nqmp = "${monitor}"\n`,
      });
      await using client = await daemon.connect("watches");
      await until("its seams are up", () => {
        const seams = client.roster.list()[0]?.seams ?? [];
        return ["vmhost", "input"].every((seam) => seams.includes(seam));
      }, LONG_MS);
      // Of a machine without a system nobody finds one: that its RAM is shared is told.
      const ps = await vmsig(["mem", "vm", "ps", "--socket", daemon.socket]);
      assert(!/not shared|start QEMU with/.test(ps.errors), ps.errors);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("advice of commands is taken by QEMU: a console, an agent's channel, both tablets", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-advice-" });
  try {
    const monitor = `${folder}/advised.qmp`;
    let words = ["-machine", "q35", "-m", "64", "-qmp", `unix:${monitor},server=on,wait=off`];
    // What is told of what it lacks, and what is told once it has that.
    const steps: readonly (readonly [args: readonly string[], advice: RegExp, then: RegExp])[] = [
      [["console", "vm", "--send", "\\n"], /give it one with (-serial unix:PATH,server=on,wait=off)/, /^$/],
      [["exec", "vm", "--", "/bin/true"], /vmsig agent --help says how/, /no agent runs in the guest/],
      [
        ["mouse", "vm", "move", "1", "1"],
        /start QEMU with .*or (-usb -device usb-tablet)/,
        /does not use its tablet/,
      ],
    ];
    for (const [args, advice, then] of steps) {
      const ask = async (): Promise<string> => {
        await using vm = await Advised.start(words);
        await vm.probed(monitor);
        await using daemon = await DaemonProcess.start({
          config: `[[endpoint]]\nname = "vm"\nqmp = "${monitor}"\n`,
        });
        await using client = await daemon.connect("watches");
        await until("it is up", () => client.roster.list()[0]?.seams.includes("input") === true, LONG_MS);
        return (await vmsig([args[0] as string, "vm", "--socket", daemon.socket, ...args.slice(2)])).errors;
      };
      const told = await ask();
      assertMatch(told, advice);
      const option = advice.exec(told)?.[1] ?? await channelOptions();
      words = followed(words, option.replace("PATH", `${folder}/${args[0]}`));
      assertMatch(await ask(), then);
    }
    // The other tablet.
    words = followed(words, "-device virtio-tablet-pci");
    await using vm = await Advised.start(words);
    await vm.probed(monitor);
    await using qmp = await TestQmp.connect(monitor);
    const mice = await qmp.execute("query-mice") as { absolute: boolean }[];
    assertEquals(mice.filter(({ absolute }) => absolute).length, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a monitor that a daemon of vmsig's holds is no lack: probe names the daemon", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-advice-" });
  try {
    const monitor = `${folder}/advised.qmp`;
    await using vm = await Advised.start(["-machine", "none", "-qmp", `unix:${monitor},server=on,wait=off`]);
    const { pid } = await vm.probed(monitor);
    const config = `[[endpoint]]\nname = "vm"\nqmp = "${monitor}"\n`;
    await using daemon = await DaemonProcess.start({ config });
    await using client = await daemon.connect("watches");
    await until("it is up", () => client.roster.list()[0]?.seams.includes("vmhost") === true, LONG_MS);
    const plain = (await vmsig(["probe"])).text.split("\n");
    const row = plain.find((line) => line.startsWith(`${pid} `)) ?? plain.join("\n");
    assertMatch(row, /held by vmsig's daemon \(\d+\) .* attached$/);
    assertEquals(plain.filter((line) => line.startsWith(`advised (${pid}) lacks: -qmp`)), []);
    const objects = (await vmsig(["probe", "--json"])).text.trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    const told = objects.find((each) => each.pid === pid);
    assertEquals([told.heldBy.pid, told.heldBy.isDaemon], [daemon.pid, true]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
