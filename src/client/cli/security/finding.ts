/**
 * What `vmsig doctor --security` finds: one thing that weakens the daemon on this host, how bad it is, and
 * what to do about it.
 * @module
 */

/**
 * Severity. high: others can reach VMs or the daemon through it; medium: they can if something else goes
 * wrong, or an admitted user is malicious; low: it makes an attack easier; note: for completeness only, does
 * not count.
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

/** Permission bits of a path's target. */
export const WRITABLE_BY_GROUP = 0o020;
/** Bits for everybody. */
export const WRITABLE_BY_OTHERS = 0o002;
/** In such a folder only owners may remove and rename their files. */
export const STICKY = 0o1000;

/** The target of a path; undefined if it does not exist or may not be inspected. */
export function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}

/** A small text from the kernel or the administrator; undefined if it cannot be read. */
export function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}

/** Mode bits in chmod's notation. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
