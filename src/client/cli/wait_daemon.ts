/**
 * Waits for the daemon itself, so that `vmsig wait NAME --ready` may directly follow `vmsig serve &`.
 * @module
 */
import { isOsError } from "../../../ffi/os_error.ts";
import { Fault } from "../../base/fault.ts";
import type { Client } from "../client.ts";
import { pause } from "../pause.ts";

const LOOK_MS = 50;

/** The options of the wait. */
export interface DaemonWait {
  /** Joins the bus. */
  readonly join: () => Promise<Client>;
  /** Aborts the wait. */
  readonly signal: AbortSignal;
  /** Time limit, ms; omitted: none. */
  readonly timeoutMs: number | undefined;
  /** Called once if there is no daemon at first. */
  readonly onAbsent: (why: string) => void;
}

/**
 * Joins a daemon whose socket does not exist yet, or has no listener: a daemon that was killed leaves the
 * file, and may be started again. Errors that waiting cannot fix, such as a socket that this user may not
 * open, are reported at once.
 *
 * @throws {Fault} as `connect` does; `unreachable` when no daemon has appeared in time
 */
export async function whenItListens({ join, signal, timeoutMs, onAbsent }: DaemonWait): Promise<Client> {
  const endMs = performance.now() + (timeoutMs ?? Infinity);
  for (let isTold = false;; isTold = true) {
    try {
      return await join();
    } catch (error) {
      if (!mayCome(error) || performance.now() >= endMs) throw error;
      if (!isTold) onAbsent(error.message);
      await pause(Math.min(LOOK_MS, endMs - performance.now()), signal);
      if (signal.aborted) throw new Fault("interrupted", "Cannot wait for the daemon: interrupted");
    }
  }
}

function mayCome(error: unknown): error is Fault {
  return error instanceof Fault && error.code === "unreachable" &&
    (isOsError(error.cause, "ENOENT") || isOsError(error.cause, "ECONNREFUSED"));
}
