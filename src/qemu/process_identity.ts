/**
 * Identifies a process: pids are reused, but a pid together with the process's start time is unique.
 * @module
 */

/** Identifies one process, and no later one with the same pid. */
export interface ProcessIdentity {
  /** Its pid. */
  readonly pid: number;
  /** Its start time in the kernel's ticks since boot, from /proc. */
  readonly started: string;
}

/** The start time of the process that has a pid now; "" if there is none, or it may not be read. */
export function startOf(pid: number): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  } catch (error) {
    // The process is gone or ending: the kernel answers ESRCH.
    if (error instanceof Error) return "";
    throw error;
  }
  // The name, in parentheses, may contain anything; numbers follow it, and the 22nd field is the start time.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
