/**
 * Where a kernel's symbol table lies: as its VMCOREINFO note tells (since 6.0), or as kallsyms_search.ts
 * found it.
 * @module
 */

/** Where the tables are. */
export interface KallsymsPlaces {
  /** kallsyms_names */
  readonly names: number;
  /** kallsyms_num_syms */
  readonly count: number;
  /** kallsyms_token_table */
  readonly tokenTable: number;
  /** kallsyms_token_index */
  readonly tokenIndex: number;
  /** kallsyms_offsets */
  readonly offsets: number;
  /** kallsyms_relative_base; absent from 7.0 on */
  readonly relativeBase: number | undefined;
  /** `_stext` as the note tells it */
  readonly stext: number;
}
