/**
 * Finds a Linux kernel in RAM, without a profile: by its VMCOREINFO note, and only if its page tables bear
 * the note out.
 *
 * A note is believed when walking from its `swapper_pg_dir` maps `_stext` and `swapper_pg_dir` itself to
 * where the note says that the image lies; when the caller knows the live page-table root (a vCPU's CR3),
 * that one must map `_stext` there too. The last boot's note, which survives a reset, fails this.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { AddressSpace } from "../address_space.ts";
import type { GuestEvidence } from "../find_guest.ts";
import type { FindResult } from "../guest_os.ts";
import { pagingOf, PTE_P } from "../paging.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../physical_memory.ts";
import { LinuxGuest } from "./linux_guest.ts";
import { linuxPage } from "./software_page.ts";
import { checkProfile, readProfile } from "./profile.ts";
import { findNotes, NOT_IN_RAM, readNote, Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where x86-64 maps the kernel's image: 0xffffffff80000000. */
const IMAGE_MAP = -0x8000_0000;

/**
 * Looks for a Linux kernel.
 *
 * @param memory the guest's RAM, refreshed
 * @param options a cache of profiles (by BUILD-ID), a live root, whether to keep the symbol table (3 to 5
 *   MB), where the note was before
 */
export function findLinux(memory: PhysicalMemory, options: GuestEvidence = {}): FindResult<LinuxGuest> {
  const { foundAt, liveRoot } = options;
  const isCandidate = (note: Vmcoreinfo): boolean => {
    const space = spaceOf(memory, note);
    return space !== undefined && isBorneOut(note, space) && isLive(note, space, liveRoot);
  };
  // A dump may tell its kernel's note in its header, which spares the search (and unpacking all of it for
  // that); a note that was found before mostly is where it was.
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
    // A note that is borne out may still be a copy that somebody has written with other lines in it.
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
  const lack = missingRam(memory);
  const detail = seen === 0
    ? "no VMCOREINFO note in RAM"
    : `${seen} VMCOREINFO note(s) in RAM, none of a kernel that runs now${lack === "" ? "" : `; ${lack}`}`;
  return { found: false, reason: "no-kernel", detail };
}

/** Reads what must be known of a note's kernel. */
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
  if (typeof cached === "object" && cached.buildId === buildId) {
    const guest = new LinuxGuest(note, space, cached, isBorneOut);
    // A cache that lies shows here: its init_task does not head a list.
    if (guest.processes().end.complete) return { found: true, os: guest };
  }
  const read = readProfile(space, note);
  if (!read.ok) {
    const release = note.line("OSRELEASE") ?? "?";
    const lack = missingRam(memory);
    const why = lack === "" ? read.unsupported : `${lack} (without it, ${read.unsupported})`;
    return { found: false, reason: "unsupported", system: "linux", detail: `Linux ${release}: ${why}` };
  }
  if (buildId !== undefined) cache?.set(buildId, read.profile);
  const table = keepTable === false ? undefined : read.table;
  return { found: true, os: new LinuxGuest(note, space, read.profile, isBorneOut, table) };
}

/** What to say when tables or data led to memory that was not opened: a DIMM that is not shared, say. */
function missingRam({ missedFrame, endGpa }: PhysicalMemory): string {
  if (missedFrame < 0) return "";
  const where = `0x${(missedFrame * PAGE_BYTES).toString(16)}`;
  return `RAM at ${where} is missing: what was opened ends at 0x${endGpa.toString(16)}`;
}

function spaceOf(memory: PhysicalMemory, note: Vmcoreinfo): AddressSpace | undefined {
  const root = imageGpa(note, note.symbol("swapper_pg_dir"));
  if (root === undefined || root % 4096 !== 0 || !mapsImage(memory, root)) return undefined;
  const levels = note.number("pgtable_l5_enabled") === 1 ? 5 : 4;
  return new AddressSpace(memory, pagingOf(levels), root, linuxPage);
}

/**
 * Whether a table may be the root of a kernel: its last entry, under which the image lies with any number of
 * levels, is present. A first look, which costs a hundredth of an address space: decoys come in thousands.
 */
function mapsImage(memory: PhysicalMemory, root: number): boolean {
  const frame = root / PAGE_BYTES;
  return memory.locate(frame) && memory.isHeld(frame) &&
    ((memory.words[memory.wordBase + 2 * 511] as number) & PTE_P) !== 0;
}

/** Whether the page tables map the image where the note says it is. */
function isBorneOut(note: Vmcoreinfo, space: AddressSpace): boolean {
  for (const name of ["_stext", "swapper_pg_dir"]) {
    const address = note.symbol(name);
    const gpa = imageGpa(note, address);
    if (address === undefined || gpa === undefined || space.translate(address) !== gpa) return false;
  }
  return true;
}

function isLive(note: Vmcoreinfo, space: AddressSpace, liveRoot: number | undefined): boolean {
  if (liveRoot === undefined) return true;
  // Bits 0-11 are flags or a PCID, bit 12 tells the halves of KPTI's pair apart, bit 63 is a flag.
  const root = Math.floor((liveRoot % 2 ** 52 + 2 ** 52) % 2 ** 52 / 4096) * 4096;
  const stext = note.symbol("_stext");
  if (stext === undefined) return false;
  const gpa = space.translate(stext);
  return space.withRoot(root).translate(stext) === gpa ||
    space.withRoot(root - root % 8192).translate(stext) === gpa;
}

/** Physical address of a place in the kernel's image. */
function imageGpa(note: Vmcoreinfo, address: number | undefined): number | undefined {
  const physBase = note.number("phys_base");
  if (address === undefined || physBase === undefined) return undefined;
  const gpa = address - IMAGE_MAP + physBase;
  return gpa >= 0 && gpa < 2 ** 52 ? gpa : undefined;
}
