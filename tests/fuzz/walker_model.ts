/**
 * The page walk as the manual tells it, on BigInts and one byte array a segment: slow, plain, and nothing in
 * common with the code under test.
 * @module
 */
const MASK52 = (1n << 52n) - 1n;

/** A walk's outcome in the model. */
export type ModelWalk =
  | { ok: true; gpa: bigint; shift: bigint; writable: boolean; user: boolean; executable: boolean }
  | { ok: false; why: "not-present" | "out-of-ram" | "reserved-bit" | "non-canonical" };

/** RAM as the model sees it. */
export interface ModelRam {
  gpa: bigint;
  bytes: Uint8Array<ArrayBuffer>;
}

function load64(ram: ModelRam[], gpa: bigint): bigint | undefined {
  for (const s of ram) {
    if (gpa >= s.gpa && gpa + 8n <= s.gpa + BigInt(s.bytes.length)) {
      return new DataView(s.bytes.buffer, s.bytes.byteOffset).getBigUint64(Number(gpa - s.gpa), true);
    }
  }
  return undefined;
}

/** One byte of RAM, or undefined. */
export function modelByte(ram: ModelRam[], gpa: bigint): number | undefined {
  for (const s of ram) {
    if (gpa >= s.gpa && gpa < s.gpa + BigInt(s.bytes.length)) return s.bytes[Number(gpa - s.gpa)];
  }
  return undefined;
}

/** Walks `va` (signed) from `root`. */
export function modelWalk(ram: ModelRam[], root: bigint, levels: 4 | 5, va: bigint): ModelWalk {
  const bits = levels === 4 ? 48n : 57n;
  if (BigInt.asIntN(Number(bits), va) !== va) return { ok: false, why: "non-canonical" };
  const address = BigInt.asUintN(64, va);
  let table = root;
  let writable = true;
  let user = true;
  let executable = true;
  for (let level: number = levels; level >= 1; level--) {
    const shift = 12n + 9n * BigInt(level - 1);
    const entry = load64(ram, table + 8n * (address >> shift & 511n));
    if (entry === undefined) return { ok: false, why: "out-of-ram" };
    if ((entry & 1n) === 0n) return { ok: false, why: "not-present" };
    writable &&= (entry & 2n) !== 0n;
    user &&= (entry & 4n) !== 0n;
    executable &&= entry >> 63n === 0n;
    const frame = entry & MASK52 & ~0xfffn;
    if (level === 1 || (entry & 0x80n) !== 0n) {
      const low = (1n << shift) - 1n;
      // Bit 12 of a large page is PAT; the other bits below its size are reserved.
      if (level > 1 && (level > 3 || (frame & low & ~0x1fffn) !== 0n)) {
        return { ok: false, why: "reserved-bit" };
      }
      if (frame >= 1n << 43n) return { ok: false, why: "out-of-ram" };
      return { ok: true, gpa: (frame & ~low) | (address & low), shift, writable, user, executable };
    }
    if (frame >= 1n << 43n) return { ok: false, why: "out-of-ram" };
    table = frame;
  }
  throw new Error("a walk ends at its last level");
}
