/**
 * How the kernel schedules the calling thread: SCHED_RR comes before every ordinary thread, so that a thread
 * which wakes others is not put aside for them.
 * @module
 */
import { check, ERRNO } from "./os_error.ts";
import { shim } from "./shim.ts";

const CLOCK_THREAD_CPUTIME_ID = 3;
/** The lowest realtime priority: before everything ordinary, after everything else that is realtime. */
const LOWEST = 1;

/**
 * Makes the calling thread realtime (SCHED_RR, lowest priority), or ordinary again. Threads that it makes are
 * ordinary.
 *
 * @returns false when this process may not: that takes CAP_SYS_NICE or an RLIMIT_RTPRIO of 1, and a cgroup
 *   with realtime budget
 * @throws {OsError} on any other failure
 */
export function setThreadRealtime(realtime: boolean): boolean {
  const result = shim().vmsig_set_realtime(realtime ? LOWEST : 0);
  if (result === -ERRNO.EPERM || result === -ERRNO.ENOSYS) return false;
  check(result, "sched_setscheduler");
  return true;
}

/** How far the calling thread stands back from others that want to run all the time. */
const NICE = 5;
/** The longest slice that the kernel knows. */
const LONG_SLICE_NS = 100_000_000;

/**
 * Has the calling thread, which works for some ms at a time, run behind those that wake up for a moment: a VM
 * whose picture is read answers its monitor as fast as one whose picture is not. Measured on Linux 6.18 with
 * two processors, 60 pictures of 1280x800 a second, p99 of query-status: 1.7 ms before, 0.5 ms so, 0.45 ms
 * without pictures; being nice alone changes nothing.
 *
 * @returns false when this process may not
 */
export function yieldToWakers(): boolean {
  return shim().vmsig_yield_to_wakers(NICE, LONG_SLICE_NS) >= 0;
}

/** Processor time of the calling thread so far, ns. */
export function threadCpuNs(): number {
  return shim().vmsig_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}
