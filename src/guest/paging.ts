/**
 * Paging as data: what a level is, which of its entries may be pages, which bits must be zero; for x86-64
 * and for arm64 with granules of 4, 16 and 64 KiB. An entry has 8 bytes. What its bits mean is the walkers'
 * (walker.ts, arm64_walker.ts); the names below are x86-64's.
 *
 * Addresses travel as two int32 halves; `shift` counts from bit 0 of the whole address.
 * @module
 */

/** Present. */
export const PTE_P = 1;
/** Writable. */
export const PTE_W = 2;
/** User. */
export const PTE_U = 4;
/** Page size: the entry is a page, above the last level. */
export const PTE_PS = 0x80;
/** No execute, in the entry's high half. */
export const PTE_NX_HI = 0x8000_0000 | 0;
/** Frame bits of the high half: address bits 32 to 51. */
export const PTE_FRAME_HI = 0xf_ffff;

/** Processor architectures, by the number of MEMCTX.flags bits 8 to 15 (src/event/PROTOCOL.md). */
export const ARCHITECTURE = { "x86-64": 0, aarch64: 1, riscv64: 2 } as const;

/** Name of an architecture. One that is named here need not have a paging mode that the walker reads. */
export type Architecture = keyof typeof ARCHITECTURE;

/** Whether a value from outside names an architecture. */
export function isArchitecture(value: unknown): value is Architecture {
  return typeof value === "string" && Object.hasOwn(ARCHITECTURE, value);
}

/** One level of tables, from the root down. */
export interface PagingLevel {
  /** First address bit that indexes it. */
  readonly shift: number;
  /** How many bits index it. */
  readonly indexBits: number;
  /** Whether an entry with PS set is a page. */
  readonly mayBePage: boolean;
  /** Bits of an entry's low half that must be zero when it is a page (bit 12 is PAT). */
  readonly reservedInPage: number;
}

/** A paging mode. */
export interface Paging {
  /** Its name, for people. */
  readonly name: string;
  /** Whose page tables these are. */
  readonly architecture: Architecture;
  /** How many levels. */
  readonly levels: number;
  /** Root first. */
  readonly table: readonly PagingLevel[];
  /**
   * Bits of a canonical address, the sign included: each half has 2 ** (addressBits - 1) bytes (arm64's "48
   * bits" are 49 here).
   */
  readonly addressBits: number;
  /** The size of its smallest page, as a power of two: 12, 14, 16. */
  readonly granuleShift: number;
  /**
   * What tells it from others of as many levels, as in MEMCTX.flags from bit 16 on: 0 on x86-64 and for
   * arm64's 4 KiB with at most 48 bits, else the granule (0: 4 KiB, 1: 16, 2: 64) and, from bit 8 on, how
   * many bits an address has.
   */
  readonly variant: number;
}

/** A paging mode of x86-64. */
export interface X64Paging extends Paging {
  /** Its architecture. */
  readonly architecture: "x86-64";
  /** How many levels. */
  readonly levels: 4 | 5;
  /** Bits of a canonical address. */
  readonly addressBits: 48 | 57;
}

const LAST: PagingLevel = { shift: 12, indexBits: 9, mayBePage: true, reservedInPage: 0 };
const MIB2: PagingLevel = { shift: 21, indexBits: 9, mayBePage: true, reservedInPage: 0x001f_e000 };
const GIB1: PagingLevel = { shift: 30, indexBits: 9, mayBePage: true, reservedInPage: 0x3fff_e000 };
const TOP4: PagingLevel = { shift: 39, indexBits: 9, mayBePage: false, reservedInPage: 0 };
const TOP5: PagingLevel = { shift: 48, indexBits: 9, mayBePage: false, reservedInPage: 0 };

/** Long mode, four levels. */
export const X64_4: X64Paging = {
  architecture: "x86-64",
  name: "x86-64, 4 levels",
  levels: 4,
  table: [TOP4, GIB1, MIB2, LAST],
  addressBits: 48,
  granuleShift: 12,
  variant: 0,
};
/** Long mode, five levels (LA57). */
export const X64_5: X64Paging = {
  architecture: "x86-64",
  name: "x86-64, 5 levels",
  levels: 5,
  table: [TOP5, TOP4, GIB1, MIB2, LAST],
  addressBits: 57,
  granuleShift: 12,
  variant: 0,
};

const SMALL_ROOT_BYTES = 64;
/** The largest address bits of an arm64 block: 1 GiB, 32 MiB, 512 MiB; one level more with 52 bits. */
const LARGEST_BLOCK: Readonly<Record<number, number>> = { 12: 30, 14: 25, 16: 29 };

/** A mode of arm64: all levels but the first are indexed by as many bits as a granule has entries. */
function arm64Mode(granuleShift: 12 | 14 | 16, bits: number): Paging {
  const whole = granuleShift - 3;
  const table: PagingLevel[] = [];
  for (let shift: number = granuleShift; shift < bits; shift += whole) {
    const mayBePage = shift <= (LARGEST_BLOCK[granuleShift] as number) + (bits === 52 ? whole : 0);
    table.unshift({ shift, indexBits: Math.min(whole, bits - shift), mayBePage, reservedInPage: 0 });
  }
  const isPlain = granuleShift === 12 && bits <= 48;
  return {
    architecture: "aarch64",
    name: `arm64, ${2 ** (granuleShift - 10)} KiB granule, ${bits} bits`,
    levels: table.length,
    table,
    addressBits: bits + 1,
    granuleShift,
    variant: isPlain ? 0 : (granuleShift - 12) / 2 | bits << 8,
  };
}

/** arm64 with a granule of 4 KiB and addresses of 48 bits. */
export const ARM64_4: Paging = arm64Mode(12, 48);
/** arm64 with a granule of 4 KiB and addresses of 39 bits. */
export const ARM64_3: Paging = arm64Mode(12, 39);

/**
 * The modes of arm64 that Linux has: with 4 KiB 52 (LPA2), 48 and 39 bits of address; with 16 KiB 52 (LPA2),
 * 48, 47 and 36; with 64 KiB 52 (LVA), 48 and 42.
 */
export const ARM64_MODES: readonly Paging[] = [
  ARM64_4,
  ARM64_3,
  arm64Mode(12, 52),
  arm64Mode(14, 52),
  arm64Mode(14, 48),
  arm64Mode(14, 47),
  arm64Mode(14, 36),
  arm64Mode(16, 52),
  arm64Mode(16, 48),
  arm64Mode(16, 42),
];

/** All modes that a walker here reads. */
const MODES: readonly Paging[] = [X64_4, X64_5, ...ARM64_MODES];

/** The mode of arm64 with that granule and so many bits of address; undefined when Linux has none such. */
export function arm64Paging(granuleShift: number, bits: number): Paging | undefined {
  return ARM64_MODES.find((mode) => mode.granuleShift === granuleShift && mode.addressBits === bits + 1);
}

/** What a root is a multiple of, in bytes: one that is smaller than 4 KiB lies among others. */
export function rootAlignment(paging: Paging): number {
  const top = paging.table[0] as PagingLevel;
  return top.indexBits < 9 ? SMALL_ROOT_BYTES : 4096;
}

/** The paging mode of x86-64 with so many levels. */
export function pagingOf(levels: 4 | 5): X64Paging {
  return levels === 5 ? X64_5 : X64_4;
}

/** The paging mode of that architecture, levels and variant; undefined for one that no walker here reads. */
export function knownPaging(architecture: Architecture, levels: number, variant: number): Paging | undefined {
  return MODES.find((mode) =>
    mode.architecture === architecture && mode.levels === levels && mode.variant === variant
  );
}

/**
 * How a walk can end without a page: negative, so that a frame number (or an address) and a failure share one
 * number.
 */
export const WALK = {
  /** An entry on the way is not present. */
  notPresent: -1,
  /** A table, or the page, lies where the guest has no RAM. */
  outOfRam: -2,
  /** A reserved bit is set. */
  reserved: -3,
  /** The address is not canonical. */
  nonCanonical: -4,
  /** The entry says where the page is kept instead of RAM: swapped out, or on its way. */
  pagedOut: -5,
} as const;

/** Why a walk ended without a page. */
export type WalkFailure = "not-present" | "out-of-ram" | "reserved-bit" | "non-canonical" | "paged-out";

/** The name of a negative walk result. */
export function walkFailure(result: number): WalkFailure {
  switch (result) {
    case WALK.outOfRam:
      return "out-of-ram";
    case WALK.reserved:
      return "reserved-bit";
    case WALK.nonCanonical:
      return "non-canonical";
    case WALK.pagedOut:
      return "paged-out";
    default:
      return "not-present";
  }
}
