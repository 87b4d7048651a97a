/**
 * Finds a Linux kernel in RAM, without a profile: by its VMCOREINFO note, and only if its page tables bear
 * the note out.
 *
 * A note is believed when walking from its `swapper_pg_dir` maps `_stext` and `swapper_pg_dir` itself to
 * where the note says that the image lies; when the caller knows the live page-table root (a vCPU's CR3),
 * that one must map `_stext` there too. The last boot's note, which survives a reset, fails this.
 * @module
 */
import { AddressSpace } from "../address_space.ts";
import type { GuestEvidence } from "../find_guest.ts";
import type { FindResult } from "../guest_os.ts";
import { pagingOf } from "../paging.ts";
import type { PhysicalMemory } from "../physical_memory.ts";
import { LinuxGuest } from "./linux_guest.ts";
import { linuxPage } from "./software_page.ts";
import { checkProfile, readProfile } from "./profile.ts";
import { findNotes, NOT_IN_RAM, Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where x86-64 maps the kernel's image: 0xffffffff80000000. */
const IMAGE_MAP = -0x8000_0000;

/**
 * Looks for a Linux kernel.
 *
 * @param memory the guest's RAM, refreshed
 * @param options a cache of profiles (by BUILD-ID), a live root, whether to keep the symbol table (3 to 5 MB)
 */
export function findLinux(memory: PhysicalMemory, options: GuestEvidence = {}): FindResult<LinuxGuest> {
  let seen = 0;
  for (const note of notesOf(memory)) {
    seen++;
    const space = spaceOf(memory, note);
    if (space === undefined || !isBorneOut(note, space) || !isLive(note, space, options.liveRoot)) continue;
    const buildId = note.line("BUILD-ID");
    const cached = buildId === undefined ? undefined : checkProfile(options.cache?.get(buildId));
    if (typeof cached === "object" && cached.buildId === buildId) {
      const guest = new LinuxGuest(note, space, cached, isBorneOut);
      // A cache that lies shows here: its init_task does not head a list.
      if (guest.processes().end.complete) return { found: true, os: guest };
    }
    const read = readProfile(space, note);
    if (!read.ok) {
      const release = note.line("OSRELEASE") ?? "?";
      return {
        found: false,
        reason: "unsupported",
        system: "linux",
        detail: `Linux ${release}: ${read.unsupported}`,
      };
    }
    if (buildId !== undefined) options.cache?.set(buildId, read.profile);
    const table = options.keepTable === false ? undefined : read.table;
    return { found: true, os: new LinuxGuest(note, space, read.profile, isBorneOut, table) };
  }
  const detail = seen === 0
    ? "no VMCOREINFO note in RAM"
    : `${seen} VMCOREINFO note(s) in RAM, none of a kernel that runs now`;
  return { found: false, reason: "no-kernel", detail };
}

/**
 * The notes, the likeliest first: a dump may tell its kernel's in its header, which spares the search (and
 * unpacking all of the dump for it).
 */
function* notesOf(memory: PhysicalMemory): Generator<Vmcoreinfo> {
  const told = memory.port.vmcoreinfo;
  if (told !== undefined) yield new Vmcoreinfo(NOT_IN_RAM, told);
  yield* findNotes(memory);
}

function spaceOf(memory: PhysicalMemory, note: Vmcoreinfo): AddressSpace | undefined {
  const root = imageGpa(note, note.symbol("swapper_pg_dir"));
  if (root === undefined || root % 4096 !== 0) return undefined;
  const levels = note.number("pgtable_l5_enabled") === 1 ? 5 : 4;
  return new AddressSpace(memory, pagingOf(levels), root, linuxPage);
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
