/**
 * A VM that a test boots for itself, with a daemon of its own: nothing has to run beforehand, and nothing is
 * left behind.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { Child } from "./child.ts";
import { Machine } from "./machine.ts";
import {
  daemonConfig,
  qemuWords,
  type ScratchOptions,
  type ScratchPaths,
  scratchPaths,
  vmsigWords,
} from "./scratch_options.ts";

/** QEMU's sockets are looked for at this interval: QEMU does not report that it has made them. */
const LOOK_MS = 10;
/** A QEMU that is about to end has done so by then. */
const REFUSAL_MS = 1000;

/** A machine together with its QEMU and its daemon. */
export class ScratchMachine implements AsyncDisposable {
  /** The machine. */
  readonly machine: Machine;
  /** QEMU's process id. */
  readonly qemuPid: number;
  /** Its daemon's control socket, for further controls. */
  readonly socket: string;
  readonly #parts: AsyncDisposable[];

  private constructor(machine: Machine, socket: string, qemuPid: number, parts: AsyncDisposable[]) {
    this.machine = machine;
    this.socket = socket;
    this.qemuPid = qemuPid;
    this.#parts = parts;
  }

  /** Boots one; see {@linkcode scratchMachine}. */
  static async boot(options: ScratchOptions): Promise<ScratchMachine> {
    // Sockets need a short path: 107 bytes are all that the kernel takes.
    const folder = await Deno.makeTempDir({ prefix: "vmsig-test-" });
    const parts: AsyncDisposable[] = [{
      [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
    }];
    const use = <T extends AsyncDisposable>(part: T): T => {
      parts.push(part);
      return part;
    };
    let qemu: Child | undefined;
    let taken: Machine | undefined;
    try {
      const paths = scratchPaths(folder);
      await Deno.writeTextFile(paths.config, daemonConfig(options, paths));
      qemu = use(Child.start(options.qemu ?? "qemu-system-x86_64", qemuWords(options, paths)));
      await monitorOf(qemu, paths);
      const [program = "", ...words] = vmsigWords(options);
      const args = [...words, "serve", "--config", paths.config, "--socket", paths.control];
      const daemon = use(Child.start(program, args));
      await daemon.says("ready", "start the daemon of a scratch VM");
      const taking = { consoleBacklog: true, ...options, socket: paths.control };
      const machine = taken = use(await Machine.take(options.name ?? "scratch", taking));
      // All that it says from its first instruction on is kept.
      await machine.console.open();
      await machine.power("cont");
      return new ScratchMachine(machine, paths.control, qemu.pid, parts);
    } catch (error) {
      // A QEMU that refuses an option has made its monitor already: its own message says more than the lost
      // connection.
      const why = await qemu?.wordsAtEnd(REFUSAL_MS);
      if (why !== undefined) taken?.forgetTrace();
      await end(parts);
      throw why === undefined ? error : startFault(why, error);
    }
  }

  /** Ends the VM and its daemon, and removes their files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#parts);
  }
}

/**
 * Boots a VM for one test: QEMU with the options that make all of a machine usable, and a daemon that serves
 * it alone. It runs when this resolves, and its console is read from the first byte on.
 *
 * @example
 * ```ts
 * await using scratch = await scratchMachine({ disk: "debian.qcow2" });
 * const vm = scratch.machine;
 * await vm.console.expect("login: ");
 * ```
 *
 * @throws {Fault} `missing` without QEMU, `refused` with QEMU's or the daemon's own words
 */
export function scratchMachine(options: ScratchOptions = {}): Promise<ScratchMachine> {
  return ScratchMachine.boot(options);
}

function startFault(words: string, cause?: unknown): Fault {
  return new Fault("refused", `Cannot start QEMU: ${words}`, { cause });
}

/** The last one first. */
async function end(parts: AsyncDisposable[]): Promise<void> {
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) await part[Symbol.asyncDispose]();
}

async function monitorOf(qemu: Child, { monitor }: ScratchPaths): Promise<void> {
  for (;;) {
    if (qemu.hasEnded) throw startFault(qemu.words);
    try {
      if ((await Deno.lstat(monitor)).isSocket) return;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw new Fault("refused", `Cannot find QEMU's monitor: ${messageOf(error)}`, { cause: error });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
