/**
 * A guest's process, mapping and module as read from outside, for all systems.
 *
 * A listing is read from a running guest: it says how it ended, and is never claimed to be complete when it
 * is not.
 * @module
 */

/** A process of the guest at the time of reading. */
export interface Process {
  /** Its number (Linux: of the thread group's leader). */
  readonly pid: number;
  /** Its parent's number; 0 for none. */
  readonly ppid: number;
  /**
   * Its name as the kernel keeps it (Linux: comm, 15 bytes, or a kernel thread's full name; Windows: image
   * name, 14).
   */
  readonly name: string;
  /** Guest-physical address of its page table's root; 0 for a kernel thread, which has none of its own. */
  readonly root: number;
  /** Whether it is a kernel thread (Windows: a minimal process without user half). */
  readonly kernelThread: boolean;
  /** Kernel address of the object that describes it (task_struct, EPROCESS). */
  readonly object: number;
}

/** A run of a process's address space. */
export interface MemoryMap {
  /** First address. */
  readonly start: number;
  /** First address past it. */
  readonly end: number;
  /** "rwxp" as /proc/PID/maps writes it: `-` where not allowed, `s` for shared. */
  readonly perms: string;
  /** Bytes into the file where it starts; 0 for anonymous memory. */
  readonly fileOffset: number;
  /** The mapped file's path, "[heap]", "[stack]", "[vdso]"…, or "" for anonymous memory. */
  readonly name: string;
}

/** A loaded module of the kernel or of a process. */
export interface Module {
  /** Where it is loaded. */
  readonly base: number;
  /** Its size in memory. */
  readonly sizeBytes: number;
  /** Its name. */
  readonly name: string;
}

/** How a listing ended. */
export type ListEnd =
  | { readonly complete: true }
  | {
    readonly complete: false;
    /**
     * cycle: an element came twice; wild-pointer: a link leads to no memory or is torn; too-many: the bound
     * was reached.
     */
    readonly reason: "cycle" | "wild-pointer" | "too-many";
    /** The address of the element at which it ended. */
    readonly at: number;
  };

/** The items found, and how the listing ended; items found before an early end are valid. */
export interface Listing<T> {
  /** In the guest's order. */
  readonly items: readonly T[];
  /** Whether these are all. */
  readonly end: ListEnd;
}
