/**
 * The guest of the memory benches, and how figures are taken on it: q35, 2 GiB in a memfd, a program with
 * 64 MiB of known memory in 4 KiB pages, 200 processes.
 * @module
 */
import type { AddressSpace } from "../../src/guest/address_space.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { openQemuRam, type QemuRam } from "../../src/ram/qemu_ram.ts";
import { type Qemu, startGuest } from "../guest/qemu.ts";
import { type MemFloor, memFloor } from "./mem_floor.ts";

const MIB = 2 ** 20;
/** Bytes of the guest program's memory. */
export const PATTERN_BYTES: number = 64 * MIB;
/** Measured rounds of each figure. */
export const ROUNDS = 15;
/**
 * Unmeasured rounds before: the engine takes some tens to settle on its best code (measured: 12.5 ns, then
 * 9.2).
 */
export const WARM = 40;

/** What all figures are measured on. */
export interface Rig {
  vm: Qemu;
  ram: QemuRam;
  os: LinuxGuest;
  space: AddressSpace;
  base: number;
  floor: MemFloor;
  /** The mapping, as the floor is given it. */
  at: [Deno.PointerValue, bigint, bigint, bigint, number];
}

/** Boots the guest and opens its RAM. */
export async function makeRig(): Promise<Rig> {
  const vm = await startGuest({
    ramMiB: 2048,
    memory: "memfd",
    kernel: "cloud",
    programs: ["pattern", "procs"],
  });
  const pattern = await vm.agent.start("pattern", String(PATTERN_BYTES / MIB), "5");
  const ready = /^ready (\d+) 0x([0-9a-f]+)/.exec((await pattern.line()) ?? "");
  const procs = await vm.agent.start("procs", "160");
  await procs.lineMatching(/^ready/);
  const ram = openQemuRam(vm.pid);
  ram.memory.refresh();
  const found = findLinux(ram.memory);
  if (!found.found || ready === null) throw new Error("the bench's guest is not what it should be");
  const process = found.os.process(Number(ready[1]));
  if (process === undefined) throw new Error("the pattern program is not in the process list");
  const space = found.os.spaceOf(process);
  const { linear } = ram.memory;
  const pointer = Deno.UnsafePointer.of(linear as Int32Array<ArrayBuffer>);
  const size = BigInt(linear.length * 4);
  const at: Rig["at"] = [pointer, size, size, BigInt(space.root), space.paging.levels];
  return { vm, ram, os: found.os, space, base: parseInt(ready[2] ?? "", 16), floor: memFloor(), at };
}

/** Rounds of both sides in turn; each gives one figure. */
export function interleave(ours: () => number, peer: () => number): { ours: number[]; peer: number[] } {
  const out = { ours: [] as number[], peer: [] as number[] };
  for (let round = -WARM; round < ROUNDS; round++) {
    const a = ours();
    const b = peer();
    if (round < 0) continue;
    out.ours.push(a);
    out.peer.push(b);
  }
  return out;
}

/** Nanoseconds that each of n takes. */
export function nsEach(n: number, work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6 / n;
}
