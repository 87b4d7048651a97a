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

/** A size of arm64's granule, as a power of two, and how many bits of address each half has. */
export interface Arm64Sizes {
  granule: number;
  bits: number;
}

/** The same for arm64. `va` is signed: the upper half is negative. */
export function modelArm64Walk(ram: ModelRam[], roots: Arm64Roots, sizes: Arm64Sizes, va: bigint): ModelWalk {
  const [granule, bits] = [BigInt(sizes.granule), BigInt(sizes.bits)];
  const isUpper = va < 0n;
  const offset = isUpper ? va + (1n << bits) : va;
  if (offset < 0n || offset >> bits !== 0n) return { ok: false, why: "non-canonical" };
  if (!isUpper && roots.user === roots.kernel) return { ok: false, why: "not-present" };
  // Blocks: of 2 MiB and 1 GiB, 32 MiB, 512 MiB; with addresses of 52 bits of 512 GiB, 64 GiB and 4 TiB too.
  const wide = sizes.bits === 52;
  const blocks = {
    12: [21, 30, ...wide ? [39] : []],
    14: [25, ...wide ? [36] : []],
    16: [29, ...wide ? [42] : []],
  }[
    sizes.granule
  ] as number[];
  const each = granule - 3n;
  let shift = granule;
  while (shift + each < bits) shift += each;
  let table = isUpper ? roots.kernel : roots.user;
  let [apRead, apUser, uxn, pxn] = [false, false, false, false];
  for (;; shift -= each) {
    // Above the first table's index there is nothing: the mask may be wider than it.
    const entry = load64(ram, table + 8n * (offset >> shift & (1n << each) - 1n));
    if (entry === undefined) return { ok: false, why: "out-of-ram" };
    const bit = (n: bigint) => (entry >> n & 1n) === 1n;
    if (!bit(0n)) return { ok: false, why: "not-present" };
    const isBlock = !bit(1n);
    if (isBlock && !blocks.includes(Number(shift))) return { ok: false, why: "reserved-bit" };
    const field = (from: bigint, to: bigint) => entry >> from & (1n << (to - from + 1n)) - 1n;
    const address = wide && sizes.granule < 16
      ? field(granule, 49n) << granule | field(8n, 9n) << 50n
      : field(granule, 47n) << granule | (sizes.granule === 16 ? field(12n, 15n) << 48n : 0n);
    if (address >= 1n << 43n) return { ok: false, why: "out-of-ram" };
    if (!isBlock && shift > granule) {
      apRead ||= bit(62n);
      apUser ||= bit(61n);
      uxn ||= bit(60n);
      pxn ||= bit(59n);
      table = address;
      continue;
    }
    const low = (1n << shift) - 1n;
    return {
      ok: true,
      gpa: (address & ~low) | (offset & low),
      shift,
      // DBM: a write makes it writable.
      writable: (!bit(7n) || bit(51n)) && !apRead,
      user: bit(6n) && !apUser,
      executable: isUpper ? !bit(53n) && !pxn : !bit(54n) && !uxn,
    };
  }
}
