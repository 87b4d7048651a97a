/**
 * What is available about a guest beyond its lists: its kernel's log, what processes are doing, what they
 * have open, and its types. Not every system is supported to that extent: {@linkcode GuestOs.insight} then
 * says so.
 *
 * Everything is read again at each call. Listings say how they ended; what a kernel lacks is reported in
 * words (`unsupported`) rather than as an empty list.
 * @module
 */
import type { Listing, Process } from "./process.ts";
import type { TypedValue, ValueOptions } from "./typed_value.ts";

/** Why a query has no answer on this kernel, for a person. */
export interface Unsupported {
  /** What the kernel lacks. */
  readonly unsupported: string;
}

/** A record of the kernel's log. */
export interface LogRecord {
  /** Its number since boot. */
  readonly seq: number;
  /** Nanoseconds on the guest's clock since boot (exact below 104 days). */
  readonly timeNs: number;
  /** 0 (emergency) to 7 (debug). */
  readonly level: number;
  /** syslog's facility; 0 is the kernel. */
  readonly facility: number;
  /** "T123" for a thread, "C0" for a processor in an interrupt; "" when the kernel does not say. */
  readonly caller: string;
  /** The device that it is about; "" for none. */
  readonly device: string;
  /** Its text, possibly of several lines; from the guest, and not safe to show unescaped. */
  readonly text: string;
}

/** What a process is doing. */
export interface ProcessFacts {
  /** Effective user number; undefined when it cannot be read. */
  readonly uid: number | undefined;
  /** As /proc/PID/stat writes it: R, S, D, T, t, X, Z, P, I. */
  readonly state: string;
  /** Threads of it. */
  readonly threads: number | undefined;
  /** Nanoseconds since boot at which it started. */
  readonly startNs: number | undefined;
}

/** An open file of a process. */
export interface OpenFile {
  /** Its descriptor. */
  readonly fd: number;
  /** What it is. */
  readonly type: "file" | "directory" | "char" | "block" | "pipe" | "socket" | "link" | "anonymous";
  /** As the link in /proc/PID/fd reads; "" when it cannot be told. */
  readonly path: string;
  /** open(2)'s flags, O_CLOEXEC included. */
  readonly flags: number;
  /** Position in bytes. */
  readonly position: number;
}

/** A socket that a process has open. */
export interface OpenSocket {
  /** The process. */
  readonly pid: number;
  /** Its descriptor. */
  readonly fd: number;
  /** Inode number, which tells sockets apart. */
  readonly inode: number;
  /** "tcp", "tcp6", "udp", "udp6", "unix", another family's name ("netlink"), or its number. */
  readonly kind: string;
  /** "LISTEN", "ESTABLISHED" …; "" where the kind has none. */
  readonly state: string;
  /** "127.0.0.1:80", "[::1]:80", a path, "@abstract"; "" for none. */
  readonly local: string;
  /** The other end's. */
  readonly remote: string;
}

/** A mounted file system. */
export interface Mount {
  /** What is mounted: "/dev/vda1", "proc". */
  readonly source: string;
  /** Where. */
  readonly target: string;
  /** "ext4", "proc". */
  readonly type: string;
  /** Whether it is read-only. */
  readonly readOnly: boolean;
}

/** A type of the kernel. */
export interface TypeLayout {
  /** Its name. */
  readonly name: string;
  /** Bytes. */
  readonly sizeBytes: number;
  /** Its members: none for a type that is not a structure or union. */
  readonly members: readonly {
    /** "" for a nameless structure or union. */
    readonly name: string;
    /** Its declaration as C has it. */
    readonly declaration: string;
    /** Bits from the start. */
    readonly bits: number;
    /** Bits of a bit field, else 0. */
    readonly width: number;
  }[];
  /** All of it as text like C, a line each. */
  readonly lines: readonly string[];
}

/** The queries. */
export interface GuestInsight {
  /** The kernel's log, oldest record first; the `last` newest of it. */
  log(last?: number): Listing<LogRecord> | Unsupported;
  /** What a process is doing. */
  facts(process: Process): ProcessFacts;
  /** Its open files, by descriptor. */
  files(process: Process): Listing<OpenFile> | Unsupported;
  /** Sockets that a process has open, or that all have; each descriptor is one. */
  sockets(process?: Process): Listing<OpenSocket> | Unsupported;
  /** Its environment as it was at its start, "NAME=value" each. */
  environment(process: Process): readonly string[];
  /** What is mounted where it looks from; without one, where process 1 does. */
  mounts(process?: Process): Listing<Mount> | Unsupported;
  /** The address of each symbol of its kernel, modules left out; of one name the first. */
  symbols(): ReadonlyMap<string, number> | Unsupported;
  /**
   * Its symbols and types as volatility3's symbol table (JSON), without KASLR: it serves every boot of this
   * build.
   */
  symbolTable(): { readonly text: string } | Unsupported;
  /** A type by its name: "task_struct", "struct list_head", "pid_t"; undefined when there is none. */
  type(name: string): TypeLayout | Unsupported | undefined;
  /**
   * A value of a type, as it lies at an address of the kernel's; undefined when there is no type of that
   * name. Nesting, elements and followed pointers are bounded, and what was left out is told in its place.
   */
  value(type: string, address: number, options?: ValueOptions): TypedValue | Unsupported | undefined;
}
