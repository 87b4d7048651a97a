/**
 * How QEMU's pc, q35 and microvm machines split their RAM at the hole below 4 GiB: used when there is no
 * monitor.
 *
 * pc keeps all RAM low below 3584 MiB, else 3 GiB; q35 all below 2816 MiB, else 2 GiB; `max-ram-below-4g`
 * lowers it; microvm keeps 3 GiB low (measured on QEMU 7.2.22, exact at the borders). The rest starts
 * at 4 GiB. Machines with so much
 * memory that an AMD vCPU moves it to 1 TiB need the flat view.
 *
 * arm64's virt has no hole: all RAM is contiguous from 1 GiB on. Other architectures have a machine of that
 * name too, so the program's name decides.
 * @module
 */
import { Fault } from "../base/fault.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Above this address an AMD machine avoids the HyperTransport range. */
const AMD_LIMIT = 0xfd_0000_0000;

/** A machine family with a known split. */
export type MachineFamily = "pc" | "q35" | "microvm";

/** The family of a machine type: "pc-i440fx-7.2" is pc, "pc-q35-7.2" is q35; undefined for others. */
export function machineFamily(type: string): MachineFamily | undefined {
  if (type === "q35" || type.startsWith("pc-q35")) return "q35";
  if (type === "pc" || type.startsWith("pc-i440fx")) return "pc";
  return type === "microvm" ? "microvm" : undefined;
}

/** Start of RAM in arm64's virt. */
export const ARM_VIRT_BASE: number = GIB;
const ARM_PROGRAM = /qemu-system-(?:aarch64|arm)(?![a-z0-9])/;

/**
 * Whether a machine is arm64's virt ("virt", "virt-7.2").
 *
 * @param type the machine type
 * @param program the path of the QEMU that runs it, from its command line
 */
export function isArmVirt(type: string, program: string): boolean {
  return /^virt(?:-[0-9.]+)?$/.test(type) && ARM_PROGRAM.test(program.slice(program.lastIndexOf("/") + 1));
}

/**
 * Size of RAM below the hole, bytes.
 *
 * @param family the machine's family
 * @param ramBytes size of all RAM, bytes
 * @param maxBelow `max-ram-below-4g`, if given
 * @throws {Fault} `not-supported` for a machine so large that the rule does not apply
 */
export function lowRamBytes(family: MachineFamily, ramBytes: number, maxBelow?: number): number {
  if (isPastRule(ramBytes)) {
    throw new Fault(
      "not-supported",
      "Cannot tell where a machine of about 1 TiB has its RAM: give the daemon its QMP socket",
    );
  }
  let low: number;
  if (family === "microvm") low = 3 * GIB;
  else if (family === "pc") {
    const limit = maxBelow ?? 3584 * MIB;
    low = ramBytes >= limit ? Math.min(limit, 3 * GIB) : limit;
  } else {
    low = Math.min(ramBytes >= 2816 * MIB ? 2 * GIB : 2816 * MIB, maxBelow ?? 4 * GIB);
  }
  return Math.min(low, ramBytes);
}

/** Whether a machine has so much RAM (about 1 TiB) that QEMU's rule depends on the processor as well. */
export function isPastRule(ramBytes: number): boolean {
  return ramBytes + 4 * GIB >= AMD_LIMIT;
}

/**
 * Address of the first memory device (DIMM, virtio-mem) without a given address: the next GiB boundary after
 * RAM.
 *
 * @param ramBytes size of RAM without devices, bytes
 * @param low size of RAM below the hole, bytes
 */
export function deviceMemoryBase(ramBytes: number, low: number): number {
  return Math.ceil((4 * GIB + ramBytes - low) / GIB) * GIB;
}
