/**
 * Which process a number means: numbers are given again, a number together with the start of its process is
 * not.
 * @module
 */

/** A process, and no other that may get its number later. */
export interface ProcessIdentity {
  /** Its number. */
  readonly pid: number;
  /** When it was started, in the kernel's ticks since boot, as /proc has it. */
  readonly started: string;
}

/** When the process that has a number now was started; "" when there is none, or it may not be seen. */
export function startOf(pid: number): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  } catch (error) {
    // Gone, or going: the kernel answers ESRCH then.
    if (error instanceof Error) return "";
    throw error;
  }
  // The name, in parentheses, may hold anything; what follows are numbers, the 22nd field being the start.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}
