/**
 * The process list: `init_task.tasks`, one entry per thread group, read from a running guest.
 *
 * Each step checks that the next entry points back. If a link was torn during reading, the walk starts again,
 * a few times; a list that stays broken is reported as such, with what was found before the break. Length and
 * cycles are bounded.
 * @module
 */
import { rootAlignment } from "../paging.ts";
import { textOfBytes } from "../../base/byte_text.ts";
import { MAX_LISTING } from "../../base/limits.ts";
import type { ListEnd, Listing, Process } from "../process.ts";
import { isKernelPointer, type KernelView } from "./kernel_view.ts";

const COMM_BYTES = 16;
const FULL_NAME_BYTES = 256;
const PF_KTHREAD = 0x0020_0000;
const PF_WQ_WORKER = 0x20;
const RESCUER = "kworker/R-";
/** If this many attempts find a changed list, it counts as broken. */
const ATTEMPTS = 4;

/** Reads the process list of one kernel. */
export class TaskList {
  readonly #view: KernelView;
  readonly #text = new Uint8Array(COMM_BYTES);

  /**
   * Reads nothing yet.
   *
   * @param view the kernel
   */
  constructor(view: KernelView) {
    this.#view = view;
  }

  /** All processes in the kernel's order; `swapper` (pid 0) is not one of them. */
  read(limit: number = MAX_LISTING): Listing<Process> {
    let listing = this.#once(limit);
    for (let i = 1; i < ATTEMPTS && !listing.end.complete && listing.end.reason !== "too-many"; i++) {
      listing = this.#once(limit);
    }
    return listing;
  }

  /** One process by its number. */
  find(pid: number): Process | undefined {
    return this.read().items.find((process) => process.pid === pid);
  }

  /** Whether the task of a process is still that process's, with the same address space. */
  lives(process: Process): boolean {
    const now = this.#describe(process.object);
    return now?.pid === process.pid && now.root === process.root;
  }

  /** The process's mm_struct now; undefined when it has none (a kernel thread, a zombie). */
  mmOf(process: Process): number | undefined {
    return this.#view.pointer(process.object, this.#view.offset("task_struct.mm"));
  }

  #once(limit: number): Listing<Process> {
    const view = this.#view;
    const init = view.symbol("init_task") as number;
    const links = view.offset("task_struct.tasks");
    const items: Process[] = [];
    const seen = new Set<number>();
    const ended = (end: ListEnd): Listing<Process> => ({ items, end });
    let task = init;
    for (;;) {
      const next = view.pointer(task, links);
      if (next === undefined) return ended({ complete: false, reason: "wild-pointer", at: task });
      const object = next - links;
      // The list is doubly linked: an entry that does not point back was unlinked, or never was a task.
      if (view.space.readS64(object, links + 8) !== task + links) {
        return ended({ complete: false, reason: "wild-pointer", at: object });
      }
      if (object === init) return ended({ complete: true });
      if (seen.has(object)) return ended({ complete: false, reason: "cycle", at: object });
      if (items.length >= limit) return ended({ complete: false, reason: "too-many", at: object });
      seen.add(object);
      const process = this.#describe(object);
      if (process === undefined) return ended({ complete: false, reason: "wild-pointer", at: object });
      items.push(process);
      task = object;
    }
  }

  #describe(object: number): Process | undefined {
    const view = this.#view;
    const space = view.space;
    const pid = space.readS32(object, view.offset("task_struct.tgid"));
    const mm = space.readS64(object, view.offset("task_struct.mm"));
    const parent = space.readS64(object, view.offset("task_struct.real_parent"));
    if (!(pid > 0) || Number.isNaN(mm)) return undefined;
    const ppid = isKernelPointer(parent) ? space.readS32(parent, view.offset("task_struct.tgid")) : 0;
    const flagsAt = view.maybe("task_struct.flags");
    const flags = flagsAt === undefined ? NaN : space.readU32(object, flagsAt);
    const kernelThread = Number.isNaN(flags) ? mm === 0 : (flags & PF_KTHREAD) !== 0;
    const comm = this.#comm(object);
    // A work queue's thread is shown by comm; what it is working on is left to /proc. Its rescuer belongs to
    // one queue for good, and is shown with that queue's full name.
    const hasFullName = kernelThread && ((flags & PF_WQ_WORKER) === 0 || comm.startsWith(RESCUER));
    return {
      pid,
      ppid: ppid > 0 ? ppid : 0,
      name: (hasFullName ? this.#fullName(object) : undefined) ?? comm,
      root: isKernelPointer(mm) ? this.#rootOf(mm) : 0,
      kernelThread,
      object,
    };
  }

  /**
   * A kernel thread whose name is longer than comm keeps all of it elsewhere (since 5.17), and /proc shows
   * that.
   */
  #fullName(object: number): string | undefined {
    const view = this.#view;
    const offsets = view.all("task_struct.worker_private", "kthread.full_name");
    const kthread = offsets === undefined ? undefined : view.pointer(object, offsets[0]);
    if (offsets === undefined || kthread === undefined) return undefined;
    const name = view.pointer(kthread, offsets[1]);
    return name === undefined ? undefined : view.space.cstring(name, FULL_NAME_BYTES);
  }

  #comm(object: number): string {
    const at = this.#view.offset("task_struct.comm");
    const words = new DataView(this.#text.buffer);
    for (let i = 0; i < COMM_BYTES; i += 4) {
      if (!this.#view.space.load32(object, at + i)) return "";
      words.setInt32(i, this.#view.space.lo, true);
    }
    const end = this.#text.indexOf(0);
    return textOfBytes(this.#text.subarray(0, end < 0 ? COMM_BYTES : end));
  }

  /**
   * Physical address of a process's root table: mm->pgd lies in the direct map. 0 when it does not translate.
   */
  #rootOf(mm: number): number {
    const pgd = this.#view.pointer(mm, this.#view.offset("mm_struct.pgd"));
    if (pgd === undefined) return 0;
    const gpa = this.#view.space.translate(pgd);
    return gpa < 0 || gpa % rootAlignment(this.#view.space.paging) !== 0 ? 0 : gpa;
  }
}
