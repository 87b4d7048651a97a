/**
 * The daemon as a service on a host with other users and other daemons: one runtime directory each, a reload
 * that is taken or refused and never half, files that are pipes, recordings that nobody else reads, and a
 * service manager behind an abstract socket. Real processes, second uids by setpriv; as root.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type CommandOutcome, configText, DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";

const OTHER = 4242;
const AS_OTHER = ["setpriv", `--reuid=${OTHER}`, `--regid=${OTHER}`, "--clear-groups"];
const lines = (text: string, part: string) => text.split("\n").filter((line) => line.includes(part));

/** A command that may hang where it should not: ended then. */
function bounded(args: readonly string[], wrapper: readonly string[] = []): Promise<CommandOutcome> {
  return vmsig(args, ["timeout", "--signal=KILL", "300", ...wrapper]);
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-service-" });
  await Deno.chmod(folder, 0o755);
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A program that runs for as long as its standard input is open. */
class Attendant implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  text = "";
  readonly #read: Promise<void>;

  constructor(program: string, args: readonly string[]) {
    const child = new Deno.Command(program, {
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
    this.#read = (async () => {
      const decoder = new TextDecoder();
      for await (const bytes of child.stdout) this.text += decoder.decode(bytes);
    })();
  }

  says(what: string): Promise<void> {
    return until(`${what} from a helper`, () => this.text.includes(what));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close().catch(() => {});
    await this.#child.status;
    await this.#read;
  }
}

Deno.test("13a: a second daemon with the same runtime directory is refused with the first one's pid, and takes nothing", async () => {
  await inFolder(async (folder) => {
    const config = `[daemon]\nruntime_dir = "${folder}"\n`;
    await using daemon = await DaemonProcess.start({ folder, stubs: 1, config });
    const page = await daemon.metrics();
    assert(page.includes("vmsig_controls"));
    const inode = Deno.lstatSync(`${folder}/metrics.sock`).ino;
    await Deno.mkdir(`${folder}/other`);
    const second = await bounded([
      "serve",
      "--config",
      daemon.configPath,
      "--socket",
      `${folder}/other/control.sock`,
    ]);
    assertEquals([second.code, second.text], [1, ""]);
    assertMatch(
      second.errors,
      new RegExp(`^vmsig: busy: Cannot serve .*process ${daemon.pid} holds .*daemon\\.lock; [^\\n]*\\n$`),
    );
    assertEquals(
      Deno.lstatSync(`${folder}/metrics.sock`).ino,
      inode,
      "the metrics socket is still the first's",
    );
    assert((await daemon.metrics()).includes("vmsig_controls"));
    assertEquals([...Deno.readDirSync(`${folder}/other`)].length, 0, "it made no socket");
    assertEquals((Deno.statSync(`${folder}/daemon.lock`).mode ?? 0) & 0o777, 0o600);
    // A crash releases it; an orderly end removes it.
    await daemon.crash();
    await using next = await DaemonProcess.start({ folder, stubs: 1, config });
    assertEquals(Deno.readTextFileSync(`${folder}/daemon.lock`), `${next.pid}\n`);
    assertEquals((await next.stop()).code, 0);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "endpoints.d",
      "other",
      "vmsigd.toml",
    ]);
  });
});

Deno.test("13a: a folder that another user keeps locked keeps nobody from listening in it", async () => {
  await inFolder(async (folder) => {
    const [setpriv = "", ...asOther] = AS_OTHER;
    await using holder = new Attendant(setpriv, [...asOther, "flock", folder, "sh", "-c", "echo held; cat"]);
    await holder.says("held");
    await using daemon = await DaemonProcess.start({ folder, stubs: 1 });
    await using client = await daemon.connect("in");
    assertEquals((await client.vmState("stub0")).state, "running");
    // Nor can the other user take the daemon's lock.
    const lock = new Deno.Command(AS_OTHER[0] as string, {
      args: [...AS_OTHER.slice(1), "flock", "--nonblock", `${folder}/daemon.lock`, "true"],
      stdout: "null",
      stderr: "null",
    });
    assert((await lock.output()).code !== 0);
  });
});

/** So many rules that their config is far larger than the ring between the threads. */
function manyRules(count: number): string {
  let text = "";
  for (let i = 0; i < count; i++) {
    text += `[[admission]]\nuid = ${100_000 + i}\nendpoints = ["*"]\ncaps = ["observe"]\n`;
  }
  return text;
}

Deno.test("13b: a reload of a large config is taken whole: who was removed is out", async () => {
  const admit = `[[admission]]\nuid = ${OTHER}\nendpoints = ["*"]\ncaps = ["observe", "roster"]\n`;
  await inFolder(async (folder) => {
    await using daemon = await DaemonProcess.start({ folder, stubs: 1, config: admit });
    const before = await bounded(["ls", "--socket", daemon.socket], AS_OTHER);
    assertEquals(before.code, 0, before.errors);
    // 8,000 rules are 760 KB between the threads.
    await daemon.reload(configText(manyRules(8000)), /config reloaded|error/);
    await until("the log tells it", () => /config reloaded rules=8000|rules=8000/.test(daemon.logText));
    const after = await bounded(["ls", "--socket", daemon.socket], AS_OTHER);
    assertEquals(after.code, 1, "the removed user is let in no more");
    assertMatch(after.errors, /not-admitted/);
  });
});

Deno.test("13b: a config that is too large, a pipe, a folder or no text is refused at once, and the old one stays in force", async () => {
  await inFolder(async (folder) => {
    const notify = new Notified(`${folder}/notify.sock`);
    await using listening = notify.open();
    await listening.says("bound");
    await using daemon = await DaemonProcess.start({
      folder,
      stubs: 1,
      env: { NOTIFY_SOCKET: `${folder}/notify.sock` },
    });
    await listening.says("READY=1");
    const refusals: [string, () => Promise<void>, RegExp][] = [
      [
        "too large",
        () => Deno.writeTextFile(daemon.configPath, configText(manyRules(20_000))),
        /has \d+ bytes, and may have 1048576/,
      ],
      ["folder", () => Deno.mkdir(daemon.configPath), /is a folder, and must be a plain file/],
      ["pipe", () => run("mkfifo", [daemon.configPath]), /is a pipe, a socket or a device/],
      [
        "binary",
        () => Deno.writeFile(daemon.configPath, new Uint8Array([0xff, 0xfe, 0])),
        /it is not UTF-8 text/,
      ],
    ];
    for (const [what, make, words] of refusals) {
      await Deno.remove(daemon.configPath);
      await make();
      const from = daemon.logText.length;
      daemon.kill("SIGHUP");
      await daemon.says(words, from);
      assertEquals(lines(daemon.logText.slice(from), "error").length, 1, what);
      assert(daemon.logText.slice(from).includes(daemon.configPath), "the file is named");
      await until(`${what} is told to systemd`, () => {
        const told = listening.text.split("RELOADING=1").at(-1) ?? "";
        return /READY=1\nSTATUS=the config was not reloaded/.test(told) && words.test(told);
      });
      assertEquals((await bounded(["ls", "--socket", daemon.socket])).code, 0);
      // And a start with it is refused as fast.
      const start = await bounded(["serve", "--config", daemon.configPath, "--socket", `${folder}/x.sock`]);
      assertEquals(start.code, 1, what);
      assertMatch(start.errors, words);
    }
    await Deno.remove(daemon.configPath);
    await daemon.reload(configText(""));
    await until(
      "the new one is told",
      () => /READY=1\nSTATUS=serving/.test(listening.text.split("RELOADING=1").at(-1) ?? ""),
    );
  });
});

Deno.test("13b: a stop is not lost while the inbox is full of a config", async () => {
  await inFolder(async (folder) => {
    await using daemon = await DaemonProcess.start({ folder, stubs: 1 });
    await Deno.writeTextFile(daemon.configPath, configText(manyRules(12_000)));
    daemon.kill("SIGHUP");
    assertEquals((await daemon.stop()).code, 0);
  });
});

async function run(program: string, args: readonly string[]): Promise<void> {
  const { code } = await new Deno.Command(program, { args: [...args] }).output();
  assertEquals(code, 0, `${program} ${args.join(" ")}`);
}

Deno.test("13c: a recording is its owner's alone, and so are the older files of it", async () => {
  await inFolder(async (folder) => {
    await using daemon = await DaemonProcess.start({ folder, stubs: 1, stubRateHz: 2000 });
    const path = `${folder}/r.cbor`;
    // One of an earlier vmsig that another user has open, and its predecessor.
    await Deno.writeTextFile(path, "old", { mode: 0o644 });
    await Deno.writeTextFile(`${path}.1`, "older", { mode: 0o644 });
    using held = await Deno.open(path);
    const ran = await bounded([
      "record",
      "-o",
      path,
      "--for",
      "3500",
      "--max-size",
      "1",
      "--keep",
      "3",
      "--socket",
      daemon.socket,
    ]);
    assertEquals(ran.code, 0, ran.errors);
    const files = [...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith("r.cbor"));
    assert(files.length >= 2, "it was rotated");
    for (const { name } of files) {
      const mode = (Deno.statSync(`${folder}/${name}`).mode ?? 0) & 0o777;
      if (Deno.readTextFileSync(`${folder}/${name}`) !== "older") assertEquals(mode, 0o600, name);
    }
    const seen = new Uint8Array(8);
    assertEquals(await held.read(seen), 3);
    assertEquals(new TextDecoder().decode(seen.subarray(0, 3)), "old", "who had it open sees the old file");
    const other = await new Deno.Command(AS_OTHER[0] as string, {
      args: [...AS_OTHER.slice(1), "cat", path],
      stdout: "null",
      stderr: "null",
    }).output();
    assert(other.code !== 0, "another user cannot read it");
  });
});

Deno.test("13c: a link, a pipe, a folder and another user's file are not recorded into, and a pipe is not waited for", async () => {
  await inFolder(async (folder) => {
    await using daemon = await DaemonProcess.start({ folder, stubs: 1 });
    const record = (path: string) =>
      bounded(["record", "-o", path, "--for", "50", "--socket", daemon.socket]);
    await Deno.writeTextFile(`${folder}/precious`, "precious");
    await Deno.symlink(`${folder}/precious`, `${folder}/link`);
    await run("mkfifo", [`${folder}/pipe`]);
    await Deno.mkdir(`${folder}/folder`);
    await Deno.writeTextFile(`${folder}/foreign`, "");
    await Deno.chown(`${folder}/foreign`, OTHER, OTHER);
    const words: [string, RegExp][] = [
      ["link", /symbolic link/],
      ["pipe", /a pipe, a socket or a device/],
      ["folder", /it is a folder/],
      ["foreign", /a file of uid 4242 has this name/],
    ];
    for (const [name, why] of words) {
      const ran = await record(`${folder}/${name}`);
      assertEquals(ran.code, 1, name);
      assertMatch(ran.errors, why);
      assertMatch(ran.errors, /^vmsig: refused: Cannot write the recording [^\n]*\n$/);
    }
    assertEquals(Deno.readTextFileSync(`${folder}/precious`), "precious");
    const none = await record("/dev/null");
    assertEquals(none.code, 0, none.errors);
    assert(Deno.lstatSync("/dev/null").isCharDevice);
    const replay = await bounded(["replay", `${folder}/pipe`, "--socket", `${folder}/replay.sock`]);
    assertEquals(replay.code, 1);
    assertMatch(replay.errors, /Cannot read the recording .*a pipe, a socket or a device/);
    const doctor = await bounded(["doctor", "--config", `${folder}/pipe`, "--socket", daemon.socket]);
    assertMatch(doctor.text, /pipe cannot be read/);
  });
});

Deno.test({
  name: "13c: a picture into a pipe that nobody reads is refused",
  ignore: !new Deno.Command("sh", { args: ["-c", "command -v qemu-system-x86_64"], stdout: "null" })
    .outputSync()
    .success,
  fn: async () => {
    await inFolder(async (folder) => {
      await run("mkfifo", [`${folder}/pipe`]);
      const vm = new Deno.Command("qemu-system-x86_64", {
        args: [
          "-display",
          "none",
          "-accel",
          "tcg",
          "-S",
          "-m",
          "64M",
          "-qmp",
          `unix:${folder}/a.qmp,server=on,wait=off`,
        ],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      try {
        await until("the monitor", () => Deno.stat(`${folder}/a.qmp`).then(() => true, () => false));
        const main = new URL("../../main.ts", import.meta.url).pathname;
        const args = ["run", "-A", "--no-check", main, "screen", `pid:${vm.pid}`, "--source", "qmp"];
        const { code, stderr } = await new Deno.Command(Deno.execPath(), {
          args: [...args, "-o", `${folder}/pipe`],
          stdin: "null",
          stdout: "null",
          stderr: "piped",
        }).output();
        assertMatch(new TextDecoder().decode(stderr), /^vmsig: refused: .*it is a pipe without a reader\n$/);
        assertEquals(code, 1);
      } finally {
        vm.kill("SIGKILL");
        await vm.status;
      }
    });
  },
});

/** A service manager's socket, in Python. */
class Notified {
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  open(): Attendant {
    const program = `
import socket,sys,threading
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)
a=sys.argv[1]
s.bind("\\0"+a[1:] if a[0]=="@" else a)
print("bound")
def read():
    while True: print(s.recv(65536).decode())
threading.Thread(target=read,daemon=True).start()
sys.stdin.read()
`;
    return new Attendant("python3", ["-u", "-c", program, this.#address]);
  }
}

Deno.test("14: READY, RELOADING and STOPPING reach a service manager behind an abstract socket", async () => {
  const address = `@vmsig-notify-${Deno.pid}-${crypto.randomUUID()}`;
  await using manager = new Notified(address).open();
  await manager.says("bound");
  await using daemon = await DaemonProcess.start({
    stubs: 1,
    env: { NOTIFY_SOCKET: address, WATCHDOG_USEC: "400000" },
  });
  await manager.says("READY=1");
  await manager.says("WATCHDOG=1");
  await daemon.reload(configText(""));
  await manager.says("RELOADING=1");
  await daemon.stop();
  await manager.says("STOPPING=1");
  assertEquals(lines(daemon.logText, "service manager"), []);
});

Deno.test("14: an address that cannot be one is told once, and the daemon serves all the same", async () => {
  for (const address of [`/${"x".repeat(120)}`, `@${"x".repeat(120)}`, "relative", "vsock:2:1"]) {
    await using daemon = await DaemonProcess.start({ stubs: 1, env: { NOTIFY_SOCKET: address } });
    await using client = await daemon.connect("in");
    assertEquals((await client.vmState("stub0")).state, "running");
    await daemon.reload(configText(""));
    assertEquals(lines(daemon.logText, "service manager").length, 1, daemon.logText);
  }
});
