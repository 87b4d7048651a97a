/**
 * What the memory tests compare: the guest's own /proc, read by its agent, in the shape that src/guest gives
 * it.
 * @module
 */
import { assertEquals } from "@std/assert";
import type { MemoryMap, Module } from "../../src/guest/process.ts";
import type { GuestOs } from "../../src/guest/guest_os.ts";
import type { Qemu as Guest } from "./qemu.ts";

/** How long a guest that runs is looked at again before a difference counts. */
const LOOKS_MS = 60_000;

/** A process as the guest itself shows it. */
export interface OwnProcess {
  pid: number;
  ppid: number;
  name: string;
}

/** The guest's own list: each numbered folder of /proc. One that ends meanwhile is left out. */
export async function ownProcesses(vm: Guest): Promise<OwnProcess[]> {
  const out: OwnProcess[] = [];
  for (const name of await vm.agent.list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const stat = await vm.agent.cat(`/proc/${name}/stat`).catch(() => undefined);
    const match = stat === undefined ? null : /^(\d+) \((.*)\) \S (\d+) /s.exec(stat);
    if (match !== null) out.push({ pid: Number(match[1]), ppid: Number(match[3]), name: match[2]! });
  }
  return out.sort((a, b) => a.pid - b.pid);
}

/**
 * The same as the host sees it. A work queue's thread adds what it works on to its name when /proc is read:
 * cut.
 */
export function hostProcesses(os: GuestOs): OwnProcess[] {
  return [...os.processes().items].map(({ pid, ppid, name }) => ({ pid, ppid, name })).sort((a, b) =>
    a.pid - b.pid
  );
}

/**
 * The numbers of a guest's processes are those that its own /proc shows. A guest that runs starts and ends
 * kernel threads: what differs is looked at again.
 *
 * @param seen the numbers as seen from the host, looked at anew each time
 */
export async function checkPids(vm: Guest, seen: () => readonly number[]): Promise<void> {
  const sorted = (pids: readonly number[]) => pids.toSorted((a, b) => a - b);
  let [own, host]: number[][] = [];
  for (const endMs = performance.now() + LOOKS_MS; performance.now() < endMs;) {
    own = sorted((await vm.agent.list("/proc")).filter((name) => /^\d+$/.test(name)).map(Number));
    host = sorted(seen());
    if (`${own}` === `${host}`) return;
  }
  assertEquals(host, own);
}

/** A name without what a kworker adds to it ("kworker/0:1-events"). */
export function plainName(process: OwnProcess): OwnProcess {
  return process.name.startsWith("kworker/")
    ? { ...process, name: process.name.replace(/[-+][^/]*$/, "") }
    : process;
}

/** The text of /proc/PID/maps as mappings. */
export function parseMaps(text: string): MemoryMap[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *(.*)$/.exec(line)!;
    const address = (hex: string) => Number(BigInt.asIntN(64, BigInt("0x" + hex)));
    return {
      start: address(match[1]!),
      end: address(match[2]!),
      perms: match[3]!,
      fileOffset: parseInt(match[4]!, 16),
      name: match[5]!,
    };
  });
}

/** The text of /proc/modules as modules. */
export function parseModules(text: string): Module[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const words = line.split(" ");
    const base = Number(BigInt.asIntN(64, BigInt(words[5]!)));
    return { base, sizeBytes: Number(words[1]), name: words[0]! };
  });
}

/** KiB that a field of /proc/PID/status of a host process has. */
export function statusKib(pid: number, field: string): number {
  const text = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? NaN);
}
