/**
 * Who else has the host's end of a channel: QEMU serves one client of a socket, and two readers of a terminal
 * get half of its bytes each. QEMU does not say who it is; the kernel does, to whoever may see the processes.
 *
 * - A socket: the table of unix sockets says which ones were accepted at the path, SOCK_DIAG which is at the
 *   other end of one of QEMU's, and a process's descriptors whose that is.
 *   QEMU's may be either end.
 * - A terminal: a process has it open by its path and its mount's device; another container's terminals have
 *   the same paths.
 *
 * It is done a piece per turn of the loop: a host has hundreds of processes. No file of another process is
 * opened, so that no file system of a user's is asked; its path is only text, and the kernel's own number of
 * the mount says what it is.
 * @module
 */
import { folderNames } from "../../../ffi/folder.ts";
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { readInto } from "../../../ffi/stream.ts";
import { unixSocketFacts } from "../../../ffi/unix_diag.ts";
import { assert } from "../../base/assert.ts";
import { MS } from "../../base/clock.ts";
import { printable } from "../../base/printable.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { SocketTable } from "../../qemu/socket_table.ts";
import type { ChannelPlace } from "./channel_listing.ts";

/** How long one turn looks. */
const SLICE_NS = MS / 2;
/** Descriptors of another process that are looked at; this process may have more (`max_controls`). */
const MAX_FDS = 16_384;
/** What is read of the table of sockets; what comes behind is not looked at. */
const MAX_TABLE_BYTES = 8 * 2 ** 20;
const PIECE_BYTES = 65_536;

/** A process that has it. */
export interface ChannelHolder {
  /** Its number. */
  readonly pid: number;
  /** What it calls itself, printable. */
  readonly name: string;
}

/** The host's end of a channel. */
export type HeldPlace =
  | ChannelPlace
  /** QEMU connects to a unix socket, on which somebody else listens. */
  | { readonly kind: "called"; readonly path: string };

/** Told once: who has it; undefined when nobody has, or it cannot be told. */
export type HolderHandler = (holder: ChannelHolder | undefined) => void;

/**
 * What is told of a holder: within the 120 characters that go with a refusal.
 *
 * @param what it has: "the console"
 */
export function holderWords({ pid, name }: ChannelHolder, what: string): string {
  if (pid === Deno.pid) return `another endpoint of this daemon has ${what} of the VM`;
  const forWhom = /^(?:libvirtd|virtqemud|rpc-)/.test(name) ? ", for virsh or virt-manager" : "";
  return `another client has ${what}: process ${pid} (${name}${forWhom}); disconnect it there first`;
}

/** The same at once, for a program that has nothing else to do meanwhile. */
export function holderNow(place: HeldPlace, qemu: number): ChannelHolder | undefined {
  const look = lookFor(place, qemu);
  for (;;) {
    const step = look.next();
    if (step.done === true) return step.value;
  }
}

type Look = Generator<void, ChannelHolder | undefined>;

/**
 * Looks for the holder.
 *
 * @param qemu QEMU's process, which has an end of its own; 0 unknown
 */
export function findHolder(loop: LoopPort, place: HeldPlace, qemu: number, done: HolderHandler): void {
  const look = lookFor(place, qemu);
  const go = (): void => {
    const untilNs = loop.clock.nowNs() + SLICE_NS;
    do {
      const step = look.next();
      if (step.done === true) return done(step.value);
    } while (loop.clock.nowNs() < untilNs);
    loop.defer(go);
  };
  go();
}

function* lookFor(place: HeldPlace, qemu: number): Look {
  if (place.kind === "pty") return yield* terminalHolder(place.path, qemu);
  if (place.kind === "unix" && qemu > 0) return yield* socketHolder(place.path, qemu, false);
  if (place.kind === "called" && qemu > 0) return yield* socketHolder(place.path, qemu, true);
  return undefined;
}

/** @param isClient whether QEMU has connected to the path, and has not accepted there */
function* socketHolder(path: string, qemu: number, isClient: boolean): Look {
  const table = new SocketTable(new Set([path]));
  yield* readTable(table);
  const accepted = new Set(table.connected.get(path) ?? []);
  if (accepted.size === 0) return undefined;
  const peers = new Set<string>();
  for (const { target } of descriptorsOf(qemu)) {
    const number = numberOf(target);
    if (number === undefined || !(isClient || accepted.has(number))) continue;
    const peer = peerOf(Number(number));
    if (peer > 0 && (!isClient || accepted.has(`${peer}`))) peers.add(`socket:[${peer}]`);
    yield;
  }
  if (peers.size === 0) return undefined;
  return yield* processWith(qemu, (_pid, { target }) => peers.has(target));
}

function* terminalHolder(path: string, qemu: number): Look {
  const device = quietly(() => deviceName(Deno.statSync(path).dev));
  if (device === undefined) return undefined;
  return yield* processWith(qemu, (pid, { fd, target }) => {
    return target === path && mountDevice(pid, fd) === device;
  });
}

/** The first process but QEMU that has a descriptor which is meant. */
function* processWith(
  qemu: number,
  isMeant: (pid: number, file: Descriptor) => boolean,
): Look {
  for (const pid of pids()) {
    yield;
    if (pid === qemu) continue;
    for (const file of descriptorsOf(pid)) {
      if (isMeant(pid, file)) {
        const name = quietly(() => Deno.readTextFileSync(`/proc/${pid}/comm`)) ?? "?";
        return { pid, name: printable(name.replace(/\n$/, ""), 32) };
      }
      yield;
    }
  }
  return undefined;
}

function* readTable(table: SocketTable): Generator<void, void> {
  const opened = quietly(() => reopen("/proc/self/net/unix", OPEN.READ_ONLY));
  if (opened === undefined) return;
  using file = opened;
  const bytes = new Uint8Array(PIECE_BYTES);
  const decoder = new TextDecoder();
  for (let all = 0; all < MAX_TABLE_BYTES;) {
    const length = quietly(() => readInto(file.fd, bytes, 0, bytes.length)) ?? 0;
    if (length <= 0) return;
    all += length;
    table.take(decoder.decode(bytes.subarray(0, length), { stream: true }));
    yield;
  }
}

interface Descriptor {
  readonly fd: string;
  /** What its link says. */
  readonly target: string;
}

/** A process's descriptors, as far as they may be seen. */
function* descriptorsOf(pid: number): Generator<Descriptor, void> {
  const pieces = folderNames(`/proc/${pid}/fd`);
  let left = pid === Deno.pid ? Infinity : MAX_FDS;
  try {
    while (left > 0) {
      const piece = quietly(() => pieces.next());
      if (piece === undefined || piece.done === true) return;
      left -= piece.value.length;
      for (const fd of piece.value) {
        const target = quietly(() => Deno.readLinkSync(`/proc/${pid}/fd/${fd}`));
        if (target !== undefined) yield { fd, target };
      }
    }
  } finally {
    pieces.return();
  }
}

function pids(): number[] {
  const names = quietly(() => [...Deno.readDirSync("/proc")]) ?? [];
  return names.filter(({ name }) => /^[1-9]\d{0,9}$/.test(name)).map(({ name }) => Number(name));
}

function numberOf(target: string): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(target)?.[1];
}

/** The number of the socket at the other end of one; 0 when that cannot be told. */
function peerOf(number: number): number {
  const facts = quietly(() => unixSocketFacts(number));
  return facts?.isConnected === true ? facts.peer : 0;
}

/** The device of the mount by which a process has a file open. */
function mountDevice(pid: number, fd: string): string | undefined {
  return deviceOfMount(beginningOf(`/proc/${pid}/fdinfo/${fd}`), () => beginningOf(`/proc/${pid}/mountinfo`));
}

/**
 * The device of the mount by which a file is open, as /proc writes it: "0:24"; undefined when it is not told.
 *
 * @param info the file's /proc/PID/fdinfo
 * @param mounts reads the process's mountinfo
 */
export function deviceOfMount(info: string, mounts: () => string): string | undefined {
  const mount = /^mnt_id:\s+(\d{1,19})$/m.exec(info)?.[1];
  if (mount === undefined) return undefined;
  return new RegExp(`^${mount} \\d{1,19} (\\d{1,10}:\\d{1,10}) `, "m").exec(mounts())?.[1];
}

/** Of a text whose length a process chooses: its mounts, its locks of a file. "" when it may not be seen. */
function beginningOf(path: string): string {
  return quietly(() => {
    const bytes = new Uint8Array(PIECE_BYTES);
    using file = reopen(path, OPEN.READ_ONLY);
    let length = 0;
    for (let got = 1; got > 0 && length < bytes.length; length += Math.max(got, 0)) {
      got = readInto(file.fd, bytes, length, bytes.length - length);
    }
    return new TextDecoder().decode(bytes.subarray(0, length));
  }) ?? "";
}

/** A device's number in two parts: glibc's makedev. */
function deviceName(dev: number): string {
  assert(dev >= 0, "a device has a number");
  const n = BigInt(dev);
  const major = ((n >> 8n) & 0xfffn) | ((n >> 32n) & 0xfffff000n);
  const minor = (n & 0xffn) | ((n >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** What may not be seen, or has gone, tells nothing. */
function quietly<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof OsError || error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
      return undefined;
    }
    // A process that has just ended gives ESRCH, for which Deno has no class; a name may not be valid text.
    if (error instanceof Deno.errors.InvalidData || (error instanceof Error && "code" in error)) {
      return undefined;
    }
    throw error;
  }
}
