/**
 * `vmsig mem … dump FILE`: writes a guest's RAM, or one of its processes, as an ELF core for other programs
 * (drgn; gdb for a process).
 *
 * Only pages that the host has allocated are read and written; the others stay holes in the file. It is
 * written under a temporary name and renamed to FILE when complete; a dump that ends early leaves nothing. A
 * running guest changes while it is read: stop the VM first for a consistent dump.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { hexOfGva } from "../../base/ids.ts";
import type { AddressSpace } from "../../guest/address_space.ts";
import type { FindResult, GuestOs } from "../../guest/guest_os.ts";
import { LinuxGuest } from "../../guest/linux/linux_guest.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../../guest/physical_memory.ts";
import type { Listing, MemoryMap, Process } from "../../guest/process.ts";
import {
  type CoreLayout,
  coreLayout,
  type CoreLoad,
  type CoreMachine,
  MAX_CORE_LOADS,
  PF,
} from "../../ram/core_layout.ts";
import { type ProcessFacts, processNotes } from "../../ram/process_notes.ts";
import type { Call } from "./command.ts";
import { replaceWhole } from "../record/private_file.ts";

const CHUNK_BYTES = 2 ** 20;
/**
 * Interval, in bytes, at which signals are handled, progress is shown, and pages are returned to the kernel.
 */
const BREATH_BYTES = 2 ** 26;

/** A part of the core to copy: source and destination. */
interface Piece {
  readonly address: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What a dump needs of an opened target. */
export interface DumpSource {
  /** The guest's RAM. */
  readonly memory: PhysicalMemory;
  /** Throws if what was read may belong to another guest by now. */
  check(): Promise<void>;
}

/** Copies from an address; returns the number of bytes that were there. */
type Reader = (address: number, into: Uint8Array, length: number) => number;

/**
 * Writes the whole RAM.
 *
 * @param guest a Linux guest, whose note and direct map are added to the core; without one the core has only
 *   RAM
 * @throws {Fault} `refused` when the file cannot be written or the RAM is gone; `interrupted`
 */
export async function dumpRam(
  call: Call,
  path: string,
  guest: FindResult,
  source: DumpSource,
): Promise<void> {
  const { memory } = source;
  const linux = guest.found && guest.os instanceof LinuxGuest ? guest.os : undefined;
  const directMap = linux === undefined ? undefined : directMapOf(linux);
  memory.refresh();
  const { segments } = memory.port;
  if (segments.length > MAX_CORE_LOADS) {
    throw new Fault("too-large", `Cannot dump: ${segments.length} segments`);
  }
  const loads = segments.map(({ gpa, sizeBytes }): CoreLoad => ({
    vaddr: directMap === undefined ? 0 : directMap + gpa,
    paddr: gpa,
    sizeBytes,
    flags: PF.R | PF.W | PF.X,
  }));
  const desc = new TextEncoder().encode(linux?.note.text ?? "");
  const notes = linux === undefined ? [] : [{ name: "VMCOREINFO", type: 0, desc }];
  const layout = coreLayout(loads, notes, guest.found ? machineOf(guest.os) : "x86-64");
  const pieces = segments.flatMap((segment, i) => heldPieces(memory, segment, layout.offsets[i] as number));
  const copied = await writeCore(
    call,
    path,
    { layout, pieces, source },
    (gpa, into, length) => memory.read(gpa, into, 0, length),
  );
  const note = linux !== undefined;
  if (call.json) {
    call.out.json({
      file: path,
      bytes: layout.sizeBytes,
      copied,
      segments: segments.length,
      vmcoreinfo: note,
    });
  } else {
    call.out.line(`${mib(layout.sizeBytes)} of RAM in ${path}, ${mib(copied)} of them data`);
    if (!note) call.out.line("without a VMCOREINFO note: no Linux kernel was found in it");
  }
}

/**
 * Writes one process.
 *
 * @throws {Fault} `refused` when the file cannot be written or the RAM is gone; `not-mapped` when nothing of
 *   the process is in RAM; `interrupted`
 */
export async function dumpProcess(
  call: Call,
  path: string,
  os: GuestOs,
  process: Process,
  source: DumpSource,
): Promise<void> {
  source.memory.refresh();
  const space = os.spaceOf(process);
  const mapped = os.maps(process);
  const maps = mapped.items;
  const loads = residentLoads(space, maps);
  if (loads.length === 0) {
    throw new Fault("not-mapped", `Cannot dump process ${process.pid}: no page of it is in RAM`);
  }
  const { facts, threads: listed } = factsOf(os, process, maps);
  const early = earlyEnds({ mappings: mapped, threads: listed });
  const machine = machineOf(os);
  const layout = coreLayout(loads, processNotes(facts, machine), machine);
  const pieces = loads.map(({ vaddr, sizeBytes }, i) => ({
    address: vaddr,
    offset: layout.offsets[i] as number,
    sizeBytes,
  }));
  const copied = await writeCore(
    call,
    path,
    { layout, pieces, source },
    (gva, into, length) => readMapped(space, gva, into, length),
  );
  const unknown = facts.threads.filter((thread) => thread.registers === undefined).map((thread) =>
    thread.tid
  );
  if (call.json) {
    const threads = facts.threads.length;
    call.out.json({
      file: path,
      pid: process.pid,
      bytes: copied,
      segments: loads.length,
      threads,
      unknown,
      complete: early.length === 0,
      endedEarly: early.map(({ list, count, reason, at }) => ({ list, count, reason, at: hexOfGva(at) })),
    });
  } else {
    call.out.line(`process ${process.pid} in ${path}: ${mib(copied)}, ${facts.threads.length} threads`);
    if (unknown.length > 0) {
      call.out.line(
        `registers are not known of: ${unknown.slice(0, 16).join(", ")}${
          unknown.length > 16 ? ", …" : ""
        } (on a CPU, or not found)`,
      );
    }
  }
  if (early.length === 0) return;
  // The file has what was found, but an incomplete dump is still an error.
  const lists = early.map(({ list, count, reason, at }) =>
    `its list of ${list} ends after ${count} in a ${reason} at ${hexOfGva(at)}`
  ).join(", ");
  throw new Fault(
    "refused",
    `Cannot dump all of process ${process.pid}: ${lists}; the guest changed it meanwhile, or it is damaged: ${path} holds what was found, dump it again`,
  );
}

/** A list that ended early. */
interface EarlyEnd {
  readonly list: string;
  /** The items before the end. */
  readonly count: number;
  readonly reason: string;
  readonly at: number;
}

function earlyEnds(lists: Readonly<Record<string, Listing<unknown>>>): EarlyEnd[] {
  return Object.entries(lists).flatMap(([list, { items, end }]) =>
    end.complete ? [] : [{ list, count: items.length, reason: end.reason, at: end.at }]
  );
}

function factsOf(
  os: GuestOs,
  process: Process,
  maps: readonly MemoryMap[],
): { readonly facts: ProcessFacts; readonly threads: Listing<unknown> } {
  const commandLine = os.commandLine(process);
  if (os instanceof LinuxGuest) {
    const threads = os.threadsOf(process);
    const facts = { process, threads: threads.items, auxv: os.auxvOf(process), maps, commandLine };
    return { facts, threads };
  }
  const threads = [{ tid: process.pid, registers: undefined, fsBase: 0n, gsBase: 0n }];
  const facts = { process, threads, auxv: new Uint8Array(0), maps, commandLine };
  return { facts, threads: { items: threads, end: { complete: true } } };
}

function machineOf(os: GuestOs): CoreMachine {
  return os.kernel.paging.architecture === "aarch64" ? "aarch64" : "x86-64";
}

/**
 * The offset between the addresses of the kernel's direct map and physical addresses (x86-64:
 * `page_offset_base`; arm64: the kernel half's start, less the note's PHYS_OFFSET); undefined if it is
 * unknown.
 */
function directMapOf(os: LinuxGuest): number | undefined {
  const { paging, root } = os.kernel;
  if (paging.architecture === "aarch64") {
    const offset = os.note.hexNumber("PHYS_OFFSET");
    const map = offset === undefined ? NaN : -(2 ** (paging.addressBits - 1)) - offset;
    // The kernel's own root is mapped there as well.
    return os.kernel.translate(map + root) === root ? map : undefined;
  }
  const place = os.symbol("page_offset_base");
  const base = place === undefined ? NaN : os.kernel.readS64(place);
  return base < 0 && base % 2 ** 30 === 0 ? base : undefined;
}

function heldPieces(
  memory: PhysicalMemory,
  { gpa, sizeBytes }: { readonly gpa: number; readonly sizeBytes: number },
  offset: number,
): Piece[] {
  const pieces: Piece[] = [];
  const end = gpa + sizeBytes;
  for (let at = memory.port.nextData(gpa, end); at < end;) {
    const stop = memory.port.nextHole(at, end);
    if (stop <= at) break;
    pieces.push({ address: at, offset: offset + at - gpa, sizeBytes: stop - at });
    at = memory.port.nextData(stop, end);
  }
  return pieces;
}

/**
 * One segment per run of resident pages; if there are too many, one per mapping, from its first to its last
 * page.
 */
function residentLoads(space: AddressSpace, maps: readonly MemoryMap[]): CoreLoad[] {
  const runs: CoreLoad[] = [];
  const wholes: CoreLoad[] = [];
  for (const map of maps) {
    const flags = (map.perms[0] === "r" ? PF.R : 0) | (map.perms[1] === "w" ? PF.W : 0) |
      (map.perms[2] === "x" ? PF.X : 0);
    let first = NaN;
    let start = NaN;
    let last = NaN;
    const end = () => {
      if (!Number.isNaN(start) && runs.length <= MAX_CORE_LOADS) {
        runs.push({ vaddr: start, paddr: 0, sizeBytes: last - start, flags });
      }
      start = NaN;
    };
    for (let at = map.start; at < map.end; at += PAGE_BYTES) {
      const gpa = space.translate(at);
      if (gpa < 0 || !space.memory.isRam(gpa)) {
        end();
        continue;
      }
      if (Number.isNaN(first)) first = at;
      if (Number.isNaN(start)) start = at;
      last = at + PAGE_BYTES;
    }
    end();
    if (!Number.isNaN(first)) wholes.push({ vaddr: first, paddr: 0, sizeBytes: last - first, flags });
  }
  return runs.length <= MAX_CORE_LOADS ? runs : wholes.slice(0, MAX_CORE_LOADS);
}

/** Pages that were freed since they were listed read as zeros. */
function readMapped(space: AddressSpace, gva: number, into: Uint8Array, length: number): number {
  let done = 0;
  while (done < length) {
    done += space.read(gva + done, into, done, length - done);
    if (done === length) break;
    const next = Math.min(length, done + PAGE_BYTES - ((gva + done) % PAGE_BYTES));
    into.fill(0, done, next);
    done = next;
  }
  return done;
}

/** A core to write. */
interface Core {
  readonly layout: CoreLayout;
  readonly pieces: readonly Piece[];
  readonly source: DumpSource;
}

async function writeCore(call: Call, path: string, core: Core, read: Reader): Promise<number> {
  try {
    return await replaceWhole(path, async (file) => {
      const copied = await copy(call, file, core, read);
      await core.source.check();
      return copied;
    });
  } catch (error) {
    if (error instanceof Fault && error.code !== "refused") throw error;
    throw new Fault("refused", `Cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}

async function copy(call: Call, file: Deno.FsFile, core: Core, read: Reader): Promise<number> {
  const { layout, pieces, source } = core;
  writeAll(file, layout.head, 0);
  const total = pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0);
  const chunk = new Uint8Array(CHUNK_BYTES);
  let copied = 0;
  let breath = 0;
  using progress = new Progress(total);
  for (const { address, offset, sizeBytes } of pieces) {
    for (let done = 0; done < sizeBytes;) {
      const n = Math.min(CHUNK_BYTES, sizeBytes - done);
      if (read(address + done, chunk, n) < n) {
        throw new Fault("refused", "the guest's RAM is no longer there; dump it again");
      }
      writeAll(file, chunk.subarray(0, n), offset + done);
      done += n;
      copied += n;
      if (copied - breath < BREATH_BYTES) continue;
      breath = copied;
      source.memory.letGo();
      source.memory.verify();
      progress.tell(copied);
      await new Promise((resolve) => setTimeout(resolve, 0));
      call.signal.throwIfAborted();
    }
  }
  file.truncateSync(layout.sizeBytes);
  return copied;
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array, offset: number): void {
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** Shows progress on a terminal. */
class Progress implements Disposable {
  readonly #total: number;
  readonly #isShown = Deno.stderr.isTerminal();

  constructor(total: number) {
    this.#total = total;
  }

  tell(done: number): void {
    this.#put(`\r${mib(done)} of ${mib(this.#total)}`);
  }

  [Symbol.dispose](): void {
    this.#put("\r\x1b[K");
  }

  #put(text: string): void {
    if (this.#isShown) Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
