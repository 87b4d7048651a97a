/**
 * What a GDB session debugs: threads with registers, memory, and a run state. There are two implementations:
 * a VM with its processors, and one process of its guest (`vm_target.ts`, `process_target.ts`).
 * @module
 */
import type { RegisterLayout, RegisterValues } from "./x86_registers.ts";

/** A thread. */
export interface GdbThread {
  /** Its number, from 1. */
  readonly id: number;
  /** Its description for a person. */
  readonly name: string;
}

/** A target. What it cannot do it reports by a Fault. */
export interface GdbTarget {
  /** Its registers. */
  readonly layout: RegisterLayout;
  /** Its threads; at least one. */
  threads(): Promise<readonly GdbThread[]>;
  /** Registers of a thread; unknown ones are omitted. */
  registers(id: number): Promise<RegisterValues>;
  /** Bytes at an address, as far as they can be read. */
  read(address: number, length: number): Promise<Uint8Array>;
  /** Writes bytes; up to 4 KiB atomically. */
  write(address: number, bytes: Uint8Array): Promise<void>;
  /** Whether the VM runs. */
  isRunning(): Promise<boolean>;
  /** Stops the VM until {@linkcode GdbTarget.cont} or {@linkcode GdbTarget.leave}. */
  stop(): Promise<void>;
  /** Resumes the VM. */
  cont(): Promise<void>;
  /** The auxiliary vector of a process. */
  auxv(): Uint8Array | undefined;
  /** The offset of the kernel from its link address (KASLR); undefined if unknown. */
  offset(): bigint | undefined;
  /** Resumes the VM if this session had stopped it, and releases leases. */
  leave(): Promise<void>;
}
