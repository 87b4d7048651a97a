/**
 * Paging as data: what a level is, which of its entries may be pages, which bits must be zero; for x86-64
 * and for arm64 with a granule of 4 KiB, both with tables of 512 entries of 8 bytes. What an entry's bits
 * mean is the walkers' (walker.ts, arm64_walker.ts); the names below are x86-64's.
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

const LAST: PagingLevel = { shift: 12, mayBePage: true, reservedInPage: 0 };
const MIB2: PagingLevel = { shift: 21, mayBePage: true, reservedInPage: 0x001f_e000 };
const GIB1: PagingLevel = { shift: 30, mayBePage: true, reservedInPage: 0x3fff_e000 };
const TOP4: PagingLevel = { shift: 39, mayBePage: false, reservedInPage: 0 };
const TOP5: PagingLevel = { shift: 48, mayBePage: false, reservedInPage: 0 };

/** Long mode, four levels. */
export const X64_4: X64Paging = {
  architecture: "x86-64",
  name: "x86-64, 4 levels",
  levels: 4,
  table: [TOP4, GIB1, MIB2, LAST],
  addressBits: 48,
};
/** Long mode, five levels (LA57). */
export const X64_5: X64Paging = {
  architecture: "x86-64",
  name: "x86-64, 5 levels",
  levels: 5,
  table: [TOP5, TOP4, GIB1, MIB2, LAST],
  addressBits: 57,
};

const TOP3: PagingLevel = { shift: 30, mayBePage: true, reservedInPage: 0 };
const BLOCK2: PagingLevel = { shift: 21, mayBePage: true, reservedInPage: 0 };

/** arm64 with a granule of 4 KiB and addresses of 48 bits. */
export const ARM64_4: Paging = {
  architecture: "aarch64",
  name: "arm64, 4 KiB granule, 48 bits",
  levels: 4,
  table: [TOP4, TOP3, BLOCK2, LAST],
  addressBits: 49,
};
/** arm64 with a granule of 4 KiB and addresses of 39 bits. */
export const ARM64_3: Paging = {
  architecture: "aarch64",
  name: "arm64, 4 KiB granule, 39 bits",
  levels: 3,
  table: [TOP3, BLOCK2, LAST],
  addressBits: 40,
};

/** All modes that a walker here reads. */
const MODES: readonly Paging[] = [X64_4, X64_5, ARM64_4, ARM64_3];

/** The paging mode of x86-64 with so many levels. */
export function pagingOf(levels: 4 | 5): X64Paging {
  return levels === 5 ? X64_5 : X64_4;
}

/** The paging mode of that architecture with so many levels; undefined for one that no walker here reads. */
export function knownPaging(architecture: Architecture, levels: number): Paging | undefined {
  return MODES.find((mode) => mode.architecture === architecture && mode.levels === levels);
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
