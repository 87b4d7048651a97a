/**
 * The state of a Linux task: user, state, threads, start. Field by field, as the kernel's BTF names them;
 * what cannot be read is omitted.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import type { ProcessFacts } from "../insight.ts";
import { isKernelPointer } from "./kernel_view.ts";
import type { KernelTypes } from "./kernel_types.ts";

/** TASK_REPORT's bits, lowest first, as /proc/PID/stat writes them. */
const LETTERS = "RSDTtXZP";
const TASK_REPORT = 0x7f;
/** TASK_UNINTERRUPTIBLE | TASK_NOLOAD. */
const TASK_IDLE = 0x402;

/** Reads the facts of one kernel's tasks. */
export class TaskFacts {
  readonly #space: AddressSpace;
  readonly #state: number | undefined;
  readonly #exit: number | undefined;
  readonly #start: number | undefined;
  readonly #cred: number | undefined;
  readonly #euid: number | undefined;
  readonly #signal: number | undefined;
  readonly #threads: number | undefined;

  /**
   * Looks the fields up; nothing of a task is read yet.
   *
   * @param space the kernel's address space
   * @param types its types
   */
  constructor(space: AddressSpace, types: KernelTypes) {
    this.#space = space;
    this.#state = types.any("task_struct.__state", "task_struct.state");
    this.#exit = types.at("task_struct.exit_state");
    this.#start = types.any("task_struct.start_boottime", "task_struct.real_start_time");
    this.#cred = types.at("task_struct.cred");
    this.#euid = types.at("cred.euid");
    this.#signal = types.at("task_struct.signal");
    this.#threads = types.at("signal_struct.nr_threads");
  }

  /** The facts of a task_struct. */
  of(task: number): ProcessFacts {
    const space = this.#space;
    const cred = this.#pointer(task, this.#cred);
    const signal = this.#pointer(task, this.#signal);
    const start = this.#start === undefined ? NaN : space.readU64(task, this.#start);
    return {
      uid: this.#u32(cred, this.#euid),
      state: this.#letter(task),
      threads: this.#u32(signal, this.#threads),
      startNs: Number.isNaN(start) ? undefined : start,
    };
  }

  #letter(task: number): string {
    const state = this.#u32(task, this.#state);
    const exit = this.#u32(task, this.#exit) ?? 0;
    if (state === undefined) return "?";
    if ((state & TASK_IDLE) === TASK_IDLE) return "I";
    const bits = (state | exit) & TASK_REPORT;
    return LETTERS[32 - Math.clz32(bits)] ?? "?";
  }

  #pointer(base: number, offset: number | undefined): number | undefined {
    const value = offset === undefined ? NaN : this.#space.readS64(base, offset);
    return isKernelPointer(value) ? value : undefined;
  }

  #u32(base: number | undefined, offset: number | undefined): number | undefined {
    if (base === undefined || offset === undefined) return undefined;
    const value = this.#space.readU32(base, offset);
    return Number.isNaN(value) ? undefined : value;
  }
}
