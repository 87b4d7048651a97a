/**
 * What `info registers -a` tells about the virtual CPUs: whether one is in long mode, and under which
 * page-table root. Of an arm64 CPU QEMU tells no root, and not whether its MMU is on: what it executes tells
 * it, since firmware and boot loaders run in the lower half and no MMU reaches the upper one without tables.
 *
 * It is what keeps a dead kernel from being found: right after a reset all of the last kernel's memory is
 * still there, tables and note included, but no CPU runs under them.
 * @module
 */
import { parseAddress } from "../../base/ids.ts";

/** One virtual CPU of x86-64. */
export interface X64Vcpu {
  /** Whether it is in long mode with paging on. */
  readonly longMode: boolean;
  /** CR3 with its low flag bits; 52 bits of it. */
  readonly cr3: number;
  /** Whether it ran in user mode when it was asked. */
  readonly userMode: boolean;
}

/** One virtual CPU of arm64. */
export interface Arm64Vcpu {
  /** Whether it runs under page tables: in user mode, or in the upper half. */
  readonly longMode: boolean;
  /** Its program counter, as a signed number. */
  readonly pc: number;
  /** Whether it ran in user mode (EL0) when it was asked. */
  readonly userMode: boolean;
}

/** One virtual CPU. */
export type Vcpu = X64Vcpu | Arm64Vcpu;

const PAGING = 0x8000_0000;
const LONG_MODE_ACTIVE = 0x400;

/** Reads the text; a CPU whose registers cannot be found in it is left out. */
export function parseVcpus(text: string): Vcpu[] {
  const vcpus: Vcpu[] = [];
  for (const block of text.split(/^CPU#\d+/m)) {
    const cr0 = /\bCR0=([0-9a-f]+)/.exec(block)?.[1];
    const cr3 = /\bCR3=([0-9a-f]+)/.exec(block)?.[1];
    const efer = /\bEFER=([0-9a-f]+)/.exec(block)?.[1];
    const arm = armVcpu(block);
    if (arm !== undefined) {
      vcpus.push(arm);
      continue;
    }
    const cpl = /\bCPL=(\d)/.exec(block)?.[1];
    if (cr0 === undefined || cr3 === undefined || efer === undefined) continue;
    const paging = (parseInt(cr0, 16) & PAGING) !== 0;
    const long = (parseInt(efer, 16) & LONG_MODE_ACTIVE) !== 0;
    // Bits 52 to 63 are not an address, and would cost a double its low bits.
    const root = parseInt(cr3.slice(-13), 16);
    vcpus.push({ longMode: paging && long, cr3: root, userMode: cpl === "3" });
  }
  return vcpus;
}

/** PSTATE's bits 2 and 3 are the exception level; bit 4 is set in 32-bit mode, whose kernels are not read. */
function armVcpu(block: string): Arm64Vcpu | undefined {
  const pc = /\bPC=([0-9a-f]{16})\b/.exec(block)?.[1];
  const pstate = /\bPSTATE=([0-9a-f]{8})\b/.exec(block)?.[1];
  const address = pc === undefined ? undefined : parseAddress(`0x${pc}`);
  if (address === undefined || pstate === undefined) return undefined;
  const mode = parseInt(pstate, 16);
  const userMode = (mode & 0xc) === 0;
  return { longMode: (mode & 0x10) === 0 && (userMode || address < 0), pc: address, userMode };
}

/**
 * The CPU to judge by: one in kernel mode if there is one, since its root maps the kernel under any
 * isolation.
 */
export function liveVcpu(vcpus: readonly Vcpu[]): Vcpu | undefined {
  const live = vcpus.filter((vcpu) => vcpu.longMode);
  return live.find((vcpu) => !vcpu.userMode) ?? live[0];
}
