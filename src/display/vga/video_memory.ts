/**
 * A card's video memory, read from QEMU's process through /proc/PID/mem, or from its memfd (aux-ram-share of
 * QEMU 10 and later). QEMU is not involved; its main loop goes on.
 *
 * The process is identified by pid and start time, and /proc/PID/mem stays that of the program that ran when
 * it was opened: a set-uid program that the process executes later cannot be read through it. A process can
 * block a reader of its memory (userfaultfd, a FUSE file): it may be opened only for users whom the reading
 * thread trusts (see src/SECURITY.md).
 * @module
 */
import { OPEN } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { RowReader, RowRequest } from "../../../ffi/picture_rows.ts";
import { preadInto } from "../../../ffi/stream.ts";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { type FileOwners, fileOwners } from "../../ram/file_owner.ts";
import { FilePlaces } from "../../ram/file_place.ts";
import { HostProcess } from "../../ram/host_process.ts";
import { type HostMapping, parseHostMaps } from "../../ram/process_maps.ts";
import { openCandidate, takeRamFile } from "../../ram/ram_file.ts";

/** Bytes of video memory at most: QEMU's std VGA has 512 MiB at most. */
export const MAX_VIDEO_MEMORY: number = 512 * 1024 * 1024;

/** Where a card's video memory lies: plain data, which one thread finds out and another one uses. */
export interface VideoMemoryPlace {
  /** QEMU's process. */
  readonly pid: number;
  /** When it was started, as `HostProcess.started` tells; "" when that is not known. */
  readonly started: string;
  /** First address in its memory, as `gpa2hva` tells of the card's BAR0. */
  readonly address: number;
  /** Bytes: the size of BAR0. */
  readonly sizeBytes: number;
  /**
   * The process that made its monitor listen; undefined when what is read is shown to nobody (see
   * ram/file_owner.ts).
   */
  readonly monitorUid?: number | undefined;
}

/** Addresses of a process, the last one left out. */
export interface AddressRange {
  /** The first one. */
  readonly start: number;
  /** The one behind the last one. */
  readonly end: number;
}

/**
 * A process's heap: the largest piece without a gap. Of a process that has forked (-daemonize) the kernel
 * tells it in several lines that touch: what is allocated afterwards is another mapping.
 *
 * @returns from 0 to 0 when there is none
 */
export function heapOf(mappings: readonly HostMapping[]): AddressRange {
  let largest: AddressRange = { start: 0, end: 0 };
  let last = largest;
  for (const { path, writable, start, sizeBytes } of mappings) {
    if (path !== "[heap]" || !writable) continue;
    last = { start: start === last.end ? last.start : start, end: start + sizeBytes };
    if (last.end - last.start > largest.end - largest.start) largest = last;
  }
  return largest;
}

/** Video memory, open for reading. */
export class VideoMemory implements Disposable {
  /** How it is read. */
  readonly access: "process" | "memfd";
  /** Bytes. */
  readonly sizeBytes: number;
  /** Its first address in QEMU's memory. */
  readonly address: number;
  /** QEMU's heap, as {start, end}: what the VGA's registers are looked for in; empty where it has none. */
  readonly heap: AddressRange;
  readonly #process: HostProcess;
  readonly #memory: OwnedFd;
  readonly #file: OwnedFd;
  readonly #base: number;

  private constructor(
    process: HostProcess,
    memory: OwnedFd,
    file: OwnedFd | undefined,
    place: VideoMemoryPlace,
    mappings: readonly [own: HostMapping, heap: AddressRange],
  ) {
    const [own, heap] = mappings;
    this.#process = process;
    this.#memory = memory;
    this.#file = file ?? memory;
    this.access = file === undefined ? "process" : "memfd";
    this.#base = file === undefined ? place.address : own.offset + place.address - own.start;
    this.sizeBytes = place.sizeBytes;
    this.address = place.address;
    this.heap = heap;
  }

  /**
   * Opens it.
   *
   * @throws {Fault} `no-endpoint` when the process has ended or another one has its number; `refused` when
   *   this process may not read its memory, or no such memory is there
   */
  static open(place: VideoMemoryPlace): VideoMemory {
    const { pid, started, address, sizeBytes } = place;
    const isPlace = Number.isSafeInteger(address) && address > 0 && sizeBytes >= 4096 &&
      Number.isSafeInteger(sizeBytes) && sizeBytes <= MAX_VIDEO_MEMORY;
    if (!isPlace) {
      throw refusal(pid, `${sizeBytes} bytes at 0x${address.toString(16)} are not a card's memory`);
    }
    const process = HostProcess.open(pid, started);
    let memory: OwnedFd | undefined;
    try {
      // Opened before anything is looked at: what runs then is what is read, and nothing after it.
      memory = process.openFile("mem", OPEN.READ_ONLY);
      // Nothing is read of a set-uid program, or of one whose monitor another user has made.
      const owners = fileOwners(pid, process.uids(), place.monitorUid);
      const mappings = parseHostMaps(process.read("maps"));
      const own = mappings.find((m) => address >= m.start && address + sizeBytes <= m.start + m.sizeBytes);
      if (own === undefined || !own.writable) throw refusal(pid, "no memory of its size is there");
      const file = sharedFile(process, owners, own);
      return new VideoMemory(process, memory, file, place, [own, heapOf(mappings)]);
    } catch (error) {
      memory?.close();
      process[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether the process that it was opened of still runs, by a look at its /proc. */
  get isThere(): boolean {
    try {
      return this.#process.read("stat") !== "";
    } catch (error) {
      if (error instanceof Fault) return false;
      throw error;
    }
  }

  /**
   * Reads rows of a picture over what is there.
   *
   * @param reader what reads
   * @param what its position counts from the first byte of video memory
   * @returns as {@linkcode RowReader.read}
   */
  readRows(reader: RowReader, what: RowRequest): number {
    const { position, stride, rowBytes, rows } = what;
    assert(position + (rows - 1) * stride + rowBytes <= this.sizeBytes, "the rows lie in video memory");
    return reader.read(this.#file.fd, { ...what, position: this.#base + position });
  }

  /**
   * Reads bytes of video memory.
   *
   * @param at first byte
   * @param into filled as a whole
   * @returns false when QEMU has gone
   */
  read(at: number, into: Uint8Array<ArrayBuffer>): boolean {
    assert(at >= 0 && at + into.length <= this.sizeBytes, "what is read lies in video memory");
    return readAll(this.#file.fd, into, this.#base + at);
  }

  /**
   * Reads QEMU's own memory, beside video memory.
   *
   * @param address where
   * @param into filled as a whole
   * @returns false where nothing is mapped, or QEMU has gone
   */
  readProcess(address: number, into: Uint8Array<ArrayBuffer>): boolean {
    return readAll(this.#memory.fd, into, address);
  }

  /** Closes what is open. */
  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]();
    this.#memory.close();
    if (this.#file !== this.#memory) this.#file.close();
  }
}

function readAll(fd: number, into: Uint8Array<ArrayBuffer>, position: number): boolean {
  try {
    for (let done = 0; done < into.length;) {
      const n = preadInto(fd, into, done, into.length - done, position + done);
      if (n <= 0) return false;
      done += n;
    }
    return true;
  } catch (error) {
    // EIO: nothing is mapped there, or not any more.
    if (error instanceof OsError) return false;
    throw error;
  }
}

/** The memfd that the memory lies in; undefined when it is not a memfd, or may not be opened. */
function sharedFile(process: HostProcess, owners: FileOwners, own: HostMapping): OwnedFd | undefined {
  if (!own.shared || own.inode === 0 || own.offset !== 0) return undefined;
  const look = { process, owners, places: new FilePlaces(process), mappings: [own] };
  try {
    for (const listed of process.descriptors()) {
      if (!listed.target.startsWith("/memfd:")) continue;
      const file = takeRamFile(look, listed, () => false);
      if (file === undefined) continue;
      using _mark = file.mark;
      if (file.memfd && file.sizeBytes >= own.sizeBytes) return openCandidate(process, file);
    }
  } catch (error) {
    // Another user's, or a mode that forbids it: the process's memory shows the same.
    if (!(error instanceof Fault)) throw error;
  }
  return undefined;
}

function refusal(pid: number, why: string): Fault {
  return new Fault("refused", `Cannot read the video memory of QEMU ${pid}: ${why}`);
}
