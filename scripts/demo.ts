/**
 * The demonstration: a small real Linux guest under TCG, the daemon beside it, and a scripted control that
 * sees and steers it through the bus, by the one monitor that its QEMU has. Everything that it starts is its
 * own and is gone at the end, also after Ctrl-C. scripts/demo sets up what it needs and runs it.
 *
 *     scripts/demo          the tour
 *     scripts/demo guest    prints a file for QEMU's -readconfig that boots the tour's guest, and no more
 * @module
 */
import { exitCodeOf, Fault, messageOf } from "../src/base/fault.ts";
import { type Client, connect, takeInput, waitFor } from "../src/client/mod.ts";
import { EventLine } from "../src/client/cli/event_line.ts";
import { standardOutput } from "../src/client/cli/output.ts";
import { EAGER } from "./build/compile.ts";
import { DEMO_GUEST, guestConfig } from "./demo_guest.ts";
import { type Qemu, startGuest } from "../tests/guest/qemu.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const NAME = "demo";
/** Where the guest's screen is saved, in the current folder: the one thing that stays. */
const PICTURE = "vmsig-demo.png";
/** What is typed. */
const WORDS = "Hello, guest!";
/** Only a hang is slower than this. */
const WAIT_MS = 120_000;

/** One aligned line. */
function show(what: string, detail: string): void {
  console.log(`${what.padEnd(12)} ${detail}`);
}

/** More lines of what was shown last. */
function showLines(lines: readonly string[]): void {
  for (const line of lines) console.log(`${" ".repeat(13)}${line}`);
}

/** Boots the guest: 512 MiB of shared RAM, a keyboard, a tablet, a standard VGA and one monitor. */
async function bootGuest(): Promise<Qemu> {
  const started = performance.now();
  const vm = await startGuest({ ...DEMO_GUEST, devices: ["virtio-input"], name: NAME });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  show(
    "guest",
    `Linux ${vm.agent.release}, q35, 512 MiB, one monitor, booted in ${seconds} s (QEMU is process ${vm.pid}, under TCG)`,
  );
  return vm;
}

/** The daemon in a process of its own, with one endpoint in its config. */
class Daemon implements AsyncDisposable {
  readonly folder: string = Deno.makeTempDirSync({ prefix: "vmsig-demo-" });
  readonly socket: string = `${this.folder}/control.sock`;
  readonly #child: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<Uint8Array>;

  constructor(vm: Qemu) {
    const config = `${this.folder}/vmsigd.toml`;
    Deno.writeTextFileSync(
      config,
      `[daemon]\nlog = "warn"\n[discovery]\nprobe = false\n[[endpoint]]\nname = "${NAME}"\nqmp = "${vm.qmpPath}"\n`,
    );
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        ...EAGER,
        "--quiet",
        "-A",
        MAIN,
        "serve",
        "--config",
        config,
        "--socket",
        this.socket,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#output = this.#child.stdout.getReader();
  }

  /** Waits until it says that it is ready. */
  async ready(): Promise<void> {
    const started = performance.now();
    const { value } = await this.#output.read();
    if (value === undefined) throw new Error("the daemon ended before it was ready; its log is above");
    show(
      "daemon",
      `process ${this.#child.pid}, ready in ${Math.round(performance.now() - started)} ms on ${this.socket}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch (error) {
      // It has ended by itself; its folder goes all the same.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#output.cancel();
    await this.#child.status;
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Prints events as they come, and counts them. Those of the screen come with each look: they only count. */
class Narrator {
  readonly counts = new Map<string, number>();
  readonly #done: Promise<void>;

  constructor(client: Client) {
    this.#done = this.#listen(client);
  }

  async #listen(client: Client): Promise<void> {
    const lines = new EventLine(standardOutput(), client.roster);
    for await (const event of client.events()) {
      using held = event;
      if (held.kindName === "AUDIT") continue;
      this.counts.set(held.kindName, (this.counts.get(held.kindName) ?? 0) + 1);
      if (held.sourceName !== "FRAME") lines.print(held);
    }
  }

  /** Resolves when the client is closed. */
  get done(): Promise<void> {
    return this.#done;
  }
}

/** Pauses, resumes and resets the guest. */
async function steer(client: Client, vm: Qemu): Promise<void> {
  // A daemon that has just begun to listen may not have reached the VM's monitor yet.
  await waitFor(client, NAME, { state: "running" }, { timeoutMs: WAIT_MS });
  show("control", "pauses the guest, and lets it go on");
  await client.vm(NAME, "stop");
  show("control", `the guest is ${(await client.vmState(NAME)).state}`);
  await client.vm(NAME, "cont");
  show("control", `the guest is ${(await client.vmState(NAME)).state}`);
  show("control", "takes the power lease, and resets the guest");
  {
    await using _lease = await client.acquire(NAME, "power");
    await client.vm(NAME, "reset");
  }
  await vm.agent.ready(2);
  show("guest", "is up again after the reset");
}

/** Types into the guest's shell, and waits until its answer is on the screen. */
async function type(client: Client): Promise<void> {
  const prompt = await waitFor(client, NAME, { text: /^guest#/m }, { timeoutMs: WAIT_MS });
  show("wait", `the shell's prompt was on the screen after ${Math.round(prompt.afterMs)} ms`);
  show("control", `takes the input lease, and types "echo ${WORDS}"`);
  const answer = new RegExp(`^${WORDS}`, "m");
  {
    await using input = await takeInput(client, NAME);
    await input.type(`echo ${WORDS}\n`);
  }
  const { afterMs } = await waitFor(client, NAME, { text: answer }, { timeoutMs: WAIT_MS });
  show("wait", `the guest's answer was on the screen ${Math.round(afterMs)} ms later`);
}

/** Saves the guest's screen, and reads it as text. */
async function look(daemon: Daemon): Promise<void> {
  const picture = await vmsig(daemon, ["screen", NAME, "-o", PICTURE]);
  show("screen", `a picture: ${picture.trimEnd()}`);
  const text = (await vmsig(daemon, ["screen", NAME, "--text"])).trimEnd().split("\n");
  if (!text.includes(`guest# echo ${WORDS}`) || !text.includes(WORDS)) {
    throw new Error(`what was typed is not on the screen: ${JSON.stringify(text)}`);
  }
  show("screen", "its text, exact, without guessing at pixels:");
  showLines(text.map((line) => `| ${line}`));
}

/** Shows the guest's processes, read out of its memory from the host. */
async function lookInside(daemon: Daemon): Promise<void> {
  const rows = (await vmsig(daemon, ["mem", NAME, "ps"])).trimEnd().split("\n");
  show(
    "memory",
    `${rows.length - 1} processes, read out of the guest's RAM without an agent in it; those of the user:`,
  );
  showLines(rows.filter((row, i) => i === 0 || !row.includes("[")));
}

/** Runs one of the commands, as a person would, and gives its output. */
async function vmsig(daemon: Daemon, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", MAIN, ...args, "--socket", daemon.socket],
    env: { NO_COLOR: "1" },
  }).output();
  if (code !== 0) throw new Error(`vmsig ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}

/** What is shown once the daemon is there. */
async function tour(vm: Qemu, daemon: Daemon): Promise<void> {
  await daemon.ready();
  const client = await connect({ socket: daemon.socket, name: "demo" });
  const narrator = new Narrator(client);
  await steer(client, vm);
  await type(client);
  await look(daemon);
  await lookInside(daemon);
  await client.close();
  await narrator.done;
  const total = [...narrator.counts.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...narrator.counts].map(([kind, count]) => `${count} ${kind}`).join(", ");
  show("summary", `${total} events: ${kinds}`);
}

async function demo(): Promise<void> {
  const started = performance.now();
  const interrupted = Promise.withResolvers<never>();
  // Ctrl-C ends the tour where it is; the guest and the daemon go by the same way as at its end.
  const interrupt = () => interrupted.reject(new Fault("interrupted", "Cannot go on: interrupted"));
  interrupted.promise.catch(() => {});
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    await using vm = await bootGuest();
    await using daemon = new Daemon(vm);
    const toured = tour(vm, daemon);
    // After an interrupt what it still waits for fails when the daemon goes: that is not news.
    toured.catch(() => {});
    await Promise.race([toured, interrupted.promise]);
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
  show(
    "summary",
    `${
      ((performance.now() - started) / 1000).toFixed(1)
    } s in all; guest, daemon and their files are gone, ${PICTURE} stays`,
  );
}

globalThis.addEventListener("unhandledrejection", (event) => {
  // The narrator's, when the daemon goes in the middle: the tour's own error is the one to tell.
  event.preventDefault();
});
const [what, ...rest] = Deno.args;
if (rest.length > 0 || (what !== undefined && what !== "guest")) {
  console.error("usage: scripts/demo [guest]");
  Deno.exit(2);
}
try {
  if (what === "guest") console.log(await guestConfig());
  else await demo();
} catch (error) {
  console.error(`vmsig: ${error instanceof Fault ? `${error.code}: ` : ""}${messageOf(error)}`);
  Deno.exit(exitCodeOf(error));
}
