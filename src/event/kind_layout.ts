/**
 * The inline layout of a kind by its number, made from the catalogue.
 * @module
 */
import type { InlineLayout } from "./body_layout.ts";
import { ROWS } from "./catalogue.ts";
import { KIND_MAX } from "./kind.ts";

/** Kind number to its inline layout; undefined where the kind has none. */
export const LAYOUT_OF_KIND: (InlineLayout | undefined)[] = new Array(KIND_MAX).fill(undefined);
for (const [, row] of ROWS) if (row.inline !== null) LAYOUT_OF_KIND[row.number] = row.inline;
