/**
 * Guest RAM is taken by descriptor: a process of another user that calls itself QEMU, and swaps what its
 * descriptor is while the daemon looks, gets nothing of root's, changes nothing of root's, and keeps nobody
 * waiting. The daemon is the real one, as root.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { statFd } from "../../ffi/memfd.ts";
import type { Client } from "../../src/client/client.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { openFilesOf, settled, untilNoMore } from "../fixtures/holdings.ts";

const OWNER = 4242;
const ASKS = 300;
const SIZE = 16 * 2 ** 20;
const FAKE = new URL("./fake_qemu.py", import.meta.url).pathname;
/** The system's: another one looks for its library beside the name that `exec -a` gives it. */
const PYTHON = "/usr/bin/python3";
const SLOW = new URL("./slow_process.py", import.meta.url).pathname;
const BACKEND = "-object memory-backend-memfd,id=ram0,size=16M,share=on -machine q35,memory-backend=ram0";

/** A process that calls itself QEMU, of another user. */
class Fake implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #rest = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  static start(folder: string, backend: string, swap: string, words = BACKEND, mount = ""): Promise<Fake> {
    const program =
      `exec -a qemu-system-x86_64 ${PYTHON} ${FAKE} ${folder}/fake.qmp ${backend} ${swap} ${words}`;
    const wrapper = ["setpriv", `--reuid=${OWNER}`, `--regid=${OWNER}`, "--clear-groups"];
    if (mount === "") return Fake.run([...wrapper, "bash", "-c", program]);
    // What is mounted is seen by the process alone.
    const inPrivate = `${mount} && exec ${wrapper.join(" ")} bash -c '${program}'`;
    return Fake.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", inPrivate]);
  }

  /**
   * One that cannot be looked at once it has been asked for its memory map; it mounts something, and becomes
   * the other user by itself.
   */
  static startSlow(folder: string): Promise<Fake> {
    Deno.mkdirSync(`${folder}/slow`);
    const program =
      `exec -a qemu-system-x86_64 ${PYTHON} ${SLOW} ${folder}/slow ${folder}/slow.qmp ${BACKEND}`;
    return Fake.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", program]);
  }

  static async run(words: readonly string[]): Promise<Fake> {
    const [program = "", ...args] = words;
    const command = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "inherit" });
    const fake = new Fake(command.spawn());
    assertEquals(await fake.#line(), "ready");
    return fake;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Has it do something, and waits until it is done. */
  async does(command: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${command}\n`));
    assertEquals(await this.#line(), "done", command);
  }

  /** Lets go of whoever waits for it, by the end of its input. */
  async letGo(): Promise<void> {
    await this.#input.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // First its input: a thread of it that waits in the kernel cannot be killed.
    await this.#input.close().catch(() => {});
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#output.cancel();
  }

  async #line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#output.read();
      assert(!done, "the fake speaks");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }
}

/** A folder that both users can walk, with the fake's own folder in it. */
class Place implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vmsig-hostile-" });
  /** The other user's. */
  readonly theirs = `${this.folder}/theirs`;
  readonly socket = `${this.theirs}/fake.qmp`;

  constructor() {
    Deno.chmodSync(this.folder, 0o755);
    Deno.mkdirSync(this.theirs);
    Deno.chownSync(this.theirs, OWNER, OWNER);
  }

  /** A file of root's. */
  ofRoot(name: string, mode: number): string {
    const path = `${this.folder}/${name}`;
    Deno.writeFileSync(path, new Uint8Array(SIZE).fill(0x5e), { mode });
    Deno.chmodSync(path, mode);
    return path;
  }

  /**
   * A device like /dev/zero that everybody may open: not that one itself, whose mode an attack that succeeds
   * would change.
   */
  deviceOfRoot(): string {
    const path = `${this.folder}/zero`;
    const made = new Deno.Command("mknod", { args: ["-m", "666", path, "c", "1", "5"] }).outputSync();
    assert(made.success);
    return path;
  }

  get config(): string {
    return `[[endpoint]]\nname = "fake"\nqmp = "${this.socket}"\ninput = "none"\nguest = "none"\n` +
      `[[admission]]\nuid = 0\nendpoints = ["*"]\ncaps = ["*"]\n`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Looks at every descriptor of RAM that a control is given. */
class Watcher {
  readonly owners = new Set<number>();
  readonly inodes = new Set<number>();
  contexts = 0;

  constructor(client: Client) {
    this.#run(client).catch(() => {});
  }

  async #run(client: Client): Promise<void> {
    for await (const event of client.events({ kinds: ["MEMCTX"] })) {
      for (let i = 0; i < event.fdCount; i++) {
        const { uid, ino } = statFd(event.fd(i));
        this.owners.add(uid);
        this.inodes.add(ino);
      }
      this.contexts++;
    }
  }
}

/** The files that could be somebody's RAM which the daemon has open. */
function filesOf(daemon: DaemonProcess, place: Place): string[] {
  return daemon.fds().filter((name) => /^\/memfd:|^\/proc/.test(name) || name.startsWith(place.folder));
}

/** The daemon answers on all its threads. */
async function isWell(daemon: DaemonProcess): Promise<void> {
  await daemon.reload(await Deno.readTextFile(daemon.configPath));
  const listed = await vmsig(["ls", "--socket", daemon.socket]);
  assertEquals(listed.code, 0, listed.errors);
}

const SWAPS: readonly { readonly what: string; readonly swap: (place: Place) => string }[] = [
  { what: "a file of root's that nobody else may read", swap: (p) => `opath:${p.ofRoot("secret", 0o600)}` },
  { what: "a file of root's that all may read", swap: (p) => `read:${p.ofRoot("open", 0o644)}` },
  { what: "a FIFO", swap: (p) => `fifo:${p.theirs}/fifo` },
  { what: "a device", swap: (p) => `device:${p.deviceOfRoot()}` },
  { what: "a mere place in the tree", swap: (p) => `opath:${p.folder}` },
];

for (const { what, swap } of SWAPS) {
  Deno.test(`RAM that is swapped for ${what} while the daemon looks: nothing leaves, nothing changes, nothing hangs`, async () => {
    await using place = new Place();
    const swapped = swap(place);
    const path = swapped.slice(swapped.indexOf(":") + 1);
    const before = await Deno.stat(path).catch(() => null);
    await using fake = await Fake.start(place.theirs, "memfd", swapped);
    await using daemon = await DaemonProcess.start({ config: place.config });
    await using client = await daemon.connect("watcher");
    const watcher = new Watcher(client);
    await until("the RAM is there", () => watcher.contexts > 0);
    const held = await settled(() => filesOf(daemon, place));
    await fake.does("flip");
    await fake.does(`asks ${ASKS}`);
    await isWell(daemon);
    await fake.does("rest");
    await fake.does("asks 1");
    await until("its own RAM is up in the end", async () => {
      return (await daemon.metrics()).includes('vmsig_seam_up{endpoint="fake",seam="memctx"} 1');
    });
    await untilNoMore("files that were left open", held, () => filesOf(daemon, place));
    assertEquals([...watcher.owners], [OWNER], "only the other user's own files were given out");
    assertEquals(watcher.inodes.size, 1, "and only the one that it has mapped");
    if (before !== null) {
      const after = await Deno.stat(path);
      assertEquals([after.mode, after.uid, after.mtime], [before.mode, before.uid, before.mtime]);
    }
  });
}

Deno.test("a file with a lease on it keeps nobody waiting", async () => {
  await using place = new Place();
  const words =
    `-object memory-backend-file,id=ram0,size=16M,share=on,mem-path=${place.theirs}/ram -machine q35,memory-backend=ram0`;
  await using _fake = await Fake.start(place.theirs, `${place.theirs}/ram`, "lease", words);
  await using daemon = await DaemonProcess.start({ config: place.config });
  await daemon.says(/Cannot open the RAM of QEMU \d+: .*\(EAGAIN\)/);
  await isWell(daemon);
});

Deno.test("a file of root's that the process has mapped is not its RAM", async () => {
  await using place = new Place();
  const path = place.ofRoot("shared", 0o666);
  const words =
    `-object memory-backend-file,id=ram0,size=16M,share=on,mem-path=${path} -machine q35,memory-backend=ram0`;
  await using _fake = await Fake.start(place.theirs, path, "none", words);
  await using daemon = await DaemonProcess.start({ config: place.config });
  await daemon.says(/it is a file of user 0, and the process runs as user 4242/);
  await isWell(daemon);
  const { mode } = await Deno.stat(path);
  assertEquals((mode as number) & 0o777, 0o666);
});

Deno.test("a file system that only the process has mounted is not touched", async () => {
  await using place = new Place();
  const at = `${place.theirs}/overlay`;
  const layers = ["lower", "upper", "work", "overlay"].map((name) => `${place.theirs}/${name}`);
  const mount = `mkdir ${layers.join(" ")} && mount -t overlay hostile -o lowerdir=${layers[0]},upperdir=${
    layers[1]
  },workdir=${layers[2]} ${at} && chown ${OWNER} ${at}`;
  const words =
    `-object memory-backend-file,id=ram0,size=16M,share=on,mem-path=${at}/ram -machine q35,memory-backend=ram0`;
  await using _fake = await Fake.start(place.theirs, `${at}/ram`, "none", words, mount);
  await using daemon = await DaemonProcess.start({ config: place.config });
  await daemon.says(/its file system \(overlay\) is not mounted where vmsig runs; use a memfd/);
  await isWell(daemon);
});

// Where there is no FUSE, no user can do this.
const hasFuse = Deno.statSync("/dev").isDirectory &&
  [...Deno.readDirSync("/dev")].some(({ name }) => name === "fuse");

for (const inTheEnd of ["lets go", "does not let go"] as const) {
  Deno.test({
    name: `a process that keeps whoever looks at it waiting, and in the end ${inTheEnd}: nobody else waits`,
    ignore: !hasFuse,
    async fn() {
      await using place = new Place();
      await using slow = await Fake.startSlow(place.theirs);
      const endpoint = `[[endpoint]]\nname = "slow"\nqmp = "${place.theirs}/slow.qmp"\ninput = "none"\n`;
      await using daemon = await DaemonProcess.start({ config: `${endpoint}${place.config}` });
      await daemon.says(/qmp\[slow\]: monitor up/);
      // While it hangs: all threads answer, and another VM comes up.
      await isWell(daemon);
      await using _fake = await Fake.start(place.theirs, "memfd", "none");
      await daemon.says(/memctx\[fake\]: context epoch=1/);
      await daemon.says(/RAM cannot be opened in time vm=slow/);
      await isWell(daemon);
      if (inTheEnd === "lets go") {
        await slow.letGo();
        await daemon.says(/a QEMU whose RAM was slow to open has answered/);
      }
      const { code } = await daemon.stop();
      assertEquals(code, 0);
    },
  });
}

Deno.test({
  name: "mem on a process that keeps it waiting ends with SIGTERM",
  ignore: !hasFuse,
  async fn() {
    await using place = new Place();
    await using slow = await Fake.startSlow(place.theirs);
    {
      // Asked for its memory map, it locks its address space, and answers.
      using monitor = await Deno.connect({ transport: "unix", path: `${place.theirs}/slow.qmp` });
      const question = { execute: "human-monitor-command", arguments: { "command-line": "info mtree -f" } };
      await monitor.write(new TextEncoder().encode(`${JSON.stringify(question)}\n`));
      let text = "";
      const buffer = new Uint8Array(4096);
      while (!text.includes("ram0")) {
        const n = await monitor.read(buffer);
        assert(n !== null, "it answers");
        text += new TextDecoder().decode(buffer.subarray(0, n));
      }
    }
    // 124: it ended in time, by the first signal.
    const args = ["mem", `pid:${slow.pid}`, "info"];
    const { code, errors } = await vmsig(args, ["timeout", "--kill-after=300", "5"]);
    assertEquals(code, 124, errors);
  },
});

Deno.test("a look at the host changes and opens nothing", async () => {
  await using place = new Place();
  await using fake = await Fake.start(place.theirs, "memfd", `fifo:${place.theirs}/fifo`);
  await fake.does("flip");
  const probed = await vmsig(["probe", "--json"]);
  assertEquals(probed.code, 0, probed.errors);
  await fake.does("rest");
  // What QEMU's memfd is made with: nobody has taken it down.
  const modes = openFilesOf(fake.pid).filter(({ target }) => target.startsWith("/memfd:"))
    .map(({ fd }) => (Deno.statSync(`/proc/${fake.pid}/fd/${fd}`).mode as number) & 0o777);
  assertEquals([...new Set(modes)], [0o777]);
});

Deno.test("mem on a FIFO, a device, a folder, a socket: refused at once, with what it is", async () => {
  await using place = new Place();
  const fifo = `${place.folder}/fifo`;
  const made = await new Deno.Command("mkfifo", { args: [fifo] }).output();
  assert(made.success);
  using listener = Deno.listen({ transport: "unix", path: `${place.folder}/socket` });
  assert(listener.addr !== undefined);
  for (const path of [fifo, "/dev/zero", place.folder, `${place.folder}/socket`]) {
    const outcome = await vmsig(["mem", `file:${path}`, "info"], ["timeout", "-s", "KILL", "300"]);
    assertEquals(outcome.code, 1, `${path}: ${outcome.errors}`);
    assertMatch(outcome.errors, /^vmsig: bad-argument: Cannot open .* no regular file/);
  }
});
