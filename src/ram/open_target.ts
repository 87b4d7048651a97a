/**
 * Guest memory without a daemon, as used by `vmsig mem`: `pid:N` (a QEMU process) or `file:PATH` (a raw RAM
 * image, an ELF core, or any dump in dumps/formats.ts).
 *
 * A raw image does not say where its machine's hole is. Up to 2816 MiB it has none; a larger one is tried as
 * q35, as pc, as VMware's, without a hole, and as arm64's virt, whose RAM begins at 1 GiB: the layout in
 * which a system is found is used.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { findGuest, type GuestFinder } from "../guest/find_guest.ts";
import type { FindResult } from "../guest/guest_os.ts";
import { PhysicalMemory } from "../guest/physical_memory.ts";
import { DUMP, openDump } from "./dumps/formats.ts";
import { type ImageFile, openImageFile } from "./image_file.ts";
import { ARM_VIRT_BASE, isPastRule, lowRamBytes } from "./machine_rule.ts";
import { MappedRam } from "./mapped_ram.ts";
import { openQemuRam, type QemuRam } from "./qemu_ram.ts";
import { runLayout, splitLayout } from "./ram_layout.ts";

const PAGE_BYTES = 4096;
const MAX_PID = 4_194_304;
/** No machine has RAM that begins here; memory there belongs to a device. */
const PCI_HOLE = 0xc000_0000;

/** Memory named on a command line. Closed by its disposal. */
export interface MemoryTarget extends Disposable {
  /** The target's name. */
  readonly name: string;
  /** The guest's memory. */
  readonly memory: PhysicalMemory;
  /** The system found in it, or why there is none. */
  readonly guest: FindResult;
  /** The QEMU, for `pid:N`: its backends can be written to. */
  readonly qemu: QemuRam | undefined;
  /** Size of RAM below the hole, bytes. */
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
 * @param finders which systems to look for, the most likely first
 * @throws {Fault} `usage` for a word that is neither; otherwise as {@linkcode openQemuRam}; `refused` for a
 *   file that cannot be opened or is not a memory image
 */
export function openTarget(target: string, finders: readonly GuestFinder[]): MemoryTarget {
  const [, kind, rest = ""] = /^(pid|file):(.*)$/s.exec(target) ?? [];
  if (kind === "pid" && /^[0-9]{1,7}$/.test(rest) && Number(rest) > 0 && Number(rest) <= MAX_PID) {
    return openProcess(target, Number(rest), finders);
  }
  if (kind === "file" && rest !== "") return openFile(target, rest, finders);
  throw new Fault(
    "usage",
    `Cannot open ${target}: say pid:N (a QEMU process) or file:PATH (a RAM image, an ELF core or another dump)`,
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
  // Several of its files may be its RAM: the one in which a system is found is used.
  for (let choice = 1; choice < choices; choice++) {
    let other: MemoryTarget;
    try {
      other = open(choice);
    } catch (error) {
      // A file that may not be opened, such as another device's, is not part of the guest's RAM.
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
  const file = openImageFile(path);
  const port = openDump(file);
  if (port !== undefined) {
    const memory = new PhysicalMemory(port);
    return finish(name, memory, finders, lowBytesOf(memory), undefined);
  }
  using _file = file.fd;
  return openRaw(name, file, finders);
}

function openRaw(
  name: string,
  { path, fd, sizeBytes }: ImageFile,
  finders: readonly GuestFinder[],
): MemoryTarget {
  if (sizeBytes === 0 || sizeBytes % PAGE_BYTES !== 0) {
    throw new Fault(
      "refused",
      `Cannot open ${path}: ${sizeBytes} bytes are not a valid RAM image: that is whole pages`,
    );
  }
  if (isPastRule(sizeBytes)) {
    throw new Fault(
      "not-supported",
      `Cannot open ${path}: a raw image of ${
        Math.round(sizeBytes / 2 ** 30)
      } GiB does not tell where its machine has its RAM; of the VM take ${DUMP}`,
    );
  }
  // VMware's hole begins at 3 GiB, even if little RAM is above it.
  const vmware = Math.min(sizeBytes, PCI_HOLE);
  const lows = new Set([lowRamBytes("q35", sizeBytes), lowRamBytes("pc", sizeBytes), vmware, sizeBytes]);
  let first: MemoryTarget | undefined;
  const backend = { id: path, sizeBytes };
  const layouts = [
    ...Array.from(lows, (low) => ({ low, pieces: splitLayout([backend], low) })),
    { low: Math.min(ARM_VIRT_BASE + sizeBytes, 2 ** 32), pieces: runLayout([backend], ARM_VIRT_BASE) },
  ];
  for (const { low, pieces } of layouts) {
    const files = [{ fd: fd.dup(), sizeBytes, huge: false }];
    const memory = new PhysicalMemory(new MappedRam(`RAM image ${path}`, files, pieces));
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

/**
 * The end of RAM below 4 GiB. A dump also contains video memory and flash, which are in the PCI hole, apart
 * from RAM.
 */
function lowBytesOf(memory: PhysicalMemory): number {
  let low = 0;
  for (const { gpa, sizeBytes } of memory.port.segments) {
    if (gpa >= 2 ** 32 || (gpa >= PCI_HOLE && gpa > low)) break;
    low = gpa + sizeBytes;
  }
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
