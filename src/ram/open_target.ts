/**
 * Guest memory without a daemon: `pid:N` (a QEMU process) or `file:PATH` (a raw RAM image, or an ELF core),
 * as `vmsig mem` takes them.
 *
 * A raw image does not say where its machine's hole is. Below 2816 MiB it has none; a larger one is tried as
 * q35, as pc and without a hole, and the layout in which a system is found counts.
 * @module
 */
import { type FileStatus, OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { Fault } from "../base/fault.ts";
import { findGuest, type GuestFinder } from "../guest/find_guest.ts";
import type { FindResult } from "../guest/guest_os.ts";
import { PhysicalMemory } from "../guest/physical_memory.ts";
import { ElfCore, isElf } from "./elf_core.ts";
import { lowRamBytes } from "./machine_rule.ts";
import { MappedRam } from "./mapped_ram.ts";
import { openQemuRam, type QemuRam } from "./qemu_ram.ts";
import { splitLayout } from "./ram_layout.ts";

const PAGE_BYTES = 4096;
const MAX_PID = 4_194_304;

/** Memory that was named on a command line. Ends with its disposal. */
export interface MemoryTarget extends Disposable {
  /** What was named. */
  readonly name: string;
  /** The guest's memory. */
  readonly memory: PhysicalMemory;
  /** The system in it, or why there is none. */
  readonly guest: FindResult;
  /** The QEMU, for `pid:N`: its backends can be written to. */
  readonly qemu: QemuRam | undefined;
  /** Bytes of RAM below the hole. */
  readonly lowBytes: number;
}

/** Whether a word of a command line names memory without a daemon. */
export function isTarget(word: string): boolean {
  return /^(pid|file):/.test(word);
}

/**
 * Opens a target and looks for its system.
 *
 * @param target `pid:N` or `file:PATH`
 * @param finders which systems to look for, the likeliest first
 * @throws {Fault} `usage` for a word that is none of both; else as {@linkcode openQemuRam}; `refused` for a
 *   file that cannot be opened or is not an image of memory
 */
export function openTarget(target: string, finders: readonly GuestFinder[]): MemoryTarget {
  const [, kind, rest = ""] = /^(pid|file):(.*)$/s.exec(target) ?? [];
  if (kind === "pid" && /^[0-9]{1,7}$/.test(rest) && Number(rest) > 0 && Number(rest) <= MAX_PID) {
    return openProcess(target, Number(rest), finders);
  }
  if (kind === "file" && rest !== "") return openFile(target, rest, finders);
  throw new Fault(
    "usage",
    `Cannot open ${target}: say pid:N (a QEMU process) or file:PATH (a RAM image or an ELF core)`,
  );
}

function openProcess(name: string, pid: number, finders: readonly GuestFinder[]): MemoryTarget {
  const open = (choice: number): MemoryTarget => {
    const qemu = openQemuRam(pid, { choice });
    return finish(name, qemu.memory, finders, qemu.lowBytes, qemu);
  };
  const first = open(0);
  const choices = first.qemu?.choices ?? 1;
  if (first.guest.found || choices === 1) return first;
  // Several of its files may be its RAM: the one in which a system is found is.
  for (let choice = 1; choice < choices; choice++) {
    let other: MemoryTarget;
    try {
      other = open(choice);
    } catch (error) {
      // A file that may not be opened, such as another device's, is none of the guest's RAM.
      if (error instanceof Fault) continue;
      throw error;
    }
    if (other.guest.found) {
      first[Symbol.dispose]();
      return other;
    }
    other[Symbol.dispose]();
  }
  const doubt = `${choices} assignments of its files to its memory backends fit, and none shows a system`;
  return { ...first, guest: { ...first.guest, detail: `${first.guest.detail}; ${doubt}` } };
}

function openFile(name: string, path: string, finders: readonly GuestFinder[]): MemoryTarget {
  const fd = openImage(path);
  let head: Uint8Array<ArrayBuffer>;
  let sizeBytes: number;
  try {
    const status = statFd(fd.fd);
    if (!status.isRegular) {
      throw new Fault(
        "bad-argument",
        `Cannot open ${path}: it is ${whatIs(status)}, no regular file; name a RAM image or an ELF core`,
      );
    }
    sizeBytes = status.sizeBytes;
    head = new Uint8Array(16);
    preadInto(fd.fd, head, 0, head.length, 0);
  } catch (error) {
    fd.close();
    throw error;
  }
  if (isElf(head)) {
    const memory = new PhysicalMemory(new ElfCore(fd, path));
    return finish(name, memory, finders, lowBytesOf(memory), undefined);
  }
  using source = fd;
  return openRaw({ name, path, fd: source, head, sizeBytes }, finders);
}

/**
 * Looks first what it is, without opening it: a FIFO would wait for somebody who writes, and a device would
 * notice.
 */
function openImage(path: string): OwnedFd {
  try {
    using mark = reopen(path, OPEN.PATH);
    if (!statFd(mark.fd).isRegular) return mark.dup();
    return reopen(mark.fd, OPEN.READ_ONLY);
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    throw new Fault("refused", `Cannot open ${path}: ${error.errnoName}`, { cause: error });
  }
}

function whatIs({ isDirectory, isSocket, isCharacterDevice }: FileStatus): string {
  return isDirectory
    ? "a folder"
    : isSocket
    ? "a socket"
    : isCharacterDevice
    ? "a device"
    : "a FIFO or a device";
}

/** A file that may be a raw image. */
interface RawFile {
  /** What was named. */
  readonly name: string;
  readonly path: string;
  /** Borrowed. */
  readonly fd: OwnedFd;
  /** Its first bytes. */
  readonly head: Uint8Array;
  readonly sizeBytes: number;
}

function openRaw(
  { name, path, fd, head, sizeBytes }: RawFile,
  finders: readonly GuestFinder[],
): MemoryTarget {
  const magic = new TextDecoder("latin1").decode(head.subarray(0, 8));
  if (magic === "KDUMP   " || magic.startsWith("makedump")) {
    throw new Fault(
      "not-supported",
      `Cannot open ${path}: it is a compressed kdump; dump to ELF (dump-guest-memory without -z)`,
    );
  }
  if (sizeBytes === 0 || sizeBytes % PAGE_BYTES !== 0) {
    throw new Fault(
      "refused",
      `Cannot open ${path}: ${sizeBytes} bytes are not a valid RAM image: that is whole pages`,
    );
  }
  const lows = new Set([lowRamBytes("q35", sizeBytes), lowRamBytes("pc", sizeBytes), sizeBytes]);
  let first: MemoryTarget | undefined;
  for (const low of lows) {
    const files = [{ fd: fd.dup(), sizeBytes, huge: false }];
    const layout = splitLayout([{ id: path, sizeBytes }], low);
    const memory = new PhysicalMemory(new MappedRam(`RAM image ${path}`, files, layout));
    const target = finish(name, memory, finders, low, undefined);
    if (target.guest.found) {
      first?.[Symbol.dispose]();
      return target;
    }
    if (first === undefined) first = target;
    else target[Symbol.dispose]();
  }
  return first as MemoryTarget;
}

function lowBytesOf(memory: PhysicalMemory): number {
  let low = 0;
  for (const { gpa, sizeBytes } of memory.port.segments) if (gpa < 2 ** 32) low = gpa + sizeBytes;
  return low;
}

function finish(
  name: string,
  memory: PhysicalMemory,
  finders: readonly GuestFinder[],
  lowBytes: number,
  qemu: QemuRam | undefined,
): MemoryTarget {
  try {
    const guest = findGuest(memory, finders);
    return { name, memory, guest, qemu, lowBytes, [Symbol.dispose]: () => memory[Symbol.dispose]() };
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
}
