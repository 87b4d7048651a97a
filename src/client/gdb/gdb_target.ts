/**
 * What a GDB session looks at and steers: threads with registers, memory, and whether it runs. Two are made
 * of it: a VM with its processors, and one process of its guest (`vm_target.ts`, `process_target.ts`).
 * @module
 */
import type { RegisterLayout, RegisterValues } from "./x86_registers.ts";

/** A thread. */
export interface GdbThread {
  /** Its number, from 1. */
  readonly id: number;
  /** For a person. */
  readonly name: string;
}

/** A target. Whatever it cannot do it says by a Fault. */
export interface GdbTarget {
  /** Its registers. */
  readonly layout: RegisterLayout;
  /** Its threads, the first one first; at least one. */
  threads(): Promise<readonly GdbThread[]>;
  /** Registers of a thread; none that are not known. */
  registers(id: number): Promise<RegisterValues>;
  /** Bytes at an address, as far as they can be read. */
  read(address: number, length: number): Promise<Uint8Array>;
  /** Writes bytes, up to 4 KiB all of them or none. */
  write(address: number, bytes: Uint8Array): Promise<void>;
  /** Whether the VM runs. */
  isRunning(): Promise<boolean>;
  /** Stops the VM, and holds it until {@linkcode GdbTarget.cont} or {@linkcode GdbTarget.leave}. */
  stop(): Promise<void>;
  /** Lets it run. */
  cont(): Promise<void>;
  /** The auxiliary vector of a process. */
  auxv(): Uint8Array | undefined;
  /** By how much the kernel was moved from where it was linked; undefined when that is not known. */
  offset(): bigint | undefined;
  /** The VM runs again when this session had stopped it; leases are given back. */
  leave(): Promise<void>;
}
