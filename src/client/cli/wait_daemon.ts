/**
 * Waiting for the daemon itself: `vmsig wait NAME --ready` may be typed right behind `vmsig serve &`.
 * @module
 */
import { isOsError } from "../../../ffi/os_error.ts";
import { Fault } from "../../base/fault.ts";
import type { Client } from "../client.ts";
import { pause } from "../pause.ts";

const LOOK_MS = 50;

/** What is waited for, and how long. */
export interface DaemonWait {
  /** Joins the bus. */
  readonly join: () => Promise<Client>;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
  /** How long at most; for ever when it is left out. */
  readonly timeoutMs: number | undefined;
  /** Told once, when there is nobody at first. */
  readonly onAbsent: (why: string) => void;
}

/**
 * Joins a daemon whose socket is not there yet, or on whose socket nobody listens: one that was killed leaves
 * its file, and may be started again. What no time can mend, such as a socket that this user may
 * not open, is not waited for.
 *
 * @throws {Fault} as `connect` does; `unreachable` when no daemon has come in time
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
