/**
 * The page walk as the manuals tell it, on BigInts and one byte array a segment: slow, plain, and nothing in
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

/** Where an arm64 walk begins. */
export interface Arm64Roots {
  /** Of the lower half; the kernel's own when there is none. */
  user: bigint;
  /** Of the upper half. */
  kernel: bigint;
}

/**
 * The same for arm64 with a granule of 4 KiB: `levels` 4 is 48 bits of address, 3 is 39. `va` is signed: the
 * upper half is negative.
 */
export function modelArm64Walk(ram: ModelRam[], roots: Arm64Roots, levels: 3 | 4, va: bigint): ModelWalk {
  const bits = 12n + 9n * BigInt(levels);
  const isUpper = va < 0n;
  const offset = isUpper ? va + (1n << bits) : va;
  if (offset < 0n || offset >> bits !== 0n) return { ok: false, why: "non-canonical" };
  if (!isUpper && roots.user === roots.kernel) return { ok: false, why: "not-present" };
  let table = isUpper ? roots.kernel : roots.user;
  let [apRead, apUser, uxn, pxn] = [false, false, false, false];
  for (let level = levels - 1; level >= 0; level--) {
    const shift = 12n + 9n * BigInt(level);
    const entry = load64(ram, table + 8n * (offset >> shift & 511n));
    if (entry === undefined) return { ok: false, why: "out-of-ram" };
    const bit = (n: bigint) => (entry >> n & 1n) === 1n;
    if (!bit(0n)) return { ok: false, why: "not-present" };
    const isBlock = !bit(1n);
    if (isBlock && (level === 0 || level === 3)) return { ok: false, why: "reserved-bit" };
    const frame = entry & 0xffff_ffff_f000n;
    if (frame >= 1n << 43n) return { ok: false, why: "out-of-ram" };
    if (!isBlock && level > 0) {
      apRead ||= bit(62n);
      apUser ||= bit(61n);
      uxn ||= bit(60n);
      pxn ||= bit(59n);
      table = frame;
      continue;
    }
    const low = (1n << shift) - 1n;
    return {
      ok: true,
      gpa: (frame & ~low) | (offset & low),
      shift,
      // DBM: a write makes it writable.
      writable: (!bit(7n) || bit(51n)) && !apRead,
      user: bit(6n) && !apUser,
      executable: isUpper ? !bit(53n) && !pxn : !bit(54n) && !uxn,
    };
  }
  throw new Error("a walk ends at its last level");
}
