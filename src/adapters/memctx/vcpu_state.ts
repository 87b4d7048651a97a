/**
 * What `info registers -a` tells about the virtual CPUs: whether one is in long mode, and under which
 * page-table root.
 *
 * It is what keeps a dead kernel from being found: right after a reset all of the last kernel's memory is
 * still there, tables and note included, but no CPU runs under them.
 * @module
 */

/** One virtual CPU. */
export interface Vcpu {
  /** Whether it is in long mode with paging on. */
  readonly longMode: boolean;
  /** CR3 with its low flag bits; 52 bits of it. */
  readonly cr3: number;
  /** Whether it ran in user mode when it was asked. */
  readonly userMode: boolean;
}

const PAGING = 0x8000_0000;
const LONG_MODE_ACTIVE = 0x400;

/** Reads the text; a CPU whose registers cannot be found in it is left out. */
export function parseVcpus(text: string): Vcpu[] {
  const vcpus: Vcpu[] = [];
  for (const block of text.split(/^CPU#\d+/m)) {
    const cr0 = /\bCR0=([0-9a-f]+)/.exec(block)?.[1];
    const cr3 = /\bCR3=([0-9a-f]+)/.exec(block)?.[1];
    const efer = /\bEFER=([0-9a-f]+)/.exec(block)?.[1];
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

/**
 * The CPU to judge by: one in kernel mode if there is one, since its root maps the kernel under any
 * isolation.
 */
export function liveVcpu(vcpus: readonly Vcpu[]): Vcpu | undefined {
  const live = vcpus.filter((vcpu) => vcpu.longMode);
  return live.find((vcpu) => !vcpu.userMode) ?? live[0];
}
