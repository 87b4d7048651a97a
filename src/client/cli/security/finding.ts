/**
 * What `vmsig doctor --security` finds: one thing that weakens the daemon on this host, how bad it is, and
 * what to do about it.
 * @module
 */

/**
 * How bad: high, others reach VMs or the daemon through it; medium, they do if something else goes wrong or
 * somebody who is let in means ill; low, it makes an attack easier; note, it is told for completeness and
 * counts as nothing.
 */
export type Severity = "high" | "medium" | "low" | "note";

/** One thing that weakens the daemon. */
export interface Weakness {
  /**
   * Which part of the host: "socket", "rules", "config", "triggers", "monitor", "ram", "unit", "kernel",
   * "process".
   */
  readonly check: string;
  /** How bad. */
  readonly severity: Severity;
  /** What was found, with the path, rule or setting. Outside text in it is not escaped. */
  readonly found: string;
  /** What to do. */
  readonly remedy: string;
}

/** Permission bits of what a path leads to. */
export const WRITABLE_BY_GROUP = 0o020;
/** For everybody. */
export const WRITABLE_BY_OTHERS = 0o002;
/** Only owners remove and rename what is in such a folder. */
export const STICKY = 0o1000;

/** What a path leads to; undefined when nothing is there or it may not be looked at. */
export function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}

/** A small text of the kernel's or the administrator's; undefined when it cannot be read. */
export function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}

/** Mode bits as chmod takes them. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
