/**
 * The notes of a process's core in Linux's layout (elf_prstatus, elf_prpsinfo, NT_FILE), which is the same on
 * x86-64 and arm64 except for the registers. Unknown fields are 0.
 * @module
 */
import type { ThreadState } from "../guest/linux/thread_list.ts";
import { PAGE_BYTES } from "../guest/physical_memory.ts";
import type { MemoryMap, Process } from "../guest/process.ts";
import type { CoreMachine, CoreNote } from "./core_layout.ts";

const NT_PRSTATUS = 1;
const NT_PRPSINFO = 3;
const NT_AUXV = 6;
const NT_FILE = 0x4649_4c45;
/** Registers begin at 112: 27 words on x86-64, 34 on arm64; pr_fpvalid and padding follow. */
const PRSTATUS_BYTES = { "x86-64": 336, aarch64: 392 } as const;
const PRPSINFO_BYTES = 136;
const FNAME_BYTES = 16;
const PSARGS_BYTES = 80;

/** The contents of a process's core besides its memory. */
export interface ProcessFacts {
  /** The process from the list. */
  readonly process: Process;
  /** Its threads; without registers if those are unknown. */
  readonly threads: readonly ThreadState[];
  /** Its auxiliary vector as in the guest; empty if unknown. */
  readonly auxv: Uint8Array;
  /** Its mappings. */
  readonly maps: readonly MemoryMap[];
  /** Its command line. */
  readonly commandLine: readonly string[];
}

/**
 * The notes. The first thread's status comes first and the process's own notes after it, as in Linux: readers
 * take that thread for the one that crashed.
 */
export function processNotes(facts: ProcessFacts, machine: CoreMachine = "x86-64"): CoreNote[] {
  const { process, threads, auxv, maps, commandLine } = facts;
  const statuses = threads.map((thread) => note(NT_PRSTATUS, statusOf(process, thread, machine)));
  const own = [note(NT_PRPSINFO, infoOf(process, commandLine))];
  if (auxv.length > 0) own.push(note(NT_AUXV, auxv));
  const files = maps.filter((map) => map.name.startsWith("/"));
  if (files.length > 0) own.push(note(NT_FILE, filesOf(files)));
  return [...statuses.slice(0, 1), ...own, ...statuses.slice(1)];
}

function note(type: number, desc: Uint8Array): CoreNote {
  return { name: "CORE", type, desc };
}

/**
 * pr_reg: on x86-64 the first 21 words are those of pt_regs, then fs_base, gs_base, ds, es, fs, gs; on arm64
 * all 34 are.
 */
function statusOf(
  process: Process,
  { tid, registers, fsBase, gsBase }: ThreadState,
  machine: CoreMachine,
): Uint8Array {
  const bytes = new Uint8Array(PRSTATUS_BYTES[machine]);
  const view = new DataView(bytes.buffer);
  view.setInt32(32, tid, true);
  view.setInt32(36, process.ppid, true);
  view.setInt32(40, process.pid, true);
  view.setInt32(44, process.pid, true);
  if (registers !== undefined) bytes.set(registers, 112);
  if (machine !== "x86-64") return bytes;
  view.setBigUint64(112 + 21 * 8, fsBase, true);
  view.setBigUint64(112 + 22 * 8, gsBase, true);
  return bytes;
}

function infoOf(process: Process, commandLine: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(PRPSINFO_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[1] = "S".charCodeAt(0);
  view.setInt32(24, process.pid, true);
  view.setInt32(28, process.ppid, true);
  view.setInt32(32, process.pid, true);
  view.setInt32(36, process.pid, true);
  // The last byte of each stays 0, because both are read as C strings.
  const text = new TextEncoder();
  bytes.set(text.encode(process.name).subarray(0, FNAME_BYTES - 1), 40);
  bytes.set(text.encode(commandLine.join(" ")).subarray(0, PSARGS_BYTES - 1), 56);
  return bytes;
}

function filesOf(maps: readonly MemoryMap[]): Uint8Array {
  const names = new TextEncoder().encode(maps.map((map) => map.name + "\0").join(""));
  const bytes = new Uint8Array(16 + maps.length * 24 + names.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(maps.length), true);
  view.setBigUint64(8, BigInt(PAGE_BYTES), true);
  maps.forEach((map, i) => {
    const at = 16 + i * 24;
    view.setBigInt64(at, BigInt(map.start), true);
    view.setBigInt64(at + 8, BigInt(map.end), true);
    view.setBigUint64(at + 16, BigInt(Math.floor(map.fileOffset / PAGE_BYTES)), true);
  });
  bytes.set(names, 16 + maps.length * 24);
  return bytes;
}
