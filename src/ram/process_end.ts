/**
 * Tells whether a host process has ended or only may not be accessed: with hidepid, /proc hides another
 * user's process, but a pidfd does not.
 *
 * It is called on the loop's thread, so it reads nothing that the process could make slow: neither its
 * command line nor its mappings.
 * @module
 */
import { isOsError, OsError } from "../../ffi/os_error.ts";
import { IN, pollNow } from "../../ffi/poller.ts";
import { pidfdOpen } from "../../ffi/signals.ts";
import { Fault } from "../base/fault.ts";
import { HostProcess } from "./host_process.ts";

/**
 * Whether a process has ended, or has released its memory and is about to end.
 *
 * @param pid not that of a kernel thread, which never had memory; 0 = unknown: false
 */
export function hasEnded(pid: number): boolean {
  if (pid === 0) return false;
  try {
    using process = HostProcess.open(pid);
    return hasNoMemory(process.read("stat"));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
  try {
    using process = pidfdOpen(pid);
    // Readable once the process is dead, reaped or not.
    return pollNow(process.fd, IN) !== 0;
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    return isOsError(error, "ESRCH");
  }
}

/** The 23rd field of /proc/PID/stat is the size of its address space. */
function hasNoMemory(stat: string): boolean {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[20] === "0";
}
