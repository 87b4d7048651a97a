/**
 * Finds a Linux kernel in RAM, without a profile: by its VMCOREINFO note, and only if its page tables confirm
 * the note.
 *
 * A note is accepted if its `swapper_pg_dir` maps `_stext` and `swapper_pg_dir` itself to where the note says
 * that the image is; if the caller knows the current page-table root (a vCPU's CR3), that one must also map
 * `_stext` there; for an arm64 CPU, whose root no monitor reports, the address that it executes must be
 * mapped executable. The previous boot's note, which survives a reset, fails this test.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { AddressSpace } from "../address_space.ts";
import type { GuestEvidence } from "../find_guest.ts";
import type { FindResult } from "../guest_os.ts";
import { PTE_P } from "../paging.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../physical_memory.ts";
import { arm64Page } from "./arm64_page.ts";
import { type KernelMapping, kernelMapping } from "./kernel_mapping.ts";
import { LinuxGuest } from "./linux_guest.ts";
import { linuxPage } from "./software_page.ts";
import { checkProfile, type KernelProfile, readListProfile, readProfile } from "./profile.ts";
import { findNotes, NOT_IN_RAM, readNote, Vmcoreinfo } from "./vmcoreinfo.ts";

/**
 * Looks for a Linux kernel.
 *
 * @param memory the guest's RAM, refreshed
 * @param options a cache of profiles (by BUILD-ID), a current root, whether to keep the symbol table (3 to 5
 *   MB), where the note was before
 */
export function findLinux(memory: PhysicalMemory, options: GuestEvidence = {}): FindResult<LinuxGuest> {
  const { foundAt } = options;
  let refused: string | undefined;
  const isCandidate = (note: Vmcoreinfo): boolean => {
    const mapping = kernelMapping(note);
    if (mapping === undefined) return false;
    if ("unsupported" in mapping) {
      refused ??= `Linux ${note.line("OSRELEASE") ?? "?"}: ${mapping.unsupported}`;
      return false;
    }
    const space = spaceOf(memory, note);
    return space !== undefined && isBorneOut(note, space) && isLive(note, space, options);
  };
  // A dump may have its kernel's note in its header, which avoids the search (and decompressing everything
  // for it); a note found before is mostly still at its place.
  const told = memory.port.vmcoreinfo;
  const likely = [
    told === undefined ? undefined : new Vmcoreinfo(NOT_IN_RAM, told),
    foundAt === undefined || foundAt < 0 ? undefined : readNote(memory, foundAt),
  ];
  for (const note of likely) {
    if (note === undefined || !isCandidate(note)) continue;
    const result = openKernel(memory, note, options);
    if (result.found) return result;
  }
  memory.missedFrame = -1;
  let first: FindResult<LinuxGuest> | undefined;
  let found: FindResult<LinuxGuest> | undefined;
  const seen = findNotes(memory, (note) => {
    if (!isCandidate(note)) return "other";
    // A confirmed note may still be a copy in which somebody has changed other lines.
    const result = openKernel(memory, note, options);
    if (!result.found) {
      first ??= result;
      return "wanted";
    }
    found = result;
    return "enough";
  });
  if (found !== undefined) return found;
  if (first !== undefined) return first;
  if (refused !== undefined) return { found: false, reason: "unsupported", system: "linux", detail: refused };
  const lack = missingRam(memory);
  const detail = seen === 0
    ? "no VMCOREINFO note in RAM"
    : `${seen} VMCOREINFO note(s) in RAM, none of a kernel that runs now${lack === "" ? "" : `; ${lack}`}`;
  return { found: false, reason: "no-kernel", detail };
}

/** Reads the profile of a note's kernel. */
function openKernel(
  memory: PhysicalMemory,
  note: Vmcoreinfo,
  { cache, keepTable }: GuestEvidence,
): FindResult<LinuxGuest> {
  const space = spaceOf(memory, note);
  assert(space !== undefined, "the note was looked at before");
  memory.missedFrame = -1;
  const buildId = note.line("BUILD-ID");
  const cached = buildId === undefined ? undefined : checkProfile(cache?.get(buildId));
  const keep = (profile: KernelProfile): KernelProfile => {
    if (buildId !== undefined) cache?.set(buildId, profile);
    return profile;
  };
  const complete = (): KernelProfile | undefined => {
    const whole = readProfile(space, note);
    return whole.ok ? keep(whole.profile) : undefined;
  };
  if (typeof cached === "object" && cached.buildId === buildId) {
    const guest = new LinuxGuest(note, space, cached, isBorneOut, { complete });
    // An invalid cached profile shows here: its init_task is not the head of a list.
    if (guest.processes().end.complete) return { found: true, os: guest };
  }
  const quick = readListProfile(space, note);
  if (quick !== undefined) {
    return { found: true, os: new LinuxGuest(note, space, keep(quick), isBorneOut, { complete }) };
  }
  const read = readProfile(space, note);
  if (!read.ok) {
    const release = note.line("OSRELEASE") ?? "?";
    const lack = missingRam(memory);
    const why = lack === "" ? read.unsupported : `${lack} (without it, ${read.unsupported})`;
    return { found: false, reason: "unsupported", system: "linux", detail: `Linux ${release}: ${why}` };
  }
  const table = keepTable === false ? undefined : read.table;
  return { found: true, os: new LinuxGuest(note, space, keep(read.profile), isBorneOut, { table }) };
}

/**
 * The message if tables or data are in memory that was not opened, for instance a DIMM that is not shared.
 */
function missingRam({ missedFrame, endGpa }: PhysicalMemory): string {
  if (missedFrame < 0) return "";
  const where = `0x${(missedFrame * PAGE_BYTES).toString(16)}`;
  return `RAM at ${where} is missing: what was opened ends at 0x${endGpa.toString(16)}`;
}

function spaceOf(memory: PhysicalMemory, note: Vmcoreinfo): AddressSpace | undefined {
  const mapping = kernelMapping(note);
  if (mapping === undefined || "unsupported" in mapping) return undefined;
  const root = imageGpa(mapping, note.symbol("swapper_pg_dir"));
  const stext = note.symbol("_stext");
  if (root === undefined || stext === undefined || root % 4096 !== 0) return undefined;
  if (!mapsImage(memory, root, mapping, stext)) return undefined;
  const isArm = mapping.paging.architecture === "aarch64";
  return new AddressSpace(memory, mapping.paging, root, isArm ? arm64Page : linuxPage);
}

/**
 * Whether a table may be the root of a kernel: its entry for the image (on x86-64 the last one, with any
 * number of levels) is present; bit 0 means that on either architecture. A first check, which costs a
 * hundredth of a walk, because there may be thousands of decoys.
 */
function mapsImage(memory: PhysicalMemory, root: number, { paging }: KernelMapping, stext: number): boolean {
  const frame = root / PAGE_BYTES;
  const top = paging.table[0];
  assert(top !== undefined, "a paging mode has levels");
  const entries = 2 ** top.indexBits;
  const entry = (Math.floor(stext / 2 ** top.shift) % entries + entries) % entries;
  // A table may be larger than a frame, which has 512 entries.
  const place = frame + (entry >>> 9);
  return memory.locate(place) && memory.isHeld(place) &&
    ((memory.words[memory.wordBase + 2 * (entry & 511)] as number) & PTE_P) !== 0;
}

/** Whether the page tables map the image where the note says it is. */
function isBorneOut(note: Vmcoreinfo, space: AddressSpace): boolean {
  const mapping = kernelMapping(note);
  if (mapping === undefined || "unsupported" in mapping) return false;
  for (const name of ["_stext", "swapper_pg_dir"]) {
    const address = note.symbol(name);
    const gpa = imageGpa(mapping, address);
    if (address === undefined || gpa === undefined || space.translate(address) !== gpa) return false;
  }
  return true;
}

function isLive(note: Vmcoreinfo, space: AddressSpace, evidence: GuestEvidence): boolean {
  const { liveRoot, livePc } = evidence;
  if (space.paging.architecture === "aarch64") {
    if (liveRoot !== undefined && liveRoot - liveRoot % PAGE_BYTES !== space.root) return false;
    if (livePc === undefined || evidence.inUserMode === true) return true;
    const code = space.probe(livePc);
    return code.ok && code.executable && !code.user;
  }
  // A program counter in place of a root means that the CPU has another architecture.
  if (liveRoot === undefined) return livePc === undefined;
  // Bits 0-11 are flags or a PCID, bit 12 distinguishes the halves of KPTI's pair, bit 63 is a flag.
  const root = Math.floor((liveRoot % 2 ** 52 + 2 ** 52) % 2 ** 52 / 4096) * 4096;
  const stext = note.symbol("_stext");
  if (stext === undefined) return false;
  const gpa = space.translate(stext);
  return space.withRoot(root).translate(stext) === gpa ||
    space.withRoot(root - root % 8192).translate(stext) === gpa;
}

/** Physical address of a place in the kernel's image. */
function imageGpa({ imageOffset }: KernelMapping, address: number | undefined): number | undefined {
  if (address === undefined) return undefined;
  const gpa = address - imageOffset;
  return gpa >= 0 && gpa < 2 ** 52 ? gpa : undefined;
}
