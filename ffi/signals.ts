/**
 * Signals in, signals out. A signal comes in as an eventfd's count, so that a thread which sits in a
 * synchronous epoll_wait hears of it; Deno's own listeners need a main thread that returns to its event loop.
 *
 * A signal has one handler in a process: do not give one both to this and to Deno.addSignalListener.
 * @module
 */
import { check, ERRNO } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";

/** Signal numbers (Linux, x86-64). */
export const SIGNAL = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  KILL: 9,
  USR1: 10,
  USR2: 12,
  PIPE: 13,
  TERM: 15,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  WINCH: 28,
} as const;

/**
 * From now on a signal adds one to an eventfd and does nothing else, whichever thread it hits.
 *
 * @param signal one of {@linkcode SIGNAL}
 * @param eventFd borrowed: {@linkcode resetSignal} comes before it is closed
 * @throws {OsError} EINVAL for KILL and STOP, which nobody can take
 */
export function signalToEventFd(signal: number, eventFd: number): void {
  check(shim().vmsig_signal_to_eventfd(signal, eventFd), `sigaction of signal ${signal}`);
}

/** From now on a signal does again what it does by itself. */
export function resetSignal(signal: number): void {
  check(shim().vmsig_signal_reset(signal, 0), `sigaction of signal ${signal}`);
}

/** From now on a signal is ignored: SIGNAL.PIPE, in a program that writes to pipes and sockets. */
export function ignoreSignal(signal: number): void {
  check(shim().vmsig_signal_reset(signal, 1), `sigaction of signal ${signal}`);
}

/**
 * Sends a signal to a process. A pid may by now be another process's: where that matters, send by
 * {@linkcode signalPidfd}.
 *
 * @param pid the process
 * @param signal one of {@linkcode SIGNAL}; 0 only asks whether it is there
 * @returns false when there is no such process
 * @throws {OsError} EPERM when it is somebody else's
 */
export function kill(pid: number, signal: number): boolean {
  const result = shim().vmsig_kill(pid, signal);
  if (result === -ERRNO.ESRCH) return false;
  check(result, `kill ${pid}`);
  return true;
}

/**
 * A descriptor of a process: readable when the process has ended, and never another's.
 *
 * @throws {OsError} ESRCH when there is no such process
 */
export function pidfdOpen(pid: number): OwnedFd {
  return new OwnedFd(check(shim().vmsig_pidfd_open(pid), `pidfd_open ${pid}`));
}

/**
 * Sends a signal to the process of a pidfd.
 *
 * @returns false when it has ended
 */
export function signalPidfd(pidfd: number, signal: number): boolean {
  const result = shim().vmsig_pidfd_signal(pidfd, signal);
  if (result === -ERRNO.ESRCH) return false;
  check(result, "pidfd_send_signal");
  return true;
}
