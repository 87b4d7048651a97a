/**
 * The registers of x86-64 for GDB: their order in `g`, the target description that names them, and their
 * values from QEMU or a guest's kernel. An unknown value is "xx…": unavailable, which GDB shows as such.
 *
 * Sources: "Debugging with GDB", appendix G (Standard Target Features, i386); Linux's pt_regs.
 * @module
 */
import { VCPU_REGISTERS } from "../../event/kinds/vcpu_kinds.ts";

/** A register. */
export interface Register {
  /** GDB's name for it. */
  readonly name: string;
  /** Its size. */
  readonly bits: number;
  /** GDB's type of it. */
  readonly type: string;
}

const LONG = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"];
const of = (names: readonly string[], bits: number, type: string): Register[] =>
  names.map((name) => ({ name, bits, type }));

const CORE: readonly Register[] = [
  ...of(LONG.slice(0, 6), 64, "int64"),
  ...of(["rbp", "rsp"], 64, "data_ptr"),
  ...of(["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"], 64, "int64"),
  ...of(["rip"], 64, "code_ptr"),
  ...of(["eflags"], 32, "i386_eflags"),
  ...of(["cs", "ss", "ds", "es", "fs", "gs"], 32, "int32"),
  ...of(["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"], 80, "i387_ext"),
  ...of(["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"], 32, "int"),
];
const SEGMENTS: readonly Register[] = of(["fs_base", "gs_base"], 64, "int");
const SYSTEM: readonly Register[] = of(["cr0", "cr2", "cr3", "cr4", "efer"], 64, "int64");
const PT_REGS = [
  ...["r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"],
  ...["orig_rax", "rip", "cs", "eflags", "rsp", "ss"],
];
const FLAGS = `<flags id="i386_eflags" size="4">${
  [["CF", 0], ["", 1], ["PF", 2], ["AF", 4], ["ZF", 6], ["SF", 7], ["TF", 8], ["IF", 9], ["DF", 10], [
    "OF",
    11,
  ]]
    .map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`).join("")
}</flags>`;

/** Registers of one thread, by name; missing ones are unavailable. */
export type RegisterValues = ReadonlyMap<string, bigint>;

/** The register layout of a kind of threads. */
export class RegisterLayout {
  /** Registers in the order of GDB's numbers. */
  readonly registers: readonly Register[];
  /** target.xml. */
  readonly description: string;

  /**
   * A layout.
   *
   * @param isSystem for processors, with their control registers; otherwise for a process's threads
   */
  constructor(isSystem: boolean) {
    this.registers = [...CORE, ...SEGMENTS, ...isSystem ? SYSTEM : []];
    const feature = (name: string, registers: readonly Register[], head = "") =>
      `<feature name="${name}">${head}${registers.map(element).join("")}</feature>`;
    this.description =
      '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">' +
      `<architecture>i386:x86-64</architecture>${isSystem ? "" : "<osabi>GNU/Linux</osabi>"}` +
      feature("org.gnu.gdb.i386.core", CORE, FLAGS) + feature("org.gnu.gdb.i386.segments", SEGMENTS) +
      (isSystem ? feature("org.vmsig.i386.system", SYSTEM) : "") + "</target>";
  }

  /** All registers, for the answer to `g`. */
  all(values: RegisterValues): string {
    return this.registers.map((register) => hexOf(register, values)).join("");
  }

  /** One register, for the answer to `p`; undefined when there is none with that number. */
  one(values: RegisterValues, number: number): string | undefined {
    const register = this.registers[number];
    return register === undefined ? undefined : hexOf(register, values);
  }
}

/** The values in the body of a VCPU_STATE. */
export function valuesOfVcpu(body: Uint8Array): RegisterValues {
  const values = valuesOf(VCPU_REGISTERS, body);
  const flags = values.get("rflags");
  if (flags !== undefined) values.set("eflags", flags);
  return values;
}

/** The values in a pt_regs. */
export function valuesOfPtRegs(bytes: Uint8Array, fsBase: bigint, gsBase: bigint): RegisterValues {
  const values = valuesOf(PT_REGS, bytes);
  values.set("fs_base", fsBase);
  values.set("gs_base", gsBase);
  return values;
}

function valuesOf(names: readonly string[], bytes: Uint8Array): Map<string, bigint> {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Map<string, bigint>();
  for (const [i, name] of names.entries()) {
    if (8 * i + 8 <= bytes.length) values.set(name, words.getBigUint64(8 * i, true));
  }
  return values;
}

function element({ name, bits, type }: Register): string {
  return `<reg name="${name}" bitsize="${bits}" type="${type}"/>`;
}

/** Bytes in memory order, or "xx…". */
function hexOf({ name, bits }: Register, values: RegisterValues): string {
  const value = values.get(name);
  if (value === undefined) return "xx".repeat(bits / 8);
  const digits = BigInt.asUintN(bits, value).toString(16).padStart(bits / 4, "0");
  return (digits.match(/../g) as string[]).reverse().join("");
}
