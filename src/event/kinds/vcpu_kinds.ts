/**
 * Kinds of a VM's virtual processors: their registers, as QEMU tells them. Whoever may read the memory of a
 * VM may read what its processors hold of it.
 * @module
 */
import * as inline from "../body_layout.ts";
import { ADDRESSED, anyOf, type KindRow, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";
import { BASE_CAPS as CAP } from "./base_caps.ts";

/** The registers of VCPU_STATE's body, a u64 each, in this order. */
export const VCPU_REGISTERS = [
  ...["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"],
  ...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
  ...["rip", "rflags", "cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base"],
  ...["cr0", "cr2", "cr3", "cr4", "efer"],
] as const;
/** Bytes of that body. */
export const VCPU_STATE_BYTES: number = 8 * VCPU_REGISTERS.length;

/** Rows of the catalogue. */
export const VCPU_KINDS = {
  VCPU_STATE: {
    // The answer: how many processors there are, and the registers of one where they were asked for.
    number: 130,
    way: "up",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.VCPU_STATE,
    needs: ADDRESSED,
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: VCPU_STATE_BYTES,
  },
  CMD_VCPU: {
    number: 131,
    way: "down",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.VCPU_REQUEST,
    needs: anyOf(CAP.MEMCTX),
    ...PLAIN,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
