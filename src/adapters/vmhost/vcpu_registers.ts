/**
 * The registers of one virtual processor, out of HMP's `info registers` (x86-64). QEMU says that its texts
 * change between versions: it is read strictly, and a text that lacks one register is not accepted.
 *
 * While the VM runs they are as of some moment just before (under TCG rip may be the start of the block that
 * runs); of a VM that stands still they are exact.
 * @module
 */
import { VCPU_REGISTERS, VCPU_STATE_BYTES } from "../../event/kinds/vcpu_kinds.ts";

/** Characters of a text that is looked at: QEMU's has some 2,500. */
const MAX_CHARS = 16_384;
/** In 16 and 32 bits there are no R8 to R15, and the others have other names. */
const LONG_ONLY = /^r(8|9|1[0-5])$/;
const SEGMENTS = ["cs", "ss", "ds", "es", "fs", "gs"];

/** The registers as VCPU_STATE's body has them; undefined when the text is not QEMU's for x86. */
export function parseRegisters(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length > MAX_CHARS) return undefined;
  const isLong = /^RAX=/m.test(text);
  const bytes = new Uint8Array(VCPU_STATE_BYTES);
  const words = new DataView(bytes.buffer);
  for (const [i, name] of VCPU_REGISTERS.entries()) {
    const digits = valueOf(text, name, isLong);
    if (digits === undefined) return undefined;
    words.setBigUint64(8 * i, BigInt(`0x${digits}`), true);
  }
  return bytes;
}

function valueOf(text: string, name: string, isLong: boolean): string | undefined {
  if (SEGMENTS.includes(name)) return segment(text, name)?.[0];
  if (name === "fs_base" || name === "gs_base") return segment(text, name.slice(0, 2))?.[1];
  if (!isLong && LONG_ONLY.test(name)) return "0";
  const label = name === "rflags"
    ? (isLong ? "RFL" : "EFL")
    : isLong || !name.startsWith("r")
    ? name.toUpperCase()
    : `E${name.slice(1).toUpperCase()}`;
  return new RegExp(`(?:^|[ \\n])${label} ?=([0-9a-f]{8,16})(?![0-9a-zA-Z])`).exec(text)?.[1];
}

/** "FS =0000 00007f… ffffffff 00000000": selector and base. */
function segment(text: string, name: string): readonly [selector: string, base: string] | undefined {
  const found = new RegExp(`^${name.toUpperCase()} =([0-9a-f]{4}) ([0-9a-f]{8,16}) `, "m").exec(text);
  return found === null ? undefined : [found[1] as string, found[2] as string];
}
