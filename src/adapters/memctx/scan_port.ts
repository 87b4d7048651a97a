/**
 * The port through which MEMCTX has a guest's RAM opened and looked through. A scan takes 15 to 300 ms, which
 * the loop does not have; opening asks QEMU's /proc entries, which takes 2 ms at best and as long as it likes
 * when that process is busy with its own memory or swapped out. Behind it stand other threads in the daemon,
 * or the calling thread in a program that embeds the core.
 *
 * Requests and answers are plain data that postMessage and JSON can carry. A scan borrows descriptors: the
 * scanner opens each anew and looks whether it still is the file that was meant, so nothing is handed over
 * and nothing leaks when a scanner dies. What was opened is handed over as descriptor numbers of this
 * process.
 * @module
 */
import type { FaultCode } from "../../base/fault.ts";
import { type Architecture, isArchitecture } from "../../guest/paging.ts";
import { isSystemName, type SystemName, type WantedSystem } from "../../guest/systems.ts";
import type { QemuBackend } from "../../ram/qemu_backends.ts";
import type { BlockAddress } from "../../ram/told_memory.ts";
import type { RamPiece } from "../../ram/ram_layout.ts";

/** Page tables have no more levels than that on any architecture. */
const MAX_LEVELS = 8;

/** A file of the guest's RAM, as another thread of this process finds it. */
export interface ScanFile {
  /** Descriptor number; may be closed (or another file's) by the time it is looked at. */
  readonly fd: number;
  /** Device and inode that it must be. */
  readonly dev: number;
  /** See `dev`. */
  readonly ino: number;
  /** How large it must be at least. */
  readonly sizeBytes: number;
  /**
   * Whether it has huge pages: then its holes are asked of the QEMU process, which has it mapped at
   * `hostAddress`.
   */
  readonly huge: boolean;
  /** Where QEMU has it mapped. */
  readonly hostAddress: number;
}

/** A look for a guest's system. */
export interface ScanRequest {
  /** For logs: the endpoint's name. */
  readonly name: string;
  /** QEMU's process. */
  readonly pid: number;
  /** When it was started: another process with its number is not asked. */
  readonly started: string;
  /** The files of its RAM. */
  readonly files: readonly ScanFile[];
  /** Where their parts lie. */
  readonly pieces: readonly RamPiece[];
  /** Which systems to look for. */
  readonly guest: WantedSystem;
  /** A vCPU's CR3; a kernel that it does not map is not the running one. Undefined for an arm64 CPU. */
  readonly liveRoot?: number | undefined;
  /** What an arm64 CPU executes: a kernel that does not map it is not the running one. */
  readonly livePc?: number | undefined;
  /** Whether that vCPU ran in user mode, where a root need not map the kernel. */
  readonly liveInUserMode: boolean;
  /** Where a system was found before ({@linkcode GuestOs.foundAt}): looked at first. */
  readonly foundAt?: number | undefined;
}

/** What a look found. */
export type ScanAnswer =
  | {
    readonly outcome: "found";
    readonly kind: SystemName;
    readonly version: string;
    readonly architecture: Architecture;
    /** The kernel's page-table root. */
    readonly root: number;
    /** Levels of the page tables. */
    readonly levels: number;
    /** What tells them from others of as many levels. */
    readonly variant: number;
    /** Whether user processes have a root apart from the kernel's. */
    readonly isolated: boolean;
    /** Whether that can be known yet: before the first user process it cannot. */
    readonly settled: boolean;
    /** What another boot or another kernel would not have alike. */
    readonly identity: string;
    /** Where it was found, for the next look. */
    readonly foundAt?: number | undefined;
    /** How long it took, ms. */
    readonly ms: number;
  }
  | {
    readonly outcome: "none";
    readonly reason: "no-kernel" | "unknown-os" | "unsupported";
    /** What was recognised and is not supported. */
    readonly system?: string | undefined;
    readonly detail: string;
  }
  /** The look itself failed: RAM is gone, or the scanner. */
  | { readonly outcome: "failed"; readonly detail: string };

/** RAM to be opened. */
export interface RamRequest {
  /** For logs, and to tell requests of one VM from others': the endpoint's name. */
  readonly name: string;
  /** QEMU's process. */
  readonly pid: number;
  /** Who made its monitor listen, by the kernel's word: what its files are compared with. */
  readonly monitorUid: number;
  /** The text of `info mtree -f`. */
  readonly flatView: string;
  /** Ids of memory devices' backends, as the monitor told them. */
  readonly devices: readonly string[];
  /** Where the blocks of RAM are in QEMU's address space, as the monitor told it. */
  readonly blocks: readonly BlockAddress[];
  /** Which kind of backend the config asks for. */
  readonly wanted: "auto" | "memfd" | "file";
}

/** RAM that was opened, for whoever adopts it. */
export interface OpenedRam {
  /** QEMU's process. */
  readonly pid: number;
  /** When it was started. */
  readonly started: string;
  /** The backends. */
  readonly backends: readonly QemuBackend[];
  /** A read-only descriptor of each: whoever takes the answer closes it. */
  readonly fds: readonly number[];
  /** Where their parts lie. */
  readonly pieces: readonly RamPiece[];
  /** RAM that could not be opened, by its backends' ids. */
  readonly missing: readonly string[];
}

/** What became of a {@linkcode RamRequest}. */
export type RamAnswer =
  | { readonly outcome: "open"; readonly ram: OpenedRam }
  | { readonly outcome: "failed"; readonly code: FaultCode; readonly detail: string };

/** Has RAM opened and looked through. */
export interface ScanPort {
  /**
   * Opens.
   *
   * @param request whose RAM; the process may keep whoever looks at it waiting, which is `timed-out` in the
   *   end
   * @param done told once, on the caller's thread, maybe before this returns; it owns the descriptors
   */
  openRam(request: RamRequest, done: (answer: RamAnswer) => void): void;
  /**
   * Closes descriptors of RAM. When QEMU has ended, the last one gives the guest's memory back to the system:
   * a second for 10 GiB.
   *
   * @param fds whose owner is the port from now on
   */
  closeRam(fds: readonly number[]): void;
  /**
   * Looks.
   *
   * @param request what to look through
   * @param done told once, on the caller's thread, maybe before this returns
   */
  scan(request: ScanRequest, done: (answer: ScanAnswer) => void): void;
}

/** Reads an answer that crossed a thread: checked like any input, since its numbers come out of a guest. */
export function checkScanAnswer(value: unknown): ScanAnswer {
  if (typeof value !== "object" || value === null) return { outcome: "failed", detail: "no answer" };
  const answer = value as Record<string, unknown>;
  if (answer["outcome"] === "found") {
    const { kind, version, architecture, root, levels, variant, isolated, settled, identity, foundAt, ms } =
      answer;
    const good = isSystemName(kind) && typeof version === "string" && isArchitecture(architecture) &&
      Number.isSafeInteger(root) && (root as number) >= 0 && (root as number) < 2 ** 52 &&
      Number.isInteger(levels) && (levels as number) > 0 && (levels as number) <= MAX_LEVELS &&
      Number.isInteger(variant) && (variant as number) >= 0 && (variant as number) < 2 ** 15 &&
      typeof isolated === "boolean" && typeof settled === "boolean" &&
      typeof identity === "string" && (foundAt === undefined || Number.isSafeInteger(foundAt)) &&
      typeof ms === "number";
    return good ? value as ScanAnswer : { outcome: "failed", detail: "a scan's answer is malformed" };
  }
  if (answer["outcome"] === "none" && typeof answer["detail"] === "string") {
    const { reason, system } = answer;
    if (system !== undefined && typeof system !== "string") {
      return { outcome: "failed", detail: "a scan's answer is malformed" };
    }
    if (reason === "no-kernel" || reason === "unknown-os" || reason === "unsupported") {
      return value as ScanAnswer;
    }
  }
  return { outcome: "failed", detail: String(answer["detail"] ?? "a scan gave no reason") };
}
