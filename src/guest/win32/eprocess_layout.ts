/**
 * The offsets of fields in a Windows build's process object (EPROCESS), learnt from the System process and
 * its neighbours, because there is no profile. What is at the same place in every build is a constant here.
 *
 * The numbers come from the guest, so each one is confirmed by a second fact: a list must lead back, a PEB
 * must look like one in its own process's address space, an address tree must contain that PEB. What is not
 * confirmed stays undefined, and code that needs it says so.
 * @module
 */
import type { AddressSpace } from "../address_space.ts";
import { MAX_SAMPLE_PROCESSES } from "../../base/limits.ts";
import { isKernelPointer, KERNEL_LINKS, walkLinks } from "./link_walk.ts";
import type { PeImage } from "./pe_image.ts";
import { looksLikePeb } from "./peb.ts";
import { VadShape } from "./vad_tree.ts";

/** The same in every build: DISPATCHER_HEADER.Type, which is 3 for a process. */
export const HEADER_TYPE_AT = 0;
/** The same in every build: DISPATCHER_HEADER.SignalState, set once a process has ended. */
export const SIGNAL_STATE_AT = 4;
/** The same in every x64 build: KPROCESS.DirectoryTableBase. */
const DIRECTORY_TABLE_BASE_AT = 0x28;
/** DISPATCHER_HEADER.Type of a process. */
export const PROCESS_OBJECT = 3;
/** Bytes of ImageFileName. */
export const IMAGE_NAME_BYTES = 15;
/** The System process's number. */
export const SYSTEM_PID = 4;

const SEARCH_END = 0x900;
const PEB_FROM = 0x280;
const PEB_TO = 0x578;
const FIRST_NAMES: readonly string[] = ["smss.exe", "Registry"];
const SECURE_PREFIX = "Secure S";
const MAX_PID = 0x1000_0000;

/** Offsets in EPROCESS. Those that may be undefined were not found. */
export interface EprocessLayout {
  /** UniqueProcessId. */
  readonly pid: number;
  /** ActiveProcessLinks. */
  readonly links: number;
  /** ImageFileName. */
  readonly name: number;
  /** Peb. */
  readonly peb: number | undefined;
  /** InheritedFromUniqueProcessId. */
  readonly inheritedFrom: number | undefined;
  /**
   * KPROCESS.UserDirectoryTableBase: only found where user code runs under tables of its own (KVA shadow).
   */
  readonly userRoot: number | undefined;
  /** KPROCESS.ProcessListEntry: the scheduler's list, which still holds what was unlinked from the other. */
  readonly scheduled: number | undefined;
  /** Offset of VadRoot, and the layout of its nodes. */
  readonly vad: VadShape | undefined;
}

/** The result of learning a layout. */
export type LayoutResult =
  | { readonly ok: true; readonly layout: EprocessLayout }
  | { readonly ok: false; readonly why: string };

/** A process that the layout is learnt from. */
interface Sample {
  readonly object: number;
  readonly pid: number;
  readonly space: AddressSpace;
}

/** Guest-physical address of a process's root table; undefined if it cannot be read. */
export function rootOf(
  space: AddressSpace,
  object: number,
  offset: number = DIRECTORY_TABLE_BASE_AT,
): number | undefined {
  if (!space.load64(object, offset)) return undefined;
  return ((space.hi & 0xf_ffff) * 2 ** 20 + (space.lo >>> 12)) * 4096;
}

/** Whether a number is a plausible pid: not 0, a multiple of 4, not absurdly large. */
export function isPid(hi: number, lo: number): boolean {
  return hi === 0 && lo > 0 && lo < MAX_PID && lo % 4 === 0;
}

/**
 * Learns the layout.
 *
 * @param space the kernel's address space
 * @param kernel the kernel's image
 * @param system the System process's object
 */
export function learnLayout(space: AddressSpace, kernel: PeImage, system: number): LayoutResult {
  const names = namePlaces(space, system);
  if (names.length === 0) {
    return { ok: false, why: "PsInitialSystemProcess leads to no process named System" };
  }
  const linked = linkPlaces(space, kernel, system, names);
  if (typeof linked === "string") return { ok: false, why: linked };
  const [pid, name] = linked;
  const links = pid + 8;
  const samples = sampleProcesses(space, kernel, system, pid);
  const peb = pebPlace(space, system, samples);
  const users = peb === undefined ? [] : samples.filter(({ object }) => space.readS64(object, peb) !== 0);
  const layout = {
    pid,
    links,
    name,
    peb,
    inheritedFrom: parentPlace(space, system, samples, links, peb),
    userRoot: peb === undefined ? undefined : userRootPlace(space, kernel, users, pid, peb),
    scheduled: scheduledPlace(space, kernel, system, samples, pid),
    vad: peb === undefined ? undefined : vadPlace(space, users, name, peb),
  };
  return { ok: true, layout };
}

/** Where the System process's object says "System". */
function namePlaces(space: AddressSpace, system: number): number[] {
  const bytes = new Uint8Array(SEARCH_END + 8);
  const have = space.read(system, bytes);
  const view = new DataView(bytes.buffer);
  const places: number[] = [];
  for (let at = 0x80; at + 8 <= have; at += 4) {
    // "Syst", "em\0\0".
    if (view.getUint32(at, true) === 0x7473_7953 && view.getUint32(at + 4, true) === 0x6d65) places.push(at);
  }
  return places;
}

/** Offsets of the number and of the name, or what is wrong. */
function linkPlaces(
  space: AddressSpace,
  kernel: PeImage,
  system: number,
  names: readonly number[],
): readonly [number, number] | string {
  let alone = false;
  for (let pid = 0x80; pid < SEARCH_END; pid += 8) {
    if (!space.load64(system, pid) || space.hi !== 0 || space.lo !== SYSTEM_PID) continue;
    const next = space.readS64(system, pid + 8);
    if (!isKernelPointer(next) || space.readS64(next, 8) !== system + pid + 8) continue;
    alone ||= isInImage(kernel, next) && space.readS64(next, 0) === system + pid + 8;
    for (const name of names) {
      const text = space.cstring(next - (pid + 8) + name, IMAGE_NAME_BYTES);
      if (text === undefined) continue;
      if (FIRST_NAMES.includes(text) || text.startsWith(SECURE_PREFIX)) return [pid, name];
    }
  }
  return alone
    ? "only the System process runs yet"
    : "no number 4 in the System process is followed by a list that leads to smss.exe, Registry or Secure System";
}

/** Whether an address lies in the kernel's image: a list's head does, an element does not. */
export function isInImage(kernel: PeImage, address: number): boolean {
  return address >= kernel.base && address < kernel.base + kernel.sizeBytes;
}

/** The first processes of the list without System, including those whose pid or tables are not plausible. */
function sampleProcesses(space: AddressSpace, kernel: PeImage, system: number, pid: number): Sample[] {
  const samples: Sample[] = [];
  walkLinks(space, system + pid + 8, KERNEL_LINKS, MAX_SAMPLE_PROCESSES, (link) => {
    const object = link - (pid + 8);
    const root = rootOf(space, object);
    if (isInImage(kernel, link) || root === undefined || !space.load64(object, pid)) return true;
    if (!isPid(space.hi, space.lo) || !space.memory.isRam(root)) return true;
    const number = space.lo;
    if (space.readS32(object, SIGNAL_STATE_AT) !== 0) return true;
    samples.push({ object, pid: number, space: space.withRoot(root) });
    return true;
  });
  return samples;
}

/** The offset that fits most samples; the lowest of several; undefined if none does. */
function elect(from: number, to: number, votes: (offset: number) => number): number | undefined {
  let best: number | undefined;
  let most = 0;
  for (let offset = from; offset <= to; offset += 8) {
    const count = votes(offset);
    if (count > most) {
      most = count;
      best = offset;
    }
  }
  return best;
}

function pebPlace(space: AddressSpace, system: number, samples: readonly Sample[]): number | undefined {
  return elect(PEB_FROM, PEB_TO, (offset) => {
    if (space.readS64(system, offset) !== 0) return 0;
    return samples.filter((s) => looksLikePeb(s.space, space.readS64(s.object, offset))).length;
  });
}

/**
 * A parent's number: none for System, 4 for the processes that System starts, and a number that looks like
 * one for all.
 */
function parentPlace(
  space: AddressSpace,
  system: number,
  samples: readonly Sample[],
  links: number,
  peb: number | undefined,
): number | undefined {
  const pids = new Set(samples.map((s) => s.pid));
  return elect(links + 16, peb ?? PEB_TO, (offset) => {
    if (space.readS64(system, offset) !== 0) return 0;
    let known = 0;
    for (const { object, pid } of samples) {
      if (!space.load64(object, offset) || !isPid(space.hi, space.lo) || space.lo === pid) return 0;
      if (space.lo === SYSTEM_PID || pids.has(space.lo)) known++;
    }
    // System's first child, at least, is a child of System.
    const first = samples[0];
    return first !== undefined && space.readS64(first.object, offset) === SYSTEM_PID ? known : 0;
  });
}

/** A second root under which the PEB is the same page and the kernel's image is not mapped. */
function userRootPlace(
  space: AddressSpace,
  kernel: PeImage,
  users: readonly Sample[],
  pid: number,
  peb: number,
): number | undefined {
  return elect(0x30, pid - 8, (at) =>
    users.filter((user) => {
      const root = rootOf(space, user.object, at);
      if (
        root === undefined || root === 0 || root === user.space.root || !space.memory.isRam(root)
      ) return false;
      const other = space.withRoot(root);
      const address = space.readS64(user.object, peb);
      const page = user.space.translate(address);
      return page >= 0 && other.translate(address) === page && other.translate(kernel.base) < 0;
    }).length);
}

/** A second list of the same processes, below the number: that of the scheduler. */
function scheduledPlace(
  space: AddressSpace,
  kernel: PeImage,
  system: number,
  samples: readonly Sample[],
  pid: number,
): number | undefined {
  const known = new Set([system, ...samples.map((s) => s.object)]);
  return elect(0x30, pid - 16, (offset) => {
    let votes = 0;
    for (const object of known) {
      const next = space.readS64(object, offset);
      if (!isKernelPointer(next) || isInImage(kernel, next) || next === object + offset) continue;
      if (space.readS64(next, 8) === object + offset && known.has(next - offset)) votes++;
    }
    // A neighbour may have ended or been unlinked, but half of them must match.
    return votes * 2 >= known.size - 1 ? votes : 0;
  });
}

/** The root of a balanced tree of address ranges that holds the PEB, in most processes. */
function vadPlace(
  space: AddressSpace,
  users: readonly Sample[],
  name: number,
  peb: number,
): VadShape | undefined {
  const offset = elect(name, SEARCH_END, (at) =>
    users.filter((user) => {
      const address = space.readS64(user.object, peb);
      return VadShape.holds(space, space.readS64(user.object, at), address);
    }).length);
  return offset === undefined ? undefined : VadShape.learn(
    space,
    offset,
    users.map((user) => {
      const address = space.readS64(user.object, peb);
      const image = user.space.readU64(address, 0x10);
      return { root: space.readS64(user.object, offset), peb: address, image };
    }),
  );
}
