/**
 * The threads of a Linux process (`signal_struct.thread_head`), and the user registers of those that are off
 * the CPU: the kernel puts them at the top of the thread's kernel stack whenever it is entered from user mode
 * (task_pt_regs), in the order of pt_regs. What of that goes into a core is 21 words on x86-64, and 34 on
 * arm64 (x0 to x30, sp, pc, pstate), where pt_regs is larger and changes: the kernel's types tell its size.
 *
 * The size and padding of a stack depend on the build (KASAN, FRED): each possible place is tried, and only
 * one with plausible user registers is used.
 * @module
 */
import type { ListEnd, Listing, Process } from "../process.ts";
import type { KernelView } from "./kernel_view.ts";

/** pt_regs of x86-64: 21 words. */
const REGISTERS_BYTES = 168;
/** The part of arm64's pt_regs that user mode knows, and what is at least all of it. */
const ARM64_REGISTERS_BYTES = 272;
/** PSTATE: 64-bit user mode has none of these. */
const ARM64_MODE = 0x1fn;
const STACK_BYTES = [16_384, 32_768, 65_536] as const;
const PADDINGS = [0, 16] as const;
const MAX_THREADS = 65_536;
const USER_CS = 0x33n;
const USER_CS32 = 0x23n;
const USER_SS = 0x2bn;
/** EFLAGS: bit 1 always, IF in user mode. */
const USER_FLAGS = 0x202n;
const USER_END = 2n ** 56n;
/** AT_VECTOR_SIZE is 2 × (20 + 2 to 4 of x86 + 2) words; room for later ones. */
const MAX_AUXV_BYTES = 1024;

/** A thread. */
export interface ThreadState {
  /** Its number. */
  readonly tid: number;
  /**
   * Its user registers as a core has them (x86-64: r15 first; arm64: x0 first); undefined while it
   * is on a CPU, or when they are not found.
   */
  readonly registers: Uint8Array | undefined;
  /** Base of FS; 0 when it is not known. */
  readonly fsBase: bigint;
  /** Base of GS; 0 when it is not known. */
  readonly gsBase: bigint;
}

/** The threads of a process, its leader first; only the leader if the kernel has no list of them. */
export function readThreads(view: KernelView, process: Process): Listing<ThreadState> {
  const leader = process.object;
  const items = [describe(view, leader, process.pid)];
  const ended = (end: ListEnd): Listing<ThreadState> => ({ items, end });
  const fields = view.all("task_struct.signal", "task_struct.thread_node", "signal_struct.thread_head");
  const signal = fields === undefined ? undefined : view.pointer(leader, fields[0]);
  if (fields === undefined || signal === undefined) return ended({ complete: true });
  const [, nodeAt, headAt] = fields;
  const head = signal + headAt;
  const seen = new Set<number>([leader]);
  for (let at = view.pointer(head, 0); at !== head; at = view.pointer(at, 0)) {
    if (at === undefined) return ended({ complete: false, reason: "wild-pointer", at: head });
    const task = at - nodeAt;
    if (task === leader && items.length === 1) continue;
    if (seen.has(task)) return ended({ complete: false, reason: "cycle", at: task });
    if (items.length >= MAX_THREADS) return ended({ complete: false, reason: "too-many", at: task });
    seen.add(task);
    const tid = view.space.readS32(task, view.offset("task_struct.pid"));
    if (!(tid > 0)) return ended({ complete: false, reason: "wild-pointer", at: task });
    items.push(describe(view, task, tid));
  }
  return ended({ complete: true });
}

/** A process's auxiliary vector, AT_NULL included; empty when it is not known. */
export function readAuxv(view: KernelView, mm: number): Uint8Array {
  const offset = view.maybe("mm_struct.saved_auxv");
  const bytes = new Uint8Array(MAX_AUXV_BYTES);
  if (offset === undefined || offset % 8 !== 0) return bytes.subarray(0, 0);
  const have = view.space.read(mm + offset, bytes);
  const words = new DataView(bytes.buffer);
  for (let at = 0; at + 16 <= have; at += 16) {
    if (words.getBigUint64(at, true) === 0n) return bytes.subarray(0, at + 16);
  }
  return bytes.subarray(0, 0);
}

function describe(view: KernelView, task: number, tid: number): ThreadState {
  const bases = view.all("task_struct.thread", "thread_struct.fsbase", "thread_struct.gsbase");
  const base = (field: 1 | 2) =>
    bases !== undefined && view.space.load64(task, bases[0] + bases[field])
      ? BigInt(view.space.hi >>> 0) << 32n | BigInt(view.space.lo >>> 0)
      : 0n;
  return { tid, registers: registersOf(view, task), fsBase: base(1), gsBase: base(2) };
}

function registersOf(view: KernelView, task: number): Uint8Array | undefined {
  const fields = view.all("task_struct.stack", "task_struct.on_cpu");
  // A running thread's stack still has the registers of its last entry into the kernel, which are outdated.
  if (fields === undefined || view.space.readS32(task, fields[1]) !== 0) return undefined;
  const stack = view.pointer(task, fields[0]);
  if (stack === undefined) return undefined;
  const isArm = view.space.paging.architecture === "aarch64";
  const told = view.profile.offsets["sizeof pt_regs"];
  const whole = isArm ? told : REGISTERS_BYTES;
  const bytes = new Uint8Array(isArm ? ARM64_REGISTERS_BYTES : REGISTERS_BYTES);
  if (whole === undefined || whole < bytes.length) return undefined;
  const areTrue = isArm ? areArm64Users : areUsers;
  for (const size of STACK_BYTES) {
    for (const padding of PADDINGS) {
      const at = stack + (size - padding - whole);
      if (view.space.read(at, bytes) === bytes.length && areTrue(new DataView(bytes.buffer))) return bytes;
    }
  }
  return undefined;
}

function areArm64Users(words: DataView): boolean {
  const word = (index: number) => words.getBigUint64(index * 8, true);
  const [sp, pc, pstate] = [word(31), word(32), word(33)];
  return (pstate & ARM64_MODE) === 0n && pstate < 2n ** 40n && pc !== 0n && pc % 4n === 0n && pc < USER_END &&
    sp < USER_END;
}

function areUsers(words: DataView): boolean {
  const word = (index: number) => words.getBigUint64(index * 8, true);
  // FRED keeps more in the selectors' upper bits.
  const cs = word(17) & 0xffffn;
  return (cs === USER_CS || cs === USER_CS32) && (word(20) & 0xffffn) === USER_SS &&
    (word(18) & USER_FLAGS) === USER_FLAGS && word(16) < USER_END && word(19) < USER_END;
}
