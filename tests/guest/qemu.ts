/**
 * Real QEMUs for tests, always under TCG: a guest from the builder (startGuest) or a bare firmware
 * (startFirmware). Disposing one kills it by its pid and removes its files, whatever the test did; it also
 * dies with the thread that started it. It speaks no QMP: the sockets are for those under test.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { buildGuest, type BuiltGuest, type GuestSpec, INPUT_MODULES, PVPANIC_MODULES } from "./build.ts";
import { exists } from "./content_cache.ts";
import { GuestAgent, isConnectionEnd } from "./guest_agent.ts";
import { GuestError, within } from "./guest_process.ts";
import { TestQmp } from "./test_qmp.ts";

/** Devices by a short name: `virtio-input` is a keyboard and a tablet, with their modules in the guest. */
export type DeviceShorthand = "virtio-input" | "pvpanic" | "no-vga";

/** The machine around the guest. */
export interface MachineOptions {
  /**
   * Chip set; q35 unless said otherwise; `virt` is an arm64 machine, and needs the arm64 kernel. microvm has
   * one serial port, so that its agent is not heard.
   */
  readonly machine?: "pc" | "q35" | "virt" | "microvm";
  /** RAM in MiB; 512 unless said otherwise. */
  readonly ramMiB?: number;
  /**
   * What backs the RAM: a shared memfd (default), a shared file, or private memory. The backend's id is ram0.
   */
  readonly memory?: "memfd" | "file" | "none";
  /** The CPU model, with its flags; QEMU's default when absent. */
  readonly cpu?: string;
  /** Virtual CPUs; 1 unless said otherwise. */
  readonly smp?: number;
  /** QMP sockets, each a monitor of its own; 1 unless said otherwise. */
  readonly qmpSockets?: number;
  /** Devices by shorthand. */
  readonly devices?: readonly DeviceShorthand[];
  /** More arguments for QEMU. */
  readonly extraArgs?: readonly string[];
  /** QEMU's -name; "guest" unless said otherwise. */
  readonly name?: string;
  /** Words before QEMU's, of a program that becomes QEMU. */
  readonly wrapper?: readonly string[];
}

/** A machine and what runs in it. */
export interface GuestOptions extends MachineOptions, GuestSpec {
  /** More words for the kernel's command line. */
  readonly append?: string;
  /** An image that is built already, in place of the spec's fields. */
  readonly image?: BuiltGuest;
  /** How long the boot may take; 120,000 ms unless said otherwise (a busy machine boots slowly). */
  readonly bootTimeoutMs?: number;
}

/** The console's text is kept up to this length; then the older half is forgotten. */
const MAX_CONSOLE_CHARS = 4 * 1024 * 1024;
const START_TIMEOUT_MS = 180_000;
/**
 * Quiet, because each console line costs time under TCG; a panic is printed all the same. Tests of ciphers
 * and patches of the kernel's own text for one processor take a fifth of a boot under TCG.
 */
const BOOT_WORDS = "quiet random.trust_cpu=on cryptomgr.notests";
/** A guest kernel's words, for whoever starts QEMU by other ways. */
export const KERNEL_WORDS = `console=ttyS0 ${BOOT_WORDS} noreplace-smp no_timer_check`;
/** The machine has one serial port of its own; the agent's is on a PCI card, which Linux calls ttyS0. */
const ARM64_KERNEL_WORDS = `console=ttyAMA0 ${BOOT_WORDS} agent_port=/dev/ttyS0`;

/**
 * Boots a guest and waits for its agent.
 *
 * @throws {Fault} `missing` when this machine lacks QEMU or the builder's tools
 * @throws {GuestError} when it does not come up, with its console
 */
export async function startGuest(options: GuestOptions = {}): Promise<Qemu> {
  const guest = await Qemu.start(options, await bootArguments(options));
  try {
    await guest.agent.ready(1, options.bootTimeoutMs ?? 480_000);
    return guest;
  } catch (error) {
    const tail = guest.consoleText.slice(-2000);
    await guest[Symbol.asyncDispose]();
    throw new GuestError(`Cannot boot a guest: ${error}\nconsole: ${tail}\nQEMU: ${guest.errorText}`);
  }
}

/** The arguments by which QEMU boots a guest's kernel; its image is built when it is not there. */
export async function bootArguments(options: GuestOptions): Promise<string[]> {
  const devices = options.devices ?? [];
  const modules = [
    ...devices.includes("virtio-input") ? INPUT_MODULES : [],
    ...devices.includes("pvpanic") ? PVPANIC_MODULES : [],
    ...options.modules ?? [],
  ];
  const image = options.image ?? await buildGuest({ ...options, modules });
  const words = `${options.machine === "virt" ? ARM64_KERNEL_WORDS : KERNEL_WORDS} ${options.append ?? ""}`
    .trim();
  return ["-kernel", image.kernelPath, "-initrd", image.initrdPath, "-append", words];
}

/**
 * Starts a QEMU without any system: its firmware runs, finds nothing to boot and waits. For tests of QMP.
 *
 * @throws {GuestError} when QEMU refuses its arguments, with its words
 */
export async function startFirmware(options: MachineOptions = {}): Promise<Qemu> {
  const machine = await Qemu.start({ ramMiB: 128, ...options }, []);
  // QEMU makes its devices only after its sockets: it stands once a monitor has answered.
  const path = machine.qmpPaths[0];
  if (path === undefined) return machine;
  const ended = machine.ended.then(() => {
    throw new GuestError(`Cannot start QEMU: ${machine.errorText.trim()}`);
  });
  ended.catch(() => {});
  try {
    await Promise.race([answers(path), ended]);
    return machine;
  } catch (error) {
    // A refused QEMU goes a moment after its socket: its own words tell more than the socket's end.
    await machine[Symbol.asyncDispose]();
    throw machine.errorText === "" ? error : new GuestError(`Cannot start QEMU: ${machine.errorText.trim()}`);
  }
}

async function answers(qmpPath: string): Promise<void> {
  await using qmp = await TestQmp.connect(qmpPath);
  await qmp.execute("query-status");
}

/** A running QEMU. */
export class Qemu implements AsyncDisposable {
  /** Its process id. */
  readonly pid: number;
  /** Its own temporary folder, removed with it: a place for a test's sockets and files. */
  readonly dir: string;
  /** The QMP sockets' paths. */
  readonly qmpPaths: readonly string[];
  /** The file behind the RAM when memory is "file". */
  readonly ramPath: string | undefined;
  /** The agent in the guest (silent when only the firmware runs). */
  readonly agent: GuestAgent;
  /** What the guest has written to its console (COM1). */
  consoleText = "";
  /** What QEMU has written to its standard error. */
  errorText = "";
  /** Settles when the process has ended. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #console: Deno.Conn;
  readonly #port: Deno.Conn;
  readonly #tasks: Promise<void>[];
  readonly #waiters = new Set<() => void>();
  #running = true;

  private constructor(
    process: Deno.ChildProcess,
    ended: Promise<Deno.CommandStatus>,
    layout: Layout,
    console: Deno.Conn,
    port: Deno.Conn,
    errors: { text: string; done: Promise<void> },
  ) {
    this.pid = process.pid;
    this.dir = layout.dir;
    this.qmpPaths = layout.qmpPaths;
    this.ramPath = layout.ramPath;
    this.agent = new GuestAgent(port);
    this.#console = console;
    this.#port = port;
    this.ended = ended.then(async (status) => {
      this.#running = false;
      await errors.done;
      this.errorText = errors.text;
      return status;
    });
    this.#tasks = [this.#readConsole(), this.agent.serve(), errors.done];
  }

  /** Starts a QEMU; use startGuest or startFirmware. */
  static async start(options: MachineOptions, bootArgs: readonly string[]): Promise<Qemu> {
    // Sockets need a short path: 107 bytes are all that the kernel takes.
    const dir = await Deno.makeTempDir({ prefix: "vmsig-guest-" });
    let process: Deno.ChildProcess | undefined;
    const opened: Disposable[] = [];
    try {
      const layout = layoutOf(dir, options);
      // We listen and QEMU connects, after its QMP sockets exist: nothing to poll for.
      const consoleListener = Deno.listen({ transport: "unix", path: layout.consolePath });
      opened.push(consoleListener);
      const portListener = Deno.listen({ transport: "unix", path: layout.portPath });
      opened.push(portListener);
      const program = options.machine === "virt" ? "qemu-system-aarch64" : "qemu-system-x86_64";
      process = await spawn(program, [
        ...machineArgs(options, layout),
        ...bootArgs,
        ...options.extraArgs ?? [],
      ], options.wrapper);
      const errors = readErrors(process);
      const ended = process.status;
      const early = ended.then(async () => {
        await errors.done;
        throw new GuestError(`Cannot start QEMU: ${errors.text.trim()}`);
      });
      early.catch(() => {});
      const accept = Promise.all([consoleListener.accept(), portListener.accept()]);
      accept.catch(() => {});
      const [console, port] = await within(
        Promise.race([accept, early]),
        START_TIMEOUT_MS,
        () => "QEMU's start",
      );
      return new Qemu(process, ended, layout, console, port, errors);
    } catch (error) {
      if (process !== undefined) {
        killIfThere(process.pid, "SIGKILL");
        await process.status;
      }
      await Deno.remove(dir, { recursive: true });
      throw error;
    } finally {
      for (const listener of opened) listener[Symbol.dispose]();
    }
  }

  /** The first QMP socket's path. */
  get qmpPath(): string {
    const path = this.qmpPaths[0];
    if (path === undefined) throw new GuestError("this QEMU was started without a QMP socket");
    return path;
  }

  /** Whether the process still runs. */
  get running(): boolean {
    return this.#running;
  }

  /** Sends the process a signal: SIGSTOP, SIGCONT, SIGTERM, SIGKILL … */
  kill(signal: Deno.Signal): void {
    // Once it has been reaped, its pid may be another process's.
    if (this.#running) killIfThere(this.pid, signal);
  }

  /** Waits until the console's text from `from` on matches. */
  async waitForConsole(pattern: RegExp, timeoutMs = 180_000, from = 0): Promise<RegExpMatchArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpMatchArray>();
    const wake = () => {
      const match = this.consoleText.slice(from).match(pattern);
      if (match !== null) resolve(match);
      else if (!this.#running) reject(new GuestError(`QEMU ended before its console said ${pattern}`));
    };
    this.#waiters.add(wake);
    wake();
    try {
      const tail = () => `${pattern} on the console (so far: ${this.consoleText.slice(-500)})`;
      return await within(promise, timeoutMs, tail);
    } finally {
      this.#waiters.delete(wake);
    }
  }

  /** Kills the process if it still runs, waits for its end and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.ended;
    closeIfOpen(this.#console);
    closeIfOpen(this.#port);
    await Promise.all(this.#tasks);
    if (await exists(this.dir)) await Deno.remove(this.dir, { recursive: true });
  }

  async #readConsole(): Promise<void> {
    const buffer = new Uint8Array(65536);
    const decoder = new TextDecoder();
    try {
      for (;;) {
        const n = await this.#console.read(buffer);
        if (n === null) break;
        this.consoleText += decoder.decode(buffer.subarray(0, n), { stream: true });
        if (this.consoleText.length > MAX_CONSOLE_CHARS) {
          this.consoleText = this.consoleText.slice(-MAX_CONSOLE_CHARS / 2);
        }
        for (const wake of this.#waiters) wake();
      }
    } catch (error) {
      if (!isConnectionEnd(error)) throw error;
    }
    await this.ended;
    for (const wake of this.#waiters) wake();
  }
}

interface Layout {
  readonly dir: string;
  readonly consolePath: string;
  readonly portPath: string;
  readonly qmpPaths: readonly string[];
  readonly ramPath: string | undefined;
}

function layoutOf(dir: string, options: MachineOptions): Layout {
  const count = options.qmpSockets ?? 1;
  return {
    dir,
    consolePath: `${dir}/console.sock`,
    portPath: `${dir}/agent.sock`,
    qmpPaths: Array.from({ length: count }, (_, i) => `${dir}/qmp${i}.sock`),
    ramPath: options.memory === "file" ? `${dir}/ram` : undefined,
  };
}

function machineArgs(options: MachineOptions, layout: Layout): string[] {
  const ramMiB = options.ramMiB ?? 512;
  const devices = options.devices ?? [];
  const args = ["-name", options.name ?? "guest", "-nodefaults", "-no-user-config", "-display", "none"];
  const backed = (options.memory ?? "memfd") !== "none";
  if (backed) {
    const file = layout.ramPath === undefined
      ? "memory-backend-memfd"
      : `memory-backend-file,mem-path=${layout.ramPath}`;
    args.push("-object", `${file},id=ram0,size=${ramMiB}M,share=on`);
  }
  args.push("-machine", `${options.machine ?? "q35"}${backed ? ",memory-backend=ram0" : ""}`);
  args.push("-accel", "tcg", "-m", String(ramMiB), "-smp", String(options.smp ?? 1));
  const isArm = options.machine === "virt";
  const cpu = options.cpu ?? (isArm ? "cortex-a72" : undefined);
  if (cpu !== undefined) args.push("-cpu", cpu);
  layout.qmpPaths.forEach((path, i) => {
    args.push("-chardev", `socket,id=qmp${i},path=${path},server=on,wait=off`);
    args.push("-mon", `chardev=qmp${i},mode=control`);
  });
  args.push("-chardev", `socket,id=console,path=${layout.consolePath}`, "-serial", "chardev:console");
  args.push("-chardev", `socket,id=agent,path=${layout.portPath}`);
  if (isArm) args.push("-device", "pci-serial,chardev=agent");
  else args.push("-serial", "chardev:agent");
  if (!isArm && options.machine !== "microvm") {
    args.push("-vga", devices.includes("no-vga") ? "none" : "std");
  }
  if (devices.includes("virtio-input")) {
    args.push("-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci");
  }
  if (devices.includes("pvpanic")) args.push("-device", "pvpanic");
  return args;
}

/** setpriv makes the kernel kill QEMU when we die, however that happens. */
async function spawn(
  program: string,
  qemuArgs: readonly string[],
  wrapper: readonly string[] = [],
): Promise<Deno.ChildProcess> {
  const qemu = await onPath(program);
  if (qemu === undefined) {
    throw new Fault("missing", `Cannot start a guest: no ${program}; run scripts/setup.sh guest`);
  }
  const setpriv = await onPath("setpriv");
  const command = setpriv === undefined ? [] : [setpriv, "--pdeathsig", "KILL"];
  const [first = "", ...args] = [...command, ...wrapper, qemu, ...qemuArgs];
  return new Deno.Command(first, { args, stdin: "null", stdout: "null", stderr: "piped" }).spawn();
}

/** The path of a program that PATH has. */
export async function onPath(program: string): Promise<string | undefined> {
  for (const folder of (Deno.env.get("PATH") ?? "/usr/bin").split(":")) {
    if (await exists(`${folder}/${program}`)) return `${folder}/${program}`;
  }
  return undefined;
}

function readErrors(process: Deno.ChildProcess): { text: string; done: Promise<void> } {
  const errors = { text: "", done: Promise.resolve() };
  errors.done = (async () => {
    for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) {
      errors.text = (errors.text + text).slice(-65536);
    }
  })();
  return errors;
}

function killIfThere(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    // It has ended by itself; Deno says either, as the pid is reaped or not.
    if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
  }
}

function closeIfOpen(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
