/**
 * Whether a host process has ended, told from one that may not be looked at: a /proc that is mounted with
 * hidepid denies that another user's process is there, and a pidfd does not.
 *
 * The loop asks it, so it reads nothing that the process could make slow: not its command line, not its
 * mappings.
 * @module
 */
import { isOsError, OsError } from "../../ffi/os_error.ts";
import { IN, pollNow } from "../../ffi/poller.ts";
import { pidfdOpen } from "../../ffi/signals.ts";
import { Fault } from "../base/fault.ts";
import { HostProcess } from "./host_process.ts";

/**
 * Whether a process has ended, or has given its memory back and is about to end.
 *
 * @param pid no kernel thread's, which never had any; 0 = unknown, of which nothing is said
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
    // Readable once it is dead, waited for or not.
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
