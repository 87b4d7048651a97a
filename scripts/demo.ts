/**
 * The demonstration: a small real Linux guest under TCG, the daemon beside it, and a scripted control that
 * sees and steers it through the bus. Everything that it starts is its own and is gone at the end, also after
 * Ctrl-C. scripts/demo sets up what it needs and runs it.
 * @module
 */
import { exitCodeOf, Fault, messageOf } from "../src/base/fault.ts";
import { type Client, connect, keyName, takeInput } from "../src/client/mod.ts";
import { EventLine } from "../src/client/cli/event_line.ts";
import { standardOutput } from "../src/client/cli/output.ts";
import { EAGER } from "./build/compile.ts";
import { type Qemu, startGuest } from "../tests/guest/qemu.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const NAME = "demo";
/** Where the guest's screen is saved, in the current folder: the one thing that stays. */
const PICTURE = "vmsig-demo.png";

/** One aligned line. */
function show(what: string, detail: string): void {
  console.log(`${what.padEnd(12)} ${detail}`);
}

/** Boots the guest that everything is shown on: 512 MiB of shared RAM, a keyboard, a tablet and a screen. */
async function bootGuest(): Promise<Qemu> {
  const started = performance.now();
  const vm = await startGuest({
    programs: ["evrec", "procs"],
    devices: ["virtio-input", "pvpanic"],
    extraArgs: ["-vga", "std"],
    qmpSockets: 2,
    name: NAME,
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  show(
    "guest",
    `Linux ${vm.agent.release}, q35, 512 MiB, booted in ${seconds} s (QEMU is process ${vm.pid}, under TCG)`,
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

/** Prints every event as it comes, and counts them. */
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
      lines.print(held);
    }
  }

  /** Resolves when the client is closed. */
  get done(): Promise<void> {
    return this.#done;
  }
}

/** Pauses, resumes and resets the guest. */
async function steer(client: Client, vm: Qemu): Promise<void> {
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

/** Types into the guest, and shows what its kernel received. */
async function type(client: Client, vm: Qemu): Promise<void> {
  const text = "Hello, guest!";
  const recorder = await vm.agent.start("evrec", "--late");
  await recorder.lineMatching(/^device .*[Kk]eyboard/);
  show("control", `takes the input lease, and types "${text}"`);
  {
    await using input = await takeInput(client, NAME);
    await input.type(text);
  }
  const received: string[] = [];
  const presses = text.length + [...text].filter((c) => /[A-Z!]/.test(c)).length;
  while (received.length < presses) {
    // A line is "event3 TYPE CODE VALUE": type 1 is a key, value 1 its press.
    const line = await recorder.line();
    if (line === undefined) throw new Error("the guest's recorder ended");
    const code = /^event\d+ 1 (\d+) 1$/.exec(line)?.[1];
    if (code !== undefined) received.push(keyName(Number(code)) ?? code);
  }
  await recorder.kill();
  show("guest", `its kernel received the keys ${received.join(" ")}`);
}

/** Shows the guest's processes, read out of its memory from the host. */
async function lookInside(daemon: Daemon): Promise<void> {
  const listing = await vmsig(daemon, ["mem", NAME, "ps"]);
  const rows = listing.trimEnd().split("\n");
  show(
    "memory",
    `${rows.length - 1} processes, read out of the guest's RAM without an agent in it; those of the user:`,
  );
  for (const [i, row] of rows.entries()) {
    if (i === 0 || !row.includes("[")) console.log(`${" ".repeat(13)}${row}`);
  }
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
  await type(client, vm);
  await lookInside(daemon);
  await vmsig(daemon, ["screen", NAME, "-o", PICTURE, "--source", "auto"]);
  show("screen", `saved as ${PICTURE}`);
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
    // After an interrupt what it still waits for fails when the daemon goes: that is no news.
    toured.catch(() => {});
    await Promise.race([toured, interrupted.promise]);
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
  }
  show(
    "summary",
    `${((performance.now() - started) / 1000).toFixed(1)} s in all; guest, daemon and files are gone`,
  );
}

globalThis.addEventListener("unhandledrejection", (event) => {
  // The narrator's, when the daemon goes in the middle: the tour's own error is the one to tell.
  event.preventDefault();
});
try {
  await demo();
} catch (error) {
  console.error(`vmsig: ${error instanceof Fault ? `${error.code}: ` : ""}${messageOf(error)}`);
  Deno.exit(exitCodeOf(error));
}
