/**
 * A system call that failed, as a typed error: the call's name, the errno and its symbol. What a caller
 * expects to happen (would block, interrupted, peer gone) is not an error and comes back as a negative
 * number; each function says which.
 * @module
 */
import { Fault, type FaultCode } from "../src/base/fault.ts";
import { shim } from "./shim.ts";

/** The errno numbers that vmsig tells apart (Linux, x86-64). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENODATA: 61,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EINPROGRESS: 115,
} as const;

/** A symbol of {@linkcode ERRNO}. */
export type ErrnoName = keyof typeof ERRNO;

const FAULT_CODES: Readonly<Partial<Record<number, FaultCode>>> = {
  [ERRNO.EBUSY]: "busy",
  [ERRNO.EADDRINUSE]: "busy",
  [ERRNO.EINVAL]: "bad-argument",
  [ERRNO.ENAMETOOLONG]: "bad-argument",
  [ERRNO.EMSGSIZE]: "too-large",
  [ERRNO.EFBIG]: "too-large",
  [ERRNO.ENOSYS]: "not-supported",
  [ERRNO.EOPNOTSUPP]: "not-supported",
  [ERRNO.ETIMEDOUT]: "timed-out",
};

/** Thrown when a system call fails in a way that its caller does not expect. */
export class OsError extends Fault {
  /** The class, as for every error; the errno's symbol is `errnoName`. */
  override name = "OsError";
  /** The system call, and what it was done to when that helps: "connect /run/vmsig/control.sock". */
  readonly call: string;
  /** The errno, positive. */
  readonly errno: number;
  /** The errno's symbol: "ENOENT"; "E999" when the C library has no name for it. */
  readonly errnoName: string;
  /** The reason in words, for a sentence: "No such file or directory (ENOENT)". */
  readonly reason: string;

  /**
   * Describes a failed call.
   *
   * @param call the system call, with its object when that helps
   * @param errno the errno; its sign does not matter
   * @param remedy what to do about it, when there is something to say
   */
  constructor(call: string, errno: number, remedy?: string) {
    const number = Math.abs(errno);
    const name = describe(number, shim().vmsig_errno_name) || `E${number}`;
    const text = describe(number, shim().vmsig_errno_text) || "unknown error";
    super(
      FAULT_CODES[number] ?? "refused",
      `Cannot ${call}: ${text} (${name})${remedy === undefined ? "" : `; ${remedy}`}`,
    );
    this.reason = `${text} (${name})`;
    this.call = call;
    this.errno = number;
    this.errnoName = name;
  }
}

/**
 * Passes a result through, or throws its error.
 *
 * @param result what a shim function returned
 * @param call the system call, with its object when that helps
 * @throws {OsError} when the result is negative
 */
export function check(result: number, call: string): number {
  if (result < 0) throw new OsError(call, result);
  return result;
}

/** Whether something thrown is an {@linkcode OsError} with this errno. */
export function isOsError(error: unknown, name: ErrnoName): error is OsError {
  return error instanceof OsError && error.errno === ERRNO[name];
}

const TEXT = new Uint8Array(128);

function describe(
  errno: number,
  ask: (errno: number, out: Uint8Array<ArrayBuffer>, bytes: number) => number,
): string {
  const length = ask(errno, TEXT, TEXT.length);
  return new TextDecoder().decode(TEXT.subarray(0, Math.max(0, length)));
}
