/**
 * One process of a guest for GDB: its threads and memory. Registers are those that the kernel saved when the
 * thread entered it; for a thread that is running on a CPU they are unknown.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import { LinuxGuest } from "../../guest/linux/linux_guest.ts";
import type { ThreadState } from "../../guest/linux/thread_list.ts";
import type { Process } from "../../guest/process.ts";
import type { GdbThread } from "./gdb_target.ts";
import type { GuestContexts } from "./guest_contexts.ts";
import { GuestTarget, type TargetSpace } from "./guest_target.ts";
import { RegisterLayout, type RegisterValues, valuesOfPtRegs } from "./x86_registers.ts";

const NOTHING_KNOWN: RegisterValues = new Map();

/** A process. */
export class ProcessTarget extends GuestTarget {
  /** Its registers. */
  readonly layout: RegisterLayout = new RegisterLayout(false);
  readonly #pid: number;
  readonly #epoch: number;
  readonly #process: Process;

  /**
   * Finds the process.
   *
   * @throws {Fault} `bad-argument` when there is no such pid, or it is a kernel thread; `not-supported` when
   *   the guest is not Linux
   */
  constructor(contexts: GuestContexts, pid: number) {
    super(contexts);
    const { view, os } = contexts.view();
    const process = os.process(pid);
    if (process === undefined) {
      throw new Fault(
        "bad-argument",
        `Cannot find process ${pid} in ${contexts.name}; vmsig mem ${contexts.name} ps lists them`,
      );
    }
    if (process.root === 0) {
      throw new Fault("bad-argument", `Cannot examine process ${pid}: it is the kernel's; leave --pid out`);
    }
    if (!(os instanceof LinuxGuest)) {
      throw new Fault(
        "not-supported",
        `Cannot examine process ${pid}: threads are supported for Linux guests only`,
      );
    }
    this.#pid = pid;
    this.#epoch = view.epoch;
    this.#process = process;
  }

  /** Its threads. */
  threads(): Promise<readonly GdbThread[]> {
    const { name } = this.#process;
    return Promise.resolve(this.#threads().map(({ tid }) => ({ id: tid, name })));
  }

  /** Registers of a thread; unknown ones are omitted. */
  registers(id: number): Promise<RegisterValues> {
    const thread = this.#threads().find(({ tid }) => tid === id);
    return Promise.resolve(
      thread?.registers === undefined
        ? NOTHING_KNOWN
        : valuesOfPtRegs(thread.registers, thread.fsBase, thread.gsBase),
    );
  }

  /** The auxiliary vector of a process. */
  auxv(): Uint8Array {
    return this.#linux().auxvOf(this.#process);
  }

  /** The offset of the kernel from its link address. */
  offset(): undefined {
    return undefined;
  }

  /** The address space. */
  protected spaceOf(os: GuestOs): TargetSpace {
    this.#linux();
    return { space: os.spaceOf(this.#process), root: this.#process.root };
  }

  #threads(): readonly ThreadState[] {
    return this.#linux().threadsOf(this.#process).items;
  }

  /** The guest, as long as the process exists in it. */
  #linux(): LinuxGuest {
    const { view, os } = this.contexts.view();
    if (view.epoch === this.#epoch && os instanceof LinuxGuest) {
      view.memory.renew();
      if (os.lives(this.#process)) return os;
    }
    throw new Fault(
      "seam-down",
      `Cannot examine process ${this.#pid} of ${this.contexts.name}: it has ended`,
    );
  }
}
