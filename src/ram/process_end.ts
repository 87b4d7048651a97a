/**
 * Whether a host process has ended, told from one that may not be looked at: a /proc that is mounted with hidepid denies that another user's process is there, and a
 * pidfd does not.
 * @module
 */
import { isOsError, OsError } from "../../ffi/os_error.ts";
import { IN, pollNow } from "../../ffi/poller.ts";
import { pidfdOpen } from "../../ffi/signals.ts";
import { Fault } from "../base/fault.ts";
import { readProc } from "./process_maps.ts";

/**
 * Whether a process has ended, or has given its memory back and is about to end.
 *
 * @param pid no kernel thread's, which never had any; 0 = unknown, of which nothing is said
 */
export function hasEnded(pid: number): boolean {
  if (pid === 0) return false;
  try {
    return readProc(pid, "cmdline") === "";
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
  try {
    using process = pidfdOpen(pid);
    // Readable once it is dead, waited for or not.
    return pollNow(process.fd, IN) !== 0;
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    return isOsError(error, "ESRCH");
  }
}
