/**
 * The host probe among hostile processes: a real daemon as root that attaches the VMs of two users by itself,
 * and processes of those users that say what is not true, or more than anybody can read. The users' numbers
 * are this process's own, so that nobody else's VMs are touched.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { KIND } from "../../src/event/kind.ts";
import { VM_OP } from "../../src/event/body_number.ts";
import { CODE } from "../../src/base/codes.ts";
import { configText, type DaemonOptions, DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { ScriptedQmp } from "../fixtures/scripted_qmp.ts";
import { asUser, buildRelay, ForeignControl, whyNotOthers } from "../unit/daemon/foreign_control.ts";

/** Whose VMs the daemon attaches; nobody else on this machine has these numbers. */
const ALICE = 20_000 + Deno.pid % 10_000;
const EVE = ALICE + 10_000;
const OBSERVER = ALICE + 20_000;
/** A process of a VM that is there, whatever it says. */
const QEMU_NAME = "qemu-system-x86_64";
const WAIT_MS = 360_000;

const why = whyNotOthers() || whyNoQemu();

function whyNoQemu(): string {
  try {
    new Deno.Command(QEMU_NAME, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    return "";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `${QEMU_NAME} is not installed`;
    throw error;
  }
}

function hostile(name: string, fn: (scene: Scene) => Promise<void>): void {
  Deno.test({
    name: why === "" ? name : `${name} (skipped: ${why})`,
    ignore: why !== "",
    async fn() {
      await using scene = new Scene();
      await fn(scene);
    },
  });
}

/** A folder that every user may look into, and what was started in it. */
class Scene implements AsyncDisposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "vmsig-probe-" });
  readonly #started: Deno.ChildProcess[] = [];
  readonly #daemons: DaemonProcess[] = [];

  constructor() {
    Deno.chmodSync(this.folder, 0o755);
    for (const uid of [0, ALICE, EVE]) {
      Deno.mkdirSync(this.home(uid), { mode: 0o755 });
      Deno.chownSync(this.home(uid), uid, uid);
    }
    // A program that its file's name makes a QEMU, and that does nothing.
    const source = `${this.folder}/idle.c`;
    Deno.writeTextFileSync(source, "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n");
    const { code, stderr } = new Deno.Command("cc", { args: ["-o", `${this.folder}/${QEMU_NAME}`, source] })
      .outputSync();
    if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  }

  /** A folder of a user's own. */
  home(uid: number): string {
    return `${this.folder}/${uid}`;
  }

  /** A real QEMU of a user; its monitor's path. */
  async qemu(uid: number, name: string, file: string): Promise<string> {
    const path = `${this.home(uid)}/${file}`;
    const args = [
      "-name",
      name,
      "-machine",
      "pc",
      "-accel",
      "tcg",
      "-m",
      "16",
      "-display",
      "none",
      "-nodefaults",
      "-S",
    ];
    this.#start(uid, [QEMU_NAME, ...args, "-qmp", `unix:${path},server=on,wait=off`]);
    await until(`${path}`, () => exists(path), WAIT_MS);
    return path;
  }

  /** A real QEMU of a user that connects to where the daemon listens, again each second. */
  client(uid: number, path: string): void {
    const chardev = `socket,id=m,path=${path},server=off,reconnect=1`;
    const args = ["-machine", "none", "-display", "none", "-nodefaults", "-chardev", chardev];
    this.#start(uid, [QEMU_NAME, ...args, "-mon", "chardev=m,mode=control"]);
  }

  /** A process that only says that it is a QEMU with these arguments; its number. */
  async impostor(uid: number, args: readonly string[]): Promise<number> {
    const { pid } = this.#start(uid, [`${this.folder}/${QEMU_NAME}`, ...args]);
    await until("the impostor", () => programOf(pid) === `${this.folder}/${QEMU_NAME}`, WAIT_MS);
    return pid;
  }

  /** A process that calls itself a QEMU, and whose program is another. */
  pretender(uid: number, args: readonly string[]): void {
    Deno.copyFileSync(`${this.folder}/${QEMU_NAME}`, `${this.folder}/idle`);
    this.#start(uid, ["bash", "-c", 'exec -a "$0" "$@"', QEMU_NAME, `${this.folder}/idle`, ...args]);
  }

  async daemon(options: DaemonOptions): Promise<DaemonProcess> {
    const daemon = await DaemonProcess.start({ probeUsers: [ALICE, EVE], ...options });
    this.#daemons.push(daemon);
    Deno.chmodSync(daemon.folder, 0o755);
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) await daemon[Symbol.asyncDispose]();
    for (const child of this.#started) {
      try {
        child.kill("SIGKILL");
      } catch (error) {
        // It has ended by itself.
        if (!(error instanceof TypeError)) throw error;
      }
      await child.status;
    }
    await Deno.remove(this.folder, { recursive: true });
  }

  #start(uid: number, command: readonly string[]): Deno.ChildProcess {
    const [program = "", ...args] = uid === 0 ? command : [...asUser({ uid, gid: uid }), ...command];
    const child = new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      // The arguments may be as long as the kernel lets them, the environment included.
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin" },
    }).spawn();
    this.#started.push(child);
    return child;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function programOf(pid: number): string {
  try {
    return Deno.readLinkSync(`/proc/${pid}/exe`);
  } catch (error) {
    if (error instanceof Error) return "";
    throw error;
  }
}

interface Row {
  readonly endpoint: number;
  readonly name: string;
  readonly state: string;
}

/** What a daemon has attached. */
async function rows(daemon: DaemonProcess): Promise<Row[]> {
  const { code, text, errors } = await vmsig(["ls", "--json", "--socket", daemon.socket]);
  assertEquals(code, 0, errors);
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Row);
}

/** Waits for a VM of that name with its seams up; its number. */
async function isUp(daemon: DaemonProcess, name: string): Promise<number> {
  let found: Row | undefined;
  try {
    await until(name, async () => {
      found = (await rows(daemon)).find((row) => row.name === name && row.state === "up");
      return found !== undefined;
    }, WAIT_MS);
  } catch (error) {
    throw new Error(`${error}\nthe log: ${daemon.logText.slice(-3000)}`);
  }
  return found?.endpoint ?? -1;
}

/** The endpoints that a user is granted, as bits. */
async function grantOf(daemon: DaemonProcess, uid: number): Promise<bigint> {
  await using control = new ForeignControl(buildRelay(daemon.folder), daemon.socket, { uid, gid: uid });
  const { kind, answer } = await control.hello();
  assertEquals(kind, KIND.WELCOME, JSON.stringify(answer));
  return BigInt((answer as Record<string, number | bigint>).endpoints ?? 0);
}

hostile(
  "who names another user's monitor is not attached, nor the monitor touched; who names its own is",
  async (scene) => {
    const victim = await scene.qemu(0, "victim", "v.qmp");
    scene.pretender(EVE, ["-name", "web", "-qmp", `unix:${scene.home(EVE)}/none.qmp,server=on,wait=off`]);
    const pid = await scene.impostor(EVE, ["-name", "web", "-qmp", `unix:${victim},server=on,wait=off`]);
    await scene.qemu(ALICE, "web", "a.qmp");
    // Without a daemon, whoever asks is told whose VMs would not be attached, and what to add.
    const probe = await vmsig(["probe"]);
    const says = `is of uid ${ALICE} and not attached; add to /etc/vmsig/vmsigd.toml: [discovery] users = [`;
    assertStringIncludes(probe.text, says, probe.errors);
    assertStringIncludes(
      probe.text,
      `web@${EVE} (${pid}) is not attached: its monitor's socket belongs to uid 0`,
    );
    const daemon = await scene.daemon({});
    await isUp(daemon, `web@${ALICE}`);
    const notAttached =
      `a VM is not attached name=web@${EVE} pid=${pid} uid=${EVE} why="its monitor's socket belongs to uid 0, and it runs as uid ${EVE}"`;
    await until(notAttached, () => daemon.logText.includes(notAttached));
    assertEquals((await rows(daemon)).map(({ name }) => name), [`web@${ALICE}`]);
    // What is told once is told once, however often it is looked at.
    await daemon.reload(configText("", [ALICE, EVE]));
    await scene.qemu(ALICE, "later", "b.qmp");
    await isUp(daemon, `later@${ALICE}`);
    assertEquals(daemon.logText.split("a VM is not attached").length, 2);
  },
);

hostile(
  "where another process listens than the one that names the path, nothing is said to it",
  async (scene) => {
    const path = `${scene.home(ALICE)}/a.qmp`;
    await using peer = new ScriptedQmp(path);
    // The file is the user's, the listener is this process.
    Deno.chownSync(path, ALICE, ALICE);
    const pid = await scene.impostor(ALICE, ["-name", "web", "-qmp", `unix:${path},server=on,wait=off`]);
    const daemon = await scene.daemon({});
    const listens = `process ${pid} names this monitor, and process ${Deno.pid} listens there`;
    await until(listens, () => daemon.logText.includes(listens));
    const [row, ...more] = await rows(daemon);
    assertEquals([row?.name, row?.state === "up", more.length], [`web@${ALICE}`, false, 0]);
    const order = await vmsig(["vm", `web@${ALICE}`, "stop", "--socket", daemon.socket]);
    assertEquals(order.code, 1, order.text);
    await daemon.reload(configText("", [ALICE, EVE]));
    assertEquals(peer.commands, []);
    assertEquals(daemon.logText.split("another process listens").length, 2, "told once");
  },
);

hostile(
  "where the daemon listens for a QEMU, a user who is not trusted is put out at once, and told of once",
  async (scene) => {
    const path = `${scene.folder}/web.qmp`;
    const daemon = await scene.daemon({
      probeUsers: [ALICE],
      config: `[[endpoint]]\nname = "web"\nqmp = "listen:${path}"\n`,
    });
    await daemon.says(/listening for QEMU/);
    // A QEMU like any other, of somebody who has nothing to say here.
    scene.client(EVE, path);
    await daemon.says(new RegExp(`its user is not trusted.* uid=${EVE}`));
    const [row, ...more] = await rows(daemon);
    assertEquals([row?.name, row?.state === "up", more.length], ["web", false, 0]);
    scene.client(ALICE, path);
    await isUp(daemon, "web");
    await daemon.reload(configText(`[[endpoint]]\nname = "web"\nqmp = "listen:${path}"\n`, [ALICE]));
    assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o666);
    assertEquals(daemon.logText.split("its user is not trusted").length, 2, "told once");
  },
);

hostile(
  "a user's own name for its VM satisfies no grant; what somebody has named comes before what was found",
  async (scene) => {
    const daemon = await scene.daemon({
      stubs: 1,
      config:
        `[[admission]]\nuid = ${OBSERVER}\nendpoints = ["web", "stub0"]\ncaps = ["OBSERVE", "ROSTER", "VM"]\n`,
    });
    await scene.qemu(ALICE, "web", "a.qmp");
    const id = await isUp(daemon, `web@${ALICE}`);
    assertEquals(await grantOf(daemon, OBSERVER), 1n, "the stub, and nothing else");
    {
      await using control = new ForeignControl(`${daemon.folder}/packet_relay`, daemon.socket, {
        uid: OBSERVER,
        gid: OBSERVER,
      });
      assertEquals((await control.hello()).kind, KIND.WELCOME);
      const answer = await control.ask(KIND.CMD_VM, id, [VM_OP.STOP]);
      assertEquals(answer.words[1], CODE["outside-grant"]);
    }
    const rule = `[[admission]]\nuid = ${OBSERVER}\nendpoints = ["web@${ALICE}"]\ncaps = ["ROSTER"]\n`;
    await daemon.reload(configText(rule, [ALICE]));
    assertEquals(await grantOf(daemon, OBSERVER), 1n << BigInt(id), "by the name that says whose it is");
    // Root's VM of that name, which a trigger file names.
    const real = await scene.qemu(0, "whatever", "web.qmp");
    daemon.drop("web.toml", `name = "web@${ALICE}"\nqmp = "${real}"\n`);
    await daemon.says(/is detached: file:web.toml has its name/);
    await isUp(daemon, `web@${ALICE}`);
    await daemon.says(new RegExp(`monitor up path=${real}`));
    // Whose VMs count is asked anew at a reload.
    await scene.qemu(EVE, "gone", "e.qmp");
    await daemon.reload(configText("", [EVE]));
    await isUp(daemon, `gone@${EVE}`);
    await daemon.reload(configText("", []));
    await until("the VMs of those who count no more", async () => {
      return (await rows(daemon)).map(({ name }) => name).join() === `stub0,web@${ALICE}`;
    });
  },
);

hostile(
  "arguments, names and paths without measure: signals are answered, and VMs found, meanwhile",
  async (scene) => {
    const daemon = await scene.daemon({});
    // 180,000 words; a name of 131,000 bytes, as it is and of letters that take two bytes each.
    await scene.impostor(EVE, Array(180_000).fill("-m"));
    await scene.impostor(EVE, ["-name", "/".repeat(131_000), "-qmp", `unix:${scene.home(EVE)}/n1,server=on`]);
    await scene.impostor(EVE, ["-name", "ä".repeat(65_500), "-qmp", `unix:${scene.home(EVE)}/n2,server=on`]);
    await scene.impostor(EVE, ["-machine", ",".repeat(131_000)]);
    await scene.impostor(EVE, ["-object", `{"a":${"[".repeat(131_000)}`]);
    await daemon.reload(configText("", [ALICE, EVE]));
    await scene.qemu(ALICE, "first", "a.qmp");
    await isUp(daemon, `first@${ALICE}`);
    await daemon.reload(configText("", [ALICE, EVE]));
    assertStringIncludes(await daemon.metrics(), "vmsig_loop_turn_seconds_count");
  },
);

hostile("a dozen paths of 120 KB do not end the looking", async (scene) => {
  const daemon = await scene.daemon({});
  for (let i = 0; i < 12; i++) {
    await scene.impostor(EVE, [
      "-name",
      `long${i}`,
      "-qmp",
      `unix:/${`${i}`.repeat(60_000).slice(0, 120_000)},server=on`,
    ]);
  }
  await daemon.reload(configText("", [ALICE, EVE]));
  await scene.qemu(ALICE, "second", "b.qmp");
  await isUp(daemon, `second@${ALICE}`);
  assertEquals((await rows(daemon)).map(({ name }) => name), [`second@${ALICE}`]);
  assertEquals(/cannot scan for VMs/.test(daemon.logText), false);
});
